"""Drawings of the parts: LEDs, resistors, buzzers, a transistor, a diode."""

from __future__ import annotations

from svg import FAINT, INK, Point, Sheet

_BANDS = {
    "330 Ω": ("orange", "orange", "brown"),
    "1 kΩ": ("brown", "black", "red"),
}
"""The colours of value and power of ten, IEC 60062."""

_PAINT = {"orange": "#f28c28", "brown": "#6b3e1e", "black": "#111111", "red": "#c62828"}


def draw_resistor(sheet: Sheet, centre: Point, value: str) -> None:
    """A resistor that lies along its wire, 80 pixels wide, with its value above and its colours below."""
    x, y = centre
    sheet.rect((x - 40, y - 12), 80, 24, fill="#e8d5b0", stroke="#8a6d3b", stroke_width=1.5, rx=10)
    for offset, colour in zip((-22, -8, 6), _BANDS[value], strict=True):
        sheet.rect((x + offset, y - 12), 7, 24, fill=_PAINT[colour])
    sheet.text((x, y - 20), value, 16, "middle", font_weight="bold")
    sheet.text((x, y + 27), ", ".join(_BANDS[value]), 12, "middle", fill=FAINT)


LED_LEG_PX = 24
"""From an LED's middle to each leg."""


def draw_led(sheet: Sheet, centre: Point, colour: str, name: str) -> None:
    """An LED that stands on its wire, 90 pixels high; `centre` is on the wire, the longer leg to its right."""
    x, y = centre
    sheet.path(
        f"M {x - LED_LEG_PX:g} {y:g} V {y - 34:g} M {x + LED_LEG_PX:g} {y:g} v -10 l -8 -8 v -16",
        fill="none",
        stroke="#8c959f",
        stroke_width=4,
    )
    sheet.path(
        f"M {x - 28:g} {y - 34:g} V {y - 62:g} A 28 28 0 0 1 {x + 28:g} {y - 62:g} V {y - 44:g} h 5 v 10 Z",
        fill=colour,
        fill_opacity=0.85,
        stroke=INK,
        stroke_width=1.5,
    )
    sheet.text((x, y - 100), name, 16, "middle", font_weight="bold")
    sheet.text((x - LED_LEG_PX - 4, y + 20), "− short leg,", 13, "end")
    sheet.text((x - LED_LEG_PX - 4, y + 36), "flat side", 13, "end")
    sheet.text((x + LED_LEG_PX - 8, y + 20), "+ long leg", 13)


def draw_buzzer(sheet: Sheet, centre: Point, plus: Point, minus: Point) -> None:
    """A buzzer from above, 100 pixels wide; `plus` and `minus` are its terminals, on or near its edge."""
    sheet.circle(centre, 50, fill="#3a4149", stroke=INK, stroke_width=2)
    sheet.circle(centre, 9, fill="#0d1117")
    for terminal, sign in ((plus, "+"), (minus, "−")):
        sheet.circle(terminal, 11, fill="#f6f8fa", stroke=INK, stroke_width=1.5)
        sheet.text((terminal[0], terminal[1] + 6), sign, 18, "middle", font_weight="bold")


def draw_diode(sheet: Sheet, centre: Point) -> None:
    """A diode that stands along its wire, its band (the cathode) at the top; 60 pixels high."""
    x, y = centre
    sheet.rect((x - 12, y - 30), 24, 60, fill="#d9673c", stroke=INK, stroke_width=1.5, rx=5)
    sheet.rect((x - 12, y - 22), 24, 9, fill="#111111")


def draw_npn(sheet: Sheet, base: Point) -> tuple[Point, Point]:
    """The symbol of an NPN transistor, its base at the left; returns the ends of collector (up) and emitter (down)."""
    x, y = base
    collector, emitter = (x + 58.0, y - 46.0), (x + 58.0, y + 46.0)
    sheet.circle((x + 42, y), 40, fill="#f6f8fa", stroke=INK, stroke_width=2)
    sheet.path(
        f"M {x:g} {y:g} H {x + 26:g} M {x + 26:g} {y - 22:g} V {y + 22:g} "
        f"M {x + 26:g} {y - 8:g} L {x + 58:g} {y - 28:g} V {y - 46:g} M {x + 26:g} {y + 8:g} L {x + 58:g} {y + 28:g} "
        f"V {y + 46:g}",
        fill="none",
        stroke=INK,
        stroke_width=3,
    )
    sheet.path(f"M {x + 54:g} {y + 26:g} l -14 -1 l 7 -12 Z", fill=INK)  # the arrow: out of the emitter
    sheet.text((x - 12, y - 8), "B", 14, "middle", font_weight="bold")
    sheet.text((x + 66, y - 16), "C", 14, "middle", font_weight="bold")
    sheet.text((x + 66, y + 26), "E", 14, "middle", font_weight="bold")
    return collector, emitter


def draw_to92(sheet: Sheet, at: Point, types: str, legs: str) -> None:
    """A small transistor with its flat side to the viewer, and which leg is which; 60×110 pixels from `at`."""
    x, y = at
    sheet.text((x, y + 10), types, 13)
    sheet.rect((x, y + 18), 60, 38, fill="#3a4149", stroke=INK, stroke_width=1.5, rx=3)
    sheet.text((x + 30, y + 42), "flat", 12, "middle", fill="#ffffff")
    for index, leg in enumerate(legs):
        left = x + 12 + 18 * index
        sheet.path(f"M {left:g} {y + 56:g} v 26", stroke="#8c959f", stroke_width=4)
        sheet.text((left, y + 98), leg, 14, "middle", font_weight="bold")
