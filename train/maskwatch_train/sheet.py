"""Draws a sheet of the worst mistakes: pictures and faces, each with what was said and what is true."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from maskwatch.images import read_image
from maskwatch.preprocess import crop_square, letterbox, square_around
from maskwatch.types import Box, Image
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from maskwatch_train.evaluate import Mistake, MistakeKind
from maskwatch_train.plots import INK, LABEL_COLOURS, LEFT_INCHES, QUIET, WIDTH_INCHES, WORDS, page

TILE_PX: Final = 256
TILES_ACROSS: Final = 6
TILES_PER_KIND: Final = 12
FACE_MARGIN_RATIO: Final = 2.0
"""A face on the sheet is shown with this share of its longer side as surroundings."""

HEADER_INCHES, HEADING_INCHES, FOOTER_INCHES = 1.1, 0.42, 0.2
CELL_INCHES: Final = (WIDTH_INCHES - 2 * LEFT_INCHES) / TILES_ACROSS
TILE_INCHES: Final = CELL_INCHES * 0.93
CAPTION_INCHES: Final = 0.82
CAPTION_LETTERS: Final = 28


def draw_mistakes(path: Path, mistakes: Sequence[Mistake], subtitle: str) -> None:
    """Draw the first TILES_PER_KIND mistakes of each kind, with captions, as one PNG.

    Raises:
        ImageError: a picture cannot be read.
    """
    kinds = {kind: [each for each in mistakes if each.kind is kind][:TILES_PER_KIND] for kind in MistakeKind}
    kinds = {kind: shown for kind, shown in kinds.items() if shown}
    row_inches = TILE_INCHES + CAPTION_INCHES
    heights = [HEADING_INCHES + row_inches * math.ceil(len(shown) / TILES_ACROSS) for shown in kinds.values()]
    figure, height = page(HEADER_INCHES + (sum(heights) or HEADING_INCHES) + FOOTER_INCHES, "Worst mistakes", subtitle)

    def heading(top: float, words: str) -> None:
        figure.text(
            LEFT_INCHES / WIDTH_INCHES, 1 - top / height, words, fontsize=12, fontweight="bold", color=INK, va="top"
        )

    if not kinds:
        heading(HEADER_INCHES, "Not a single one on these pictures")
    top = HEADER_INCHES
    for (kind, shown), kind_inches in zip(kinds.items(), heights, strict=True):
        heading(top, kind.value)
        for place, mistake in enumerate(shown):
            row, column = divmod(place, TILES_ACROSS)
            bottom = top + HEADING_INCHES + row * row_inches + TILE_INCHES
            left = LEFT_INCHES + column * CELL_INCHES
            box = (left / WIDTH_INCHES, 1 - bottom / height, TILE_INCHES / WIDTH_INCHES, TILE_INCHES / height)
            _tile(figure.add_axes(box), mistake)
        top += kind_inches
    figure.savefig(path)


def _tile(axes: Axes, mistake: Mistake) -> None:
    """One mistake: a whole picture with its judged face framed, or a scene cut down to the face."""
    pixels, box = _tile_picture(read_image(mistake.path), mistake)
    colour = LABEL_COLOURS[mistake.said]
    axes.imshow(pixels)
    axes.set_axis_off()
    if box is not None:
        for edge, line_width in (("white", 4.0), (colour, 2.0)):
            axes.add_patch(
                Rectangle((box.xmin, box.ymin), box.width, box.height, fill=False, edgecolor=edge, linewidth=line_width)
            )
    truth = f"is {WORDS[mistake.truth]}" if mistake.truth else "nothing is annotated here"
    lines = (
        (f"said {WORDS[mistake.said]}  {mistake.confidence:.0%}", 9, colour, "bold"),
        (truth, 9, INK, "normal"),
        (_file_name(mistake.name), 8, QUIET, "normal"),
    )
    for place, (text, size, ink, weight) in enumerate(lines):
        y = -(0.14 + 0.18 * place) / TILE_INCHES
        axes.text(0, y, text, transform=axes.transAxes, fontsize=size, color=ink, fontweight=weight, va="center")


def _tile_picture(image: Image, mistake: Mistake) -> tuple[Image, Box | None]:
    """The tile's pixels, TILE_PX×TILE_PX×3, and the box in them."""
    box = mistake.box
    if box is None or mistake.kind is MistakeKind.PICTURE:
        pixels, mapping = letterbox(image, TILE_PX, TILE_PX)
        scale_x, scale_y = mapping.scale_x, mapping.scale_y
        left, top = float(mapping.offset_x_px), float(mapping.offset_y_px)
    else:
        square = square_around(box, FACE_MARGIN_RATIO)
        pixels = crop_square(image, square, TILE_PX)
        scale_x = scale_y = TILE_PX / square.width
        left, top = -square.xmin * scale_x, -square.ymin * scale_y
    if box is None:
        return pixels, None
    return pixels, Box(
        box.xmin * scale_x + left, box.ymin * scale_y + top, box.xmax * scale_x + left, box.ymax * scale_y + top
    )


def _file_name(name: str) -> str:
    """The file's own name; of a long one the end, which tells pictures apart."""
    last = name.rsplit("/", 1)[-1]
    return last if len(last) <= CAPTION_LETTERS else "…" + last[1 - CAPTION_LETTERS :]
