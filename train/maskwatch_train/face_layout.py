"""Where a face's parts lie within its box, by averages over bare faces: there are no landmarks in the data."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike
from maskwatch.types import Box

EYES_V = 0.37
NOSE_TIP_V = 0.58
NOSTRILS_V = 0.62
MOUTH_V = 0.77
"""Heights of a face's parts, as shares of its box's height from the top, seen in the mean of the bare faces."""

SMALLEST_FACE_PX = 16.0
"""Boxes with a shorter side have no parts to paint on."""

_MOUTH_GRID = (24, 10)  # columns, rows
_MOUTH_ACROSS = (0.2, 0.8)
_MOUTH_DOWN = (0.68, 0.88)
_FACTORS = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True)
class Layout:
    """A face in a picture: its box, and the mouth's place in shares of the box (0.5, 0.77 where it is not found)."""

    box: Box
    mouth_u: float
    mouth_v: float

    def x(self, u: float) -> float:
        """Pixel column of a share of the box's width."""
        return self.box.xmin + u * self.box.width

    def y(self, v: float) -> float:
        """Pixel row of a share of the box's height."""
        return self.box.ymin + v * self.box.height


def face_in_tile(face: Box, margin_ratio: float, *, tile_px: int, core_ratio: float) -> Box:
    """Where a face's box lies in its tile, in the tile's pixels; `face` is in the photograph's.

    The tile's middle `core_ratio` of each side is the square around the face, as `preprocess.square_around` has it.
    """
    scale = tile_px * core_ratio / (max(face.width, face.height, 1.0) * (1 + margin_ratio))
    half_width, half_height, middle = face.width * scale / 2, face.height * scale / 2, tile_px / 2
    return Box(middle - half_width, middle - half_height, middle + half_width, middle + half_height)


def paintable(image: MatLike, face: Box) -> bool:
    """Whether a face is large enough to paint on, and at least half of it lies in its picture."""
    height, width = image.shape[:2]
    return min(face.width, face.height) >= SMALLEST_FACE_PX and face.clipped(width, height).area >= face.area / 2


def lay_out(image: MatLike, face: Box) -> Layout:
    """Find the mouth of a bare face: the reddest and darkest spot where mouths usually are.

    Heads turn and tilt, so the mouth may lie off the middle; in a grey picture, darkness alone tells.
    """
    layout = Layout(face, 0.5, MOUTH_V)
    left, right = (round(layout.x(u)) for u in _MOUTH_ACROSS)
    top, bottom = (round(layout.y(v)) for v in _MOUTH_DOWN)
    height, width = image.shape[:2]
    if left < 0 or top < 0 or right > width or bottom > height or right - left < 4 or bottom - top < 4:
        return layout
    part = cv2.resize(image[top:bottom, left:right], _MOUTH_GRID, interpolation=cv2.INTER_AREA)
    small = np.asarray(cv2.GaussianBlur(part, (7, 3), 0), np.float32)
    light = small @ _FACTORS
    evidence = 1.5 * _standard(small[..., 0] - small[..., 1]) - _standard(light)
    u = np.linspace(*_MOUTH_ACROSS, _MOUTH_GRID[0], dtype=np.float32)[None, :]
    v = np.linspace(*_MOUTH_DOWN, _MOUTH_GRID[1], dtype=np.float32)[:, None]
    evidence -= ((u - 0.5) / 0.12) ** 2 / 2 + ((v - MOUTH_V) / 0.04) ** 2 / 2
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    return Layout(face, float((weights * u).sum()), float((weights * v).sum()))


def _standard(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Zero mean and unit deviation; differences of less than a few grey levels count for little."""
    return (values - values.mean()) / max(float(values.std()), 4.0)


def skin_colour(image: MatLike, layout: Layout) -> npt.NDArray[np.float32]:
    """The colour between cheeks and nose of a face, RGB 0 to 255."""
    height, width = image.shape[:2]
    left, right = (int(np.clip(layout.x(u), 0, width - 1)) for u in (0.3, 0.7))
    top, bottom = (int(np.clip(layout.y(v), 0, height - 1)) for v in (0.5, 0.64))
    return np.median(image[top : bottom + 1, left : right + 1].reshape(-1, 3), axis=0).astype(np.float32)
