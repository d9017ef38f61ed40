"""What to change about camera, light or distance: from one frame and its faces, without memory or clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np

from maskwatch.darkness import BLACK_LEVEL
from maskwatch.preprocess import resize
from maskwatch.types import Box, Face, Frame, Image

# Levels are of 255. Measured on 600 photographs of both public sets, with 626 faces of 40 px and more: a face's mean
# level is 51 at the first percentile and 72 at the fifth; 99 of 100 faces have less than 0.16 of their pixels clipped.
DARK_FACE_LEVEL = 45.0
DARK_FRAME_LEVEL = 40.0
BACKLIT_FACE_LEVEL = 70.0
BACKLIT_MEDIAN_LEVEL = 50.0
BACKLIGHT_RATIO = 0.1
CLIPPED_LEVEL = 250
BRIGHT_FACE_RATIO = 0.25
BRIGHT_FRAME_RATIO = 0.5
BRIGHT_FRAME_LEVEL = 205.0

BLUR_HEIGHT_PX = 96
"""Faces are brought to this height before their sharpness is measured; smaller ones have too little to measure."""

BLUR_RATIO = 0.012
"""Variance of a face's Laplacian over that of its levels. On 376 of those faces it is 0.021 at the first percentile,
and at most 0.017 (95 of 100 faces: 0.006) after a Gaussian blur of 3 % of the face's height."""

EDGE_RATIO = 0.02
"""A face nearer to the picture's edge than this share of its side is about to leave it."""

NEAR_RATIO = 0.85
"""A face that takes up more of the picture's height has no room to move."""

_SAMPLE_STEP_PX = 4  # every fourth pixel each way is plenty to see light


class Trouble(Enum):
    """What is not as it should be; the values are the words that people read."""

    BLACK = "black picture"
    DARK = "too dark"
    BRIGHT = "too bright"
    BACKLIT = "backlit"
    SMALL = "too far away"
    NEAR = "too near"
    EDGE = "at the edge"
    BLURRED = "blurred"


@dataclass(frozen=True, slots=True)
class Hint:
    """One trouble, and what to do about it."""

    trouble: Trouble
    advice: str

    def __str__(self) -> str:
        return f"{self.trouble.value}: {self.advice}"


@dataclass(frozen=True, slots=True)
class Aim:
    """How well the camera is aimed. `brightness` is the picture's mean level, 0 to 255; no hint: all is well."""

    brightness: float
    hints: tuple[Hint, ...]


def aim(frame: Frame, faces: Sequence[Face], min_face_height_px: int) -> Aim:
    """What to change, the most basic first; faces lower than `min_face_height_px` are those that the door ignores.

    Light is judged on the largest face where there is one: it is what the networks see.
    """
    image = frame.image if frame.lores is None else frame.lores
    levels = _grey(np.ascontiguousarray(image[::_SAMPLE_STEP_PX, ::_SAMPLE_STEP_PX]))
    brightness = float(levels.mean())
    if brightness < BLACK_LEVEL:
        return Aim(brightness, (Hint(Trouble.BLACK, "take the cap off the lens, or switch on a light"),))
    largest = max(faces, key=lambda face: face.box.area, default=None)
    if largest is None:
        return Aim(brightness, _light(levels, brightness))
    box = largest.box.clipped(frame.width_px, frame.height_px)
    crop = frame.image[int(box.ymin) : round(box.ymax), int(box.xmin) : round(box.xmax)]
    if crop.size == 0:  # a box of less than a pixel
        return Aim(brightness, _light(levels, brightness))
    face_levels = _grey(np.ascontiguousarray(crop))
    hints = (*_face_light(face_levels, levels), *_place(box, frame, min_face_height_px), *_blur(face_levels))
    return Aim(brightness, hints)


def _light(levels: Image, brightness: float) -> tuple[Hint, ...]:
    """Of a picture without a face."""
    clipped = _clipped_ratio(levels)
    if clipped >= BACKLIGHT_RATIO and float(np.median(levels)) < BACKLIT_MEDIAN_LEVEL:
        return (_BACKLIT,)
    if brightness < DARK_FRAME_LEVEL:
        return (_DARK,)
    if brightness > BRIGHT_FRAME_LEVEL and clipped >= BRIGHT_FRAME_RATIO:
        return (_BRIGHT,)
    return ()


def _face_light(face_levels: Image, levels: Image) -> tuple[Hint, ...]:
    level = float(face_levels.mean())
    if level < BACKLIT_FACE_LEVEL and _clipped_ratio(levels) >= BACKLIGHT_RATIO:
        return (_BACKLIT,)
    if level < DARK_FACE_LEVEL:
        return (_DARK,)
    if _clipped_ratio(face_levels) >= BRIGHT_FACE_RATIO:
        return (_BRIGHT,)
    return ()


def _place(box: Box, frame: Frame, min_face_height_px: int) -> tuple[Hint, ...]:
    """Of the largest face; `box` is clipped to the picture."""
    if box.height < min_face_height_px:
        seen = f"the face has {box.height:.0f} px, the door needs {min_face_height_px}"
        return (Hint(Trouble.SMALL, f"{seen}: bring the camera nearer, or raise width_px and height_px"),)
    if box.height > NEAR_RATIO * frame.height_px:
        return (Hint(Trouble.NEAR, "the face fills the picture: move the camera back"),)
    sides = {
        "left": box.xmin < EDGE_RATIO * frame.width_px,
        "right": box.xmax > (1 - EDGE_RATIO) * frame.width_px,
        "upper": box.ymin < EDGE_RATIO * frame.height_px,
        "lower": box.ymax > (1 - EDGE_RATIO) * frame.height_px,
    }
    touched = [side for side, touches in sides.items() if touches]
    if not touched:
        return ()
    return (Hint(Trouble.EDGE, f"the face is at the {' and '.join(touched)} edge: turn the camera that way"),)


def _blur(face_levels: Image) -> tuple[Hint, ...]:
    height, width = face_levels.shape
    if height < BLUR_HEIGHT_PX or width < BLUR_HEIGHT_PX / 2:
        return ()
    small = resize(face_levels, BLUR_HEIGHT_PX, round(width * BLUR_HEIGHT_PX / height))
    edges = cv2.Laplacian(small, cv2.CV_32F)
    if float(edges.var()) >= BLUR_RATIO * (float(small.var()) + 1):
        return ()
    return (Hint(Trouble.BLURRED, "wipe the lens, turn its ring if it has one, or give more light"),)


def _grey(image: Image) -> Image:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


def _clipped_ratio(levels: Image) -> float:
    return float((levels >= CLIPPED_LEVEL).mean())


_DARK = Hint(Trouble.DARK, "give more light")
_BRIGHT = Hint(Trouble.BRIGHT, "keep lamps and sun off the faces")
_BACKLIT = Hint(Trouble.BACKLIT, "turn the camera away from window or lamp, or light the faces from the front")
