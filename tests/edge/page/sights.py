"""Frames, faces and sights for the preview's tests."""

from __future__ import annotations

import numpy as np
from maskwatch.page.board import Sight
from maskwatch.page.hints import Aim
from maskwatch.types import Box, Face, Frame, Image, Label

LIMIT_S = 20.0


def textured(level: int, width_px: int = 640, height_px: int = 480, contrast: float = 30) -> Image:
    """Sharp noise around a level: a picture with details everywhere."""
    noise = np.random.default_rng(5).normal(level, contrast, (height_px, width_px, 1))
    return np.broadcast_to(np.clip(noise, 0, 255), (height_px, width_px, 3)).astype(np.uint8)


def face(box: Box, mask: float = 0.02) -> Face:
    return Face(box, 0.9, mask, Label.WITH_MASK if mask >= 0.5 else Label.WITHOUT_MASK)


def sight(serial: int, width_px: int = 1280, height_px: int = 960) -> Sight:
    """Grey, with a bare face of 400 px in the middle."""
    image = np.full((height_px, width_px, 3), 90, np.uint8)
    box = Box(width_px / 2 - 150, height_px / 2 - 200, width_px / 2 + 150, height_px / 2 + 200)
    return Sight(serial, Frame(image, float(serial)), (face(box),), Aim(90.0, ()), 9.5)
