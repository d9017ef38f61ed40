"""Draws what was seen onto a picture, so that a person can check it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import cv2
import numpy as np

from maskwatch.types import Box, Face, Image, Label, Situation

MIN_LONG_SIDE_PX = 480
"""A smaller picture is enlarged first, or its words could not be read."""

# Okabe and Ito's palette, which colour-blind people can tell apart; boxes differ by dashes and words as well.
_GREEN, _VERMILION, _WHITE, _INK = (0, 158, 115), (213, 94, 0), (255, 255, 255), (20, 20, 20)

_SITUATION_WORDS = {
    Situation.NOBODY: "nobody here",
    Situation.UNSURE: "looking ...",
    Situation.ALL_MASKED: "everybody masked",
    Situation.UNMASKED: "mask missing",
    Situation.NO_CAMERA: "no camera",
}
_SITUATION_COLOURS = {Situation.ALL_MASKED: _GREEN, Situation.UNMASKED: _VERMILION}

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_HEIGHT_PX = 22  # of a capital letter at scale 1


def annotate(image: Image, faces: Iterable[Face], situation: Situation | None = None) -> Image:
    """A copy of the picture (H×W×3 uint8 RGB) with a box and words for each face, and the situation along the bottom.

    A masked face gets a solid green box and "mask 0.98", an unmasked one a dashed red-orange box and "no mask 0.97";
    the number is the label's probability. A picture whose longer side is under `MIN_LONG_SIDE_PX` comes back enlarged.
    """
    height, width = image.shape[:2]
    scale = max(1.0, MIN_LONG_SIDE_PX / max(height, width))
    if scale > 1:
        size = (round(width * scale), round(height * scale))
        canvas = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)
    else:
        canvas = np.ascontiguousarray(image).copy()
    unit_px = max(canvas.shape[:2]) / 640  # all strokes and letters grow with the picture
    # The most prominent face is drawn last, on top.
    for face in sorted(faces, key=lambda face: face.box.area * face.score):
        box = Box(*(edge * scale for edge in (face.box.xmin, face.box.ymin, face.box.xmax, face.box.ymax)))
        _draw_face(canvas, face, box.clipped(canvas.shape[1], canvas.shape[0]), unit_px)
    if situation is not None:
        _draw_banner(canvas, situation, unit_px)
    return canvas


def _draw_face(canvas: Image, face: Face, box: Box, unit_px: float) -> None:
    masked = face.label is Label.WITH_MASK
    colour = _GREEN if masked else _VERMILION
    words = f"mask {face.mask:.2f}" if masked else f"no mask {1 - face.mask:.2f}"
    stroke_px = max(2, round(2.5 * unit_px))
    left, top = round(box.xmin), round(box.ymin)
    right, bottom = round(box.xmax) - 1, round(box.ymax) - 1
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    for paint, width_px in ((_WHITE, stroke_px + max(2, round(1.5 * unit_px))), (colour, stroke_px)):
        for start, end in pairwise(corners):
            _line(canvas, start, end, paint, width_px, dash_px=0 if masked else round(10 * unit_px))
    text_scale = min(max(0.45 * unit_px, box.width / 160), 0.75 * unit_px)  # words of a crowd stay small
    text_height_px = _plate_height_px(text_scale)
    plate_top = top - text_height_px if top >= text_height_px else top
    _draw_words(canvas, words, left, plate_top, text_scale, colour)


def _line(
    canvas: Image,
    start: tuple[int, int],
    end: tuple[int, int],
    colour: tuple[int, int, int],
    width_px: int,
    dash_px: int,
) -> None:
    """A line, solid where `dash_px` is 0; dashes are as long as the gaps between them, and both ends carry one."""
    if dash_px == 0:
        cv2.line(canvas, start, end, colour, width_px, cv2.LINE_AA)
        return
    pieces = max(1, round(float(np.hypot(end[0] - start[0], end[1] - start[1])) / dash_px)) | 1
    steps = np.linspace(start, end, pieces + 1).round().astype(int)
    for first, last in zip(steps[::2], steps[1::2], strict=True):
        begin, finish = (int(first[0]), int(first[1])), (int(last[0]), int(last[1]))
        cv2.line(canvas, begin, finish, colour, width_px, cv2.LINE_AA)


def _plate_height_px(text_scale: float) -> int:
    return round(_FONT_HEIGHT_PX * text_scale * 1.9)


def _draw_words(
    canvas: Image, words: str, left: int, top: int, text_scale: float, colour: tuple[int, int, int]
) -> None:
    """White words with dark outlines on a coloured plate, pushed inside the picture where they would leave it."""
    weight_px = max(1, round(1.8 * text_scale))
    (text_width_px, _), _ = cv2.getTextSize(words, _FONT, text_scale, weight_px)
    plate_height_px = _plate_height_px(text_scale)
    padding_px = round(plate_height_px / 4)
    left = max(0, min(left, canvas.shape[1] - text_width_px - 2 * padding_px))
    top = max(0, min(top, canvas.shape[0] - plate_height_px))
    cv2.rectangle(
        canvas, (left, top), (left + text_width_px + 2 * padding_px, top + plate_height_px), colour, cv2.FILLED
    )
    baseline = (left + padding_px, top + plate_height_px - round(plate_height_px * 0.27))
    cv2.putText(
        canvas, words, baseline, _FONT, text_scale, _INK, weight_px + max(2, round(2 * text_scale)), cv2.LINE_AA
    )
    cv2.putText(canvas, words, baseline, _FONT, text_scale, _WHITE, weight_px, cv2.LINE_AA)


def _draw_banner(canvas: Image, situation: Situation, unit_px: float) -> None:
    text_scale = 0.9 * unit_px
    height_px = _plate_height_px(text_scale)
    top = canvas.shape[0] - height_px
    colour = _SITUATION_COLOURS.get(situation, _INK)
    canvas[max(0, top) :] = colour
    _draw_words(canvas, _SITUATION_WORDS[situation], round(6 * unit_px), top, text_scale, colour)
