"""A sheet to draw on, written as SVG text: the same calls give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from xml.sax.saxutils import escape, quoteattr

Point = tuple[float, float]
"""x and y in pixels, from the sheet's upper left corner."""

INK, FAINT, PAPER = "#1f2328", "#6e7781", "#ffffff"
_FONT = "DejaVu Sans, Verdana, Arial, sans-serif"


class Sheet:
    """A white sheet, so that it reads alike on a light and on a dark page. `title` is for those who can't see it."""

    def __init__(self, width_px: float, height_px: float, title: str) -> None:
        self.width_px, self.height_px = width_px, height_px
        size = f"{_px(width_px)} {_px(height_px)}"
        self._depth = 1
        self._lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{_px(width_px)}" '
            f'height="{_px(height_px)}" role="img" font-family="{_FONT}">',
            f"  <title>{escape(title)}</title>",
        ]
        self.rect((0, 0), width_px, height_px, fill=PAPER, rx=8)

    def rect(self, at: Point, width_px: float, height_px: float, **style: object) -> None:
        """A rectangle; `at` is its upper left corner."""
        self._element("rect", x=at[0], y=at[1], width=width_px, height=height_px, **style)

    def circle(self, centre: Point, radius_px: float, **style: object) -> None:
        """A circle."""
        self._element("circle", cx=centre[0], cy=centre[1], r=radius_px, **style)

    def path(self, commands: str, **style: object) -> None:
        """A path in SVG's own commands."""
        self._element("path", d=commands, **style)

    def wire(self, points: Sequence[Point], colour: str, width_px: float = 4) -> None:
        """A wire through these points, rounded at its corners."""
        self._element(
            "polyline",
            points=" ".join(f"{_px(x)},{_px(y)}" for x, y in points),
            fill="none",
            stroke=colour,
            stroke_width=width_px,
            stroke_linejoin="round",
            stroke_linecap="round",
        )

    def dot(self, at: Point, colour: str) -> None:
        """Where wires are joined."""
        self.circle(at, 6, fill=colour)

    def text(self, at: Point, words: str, size_px: float = 14, anchor: str = "start", **style: object) -> None:
        """Words; `at` is on their baseline, at their start, middle or end, as `anchor` says."""
        style.setdefault("fill", INK)
        attributes = _attributes({"x": at[0], "y": at[1], "font_size": size_px, "text_anchor": anchor, **style})
        self._add(f"<text {attributes}>{escape(words)}</text>")

    @contextmanager
    def group(self, kind: str, name: str = "") -> Iterator[None]:
        """Parts that belong together."""
        inner = f" aria-label={quoteattr(name)}" if name else ""
        self._add(f'<g class="{kind}"{inner}>')
        self._depth += 1
        yield
        self._depth -= 1
        self._add("</g>")

    def svg(self) -> str:
        """The whole as a file's text."""
        return "\n".join([*self._lines, "</svg>", ""])

    def _element(self, name: str, **attributes: object) -> None:
        self._add(f"<{name} {_attributes(attributes)}/>")

    def _add(self, line: str) -> None:
        self._lines.append("  " * self._depth + line)


def _attributes(values: dict[str, object]) -> str:
    return " ".join(f'{key.replace("_", "-")}="{_px(value)}"' for key, value in values.items())


def _px(value: object) -> str:
    """At most two decimals, so that rounding on another machine changes no byte."""
    return f"{round(value, 2):g}" if isinstance(value, float) else str(value)
