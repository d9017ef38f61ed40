"""Simple solid shapes, drawn beside a picture and then laid over it with soft edges, cloudy light and a shadow."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike
from numpy.random import Generator

from maskwatch_train.mask_fabrics import Floats, smooth_noise

Point = tuple[float, float] | npt.NDArray[np.floating]

_SUB_BITS = 4
_FARTHEST_PX = 10_000


def _fixed(x: float, y: float) -> tuple[int, int]:
    """Sub-pixel coordinates as OpenCV draws them."""
    columns, rows = np.clip((x, y), -_FARTHEST_PX, _FARTHEST_PX) * (1 << _SUB_BITS)
    return round(float(columns)), round(float(rows))


def _scalar(colour: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in np.clip(colour, 0, 255))


class Drawing:
    """Shapes over an H×W×3 picture. Each has a colour, RGB 0 to 255, and an opacity, 0 to 255.

    A colour of None only covers with what `things` hold there; an opacity of None only colours what is covered already.
    """

    def __init__(self, image: MatLike, things: MatLike | None = None) -> None:
        self.things = image.copy() if things is None else things
        self.alpha = np.zeros(image.shape[:2], np.uint8)

    def _layers(self, colour: Floats | None, opacity: float | None) -> list[tuple[MatLike, tuple[float, ...]]]:
        things = [] if colour is None else [(self.things, _scalar(colour))]
        return things if opacity is None else [*things, (self.alpha, (opacity,))]

    def polygon(self, points: Sequence[Point], colour: Floats | None, opacity: float | None = 255.0) -> None:
        """A filled polygon."""
        corners = np.array([_fixed(x, y) for x, y in points], np.int32)
        for canvas, value in self._layers(colour, opacity):
            cv2.fillPoly(canvas, [corners], value, cv2.LINE_AA, _SUB_BITS)

    def ellipse(
        self,
        centre: Point,
        half: Point,
        colour: Floats | None,
        opacity: float | None = 255.0,
        degrees: float = 0.0,
    ) -> None:
        """A filled ellipse of half axes `half`, turned clockwise."""
        axes = _fixed(max(float(half[0]), 0.5), max(float(half[1]), 0.5))
        for canvas, value in self._layers(colour, opacity):
            cv2.ellipse(canvas, _fixed(*centre), axes, degrees, 0, 360, value, -1, cv2.LINE_AA, _SUB_BITS)

    def stroke(
        self, start: Point, end: Point, thick_px: float, colour: Floats | None, opacity: float | None = 255.0
    ) -> None:
        """A straight line with round ends."""
        for canvas, value in self._layers(colour, opacity):
            thick = max(1, round(float(thick_px)))
            cv2.line(canvas, _fixed(*start), _fixed(*end), value, thick, cv2.LINE_AA, _SUB_BITS)

    def finger(self, root: Point, tip: Point, thick_px: float, skin: Floats) -> None:
        """A finger: dark at its edges, light along its middle."""
        self.stroke(root, tip, thick_px, skin * np.float32(0.7))
        self.stroke(root, tip, thick_px * 0.74, skin * np.float32(0.97), None)
        self.stroke(root, tip, thick_px * 0.35, skin * np.float32(1.04), None)

    def over(self, image: MatLike, rng: Generator, shade: float = 0.3) -> MatLike:
        """The picture with the shapes over it; `shade` is how dark their shadow is, 0 to 1."""
        left, top, wide, high = cv2.boundingRect(self.alpha)
        if wide == 0 or high == 0:
            return image
        height, width = self.alpha.shape
        rows = slice(max(top - 3, 0), min(top + high + 3, height))
        columns = slice(max(left - 3, 0), min(left + wide + 3, width))
        blur = rng.uniform(0.5, 1.0)
        alpha = self.alpha[rows, columns]
        cover = cv2.GaussianBlur(alpha, (0, 0), blur).astype(np.float32)[:, :, None] * np.float32(1 / 255)
        shadow = cv2.GaussianBlur(alpha, (0, 0), 3).astype(np.float32)[:, :, None] * np.float32(shade / 255)
        drawn = cv2.GaussianBlur(self.things[rows, columns], (0, 0), blur).astype(np.float32)
        drawn *= 1 + np.float32(0.06) * smooth_noise(alpha.shape, 14, rng)[:, :, None]
        ground = image[rows, columns] * (1 - shadow)
        result = image.copy()
        result[rows, columns] = np.clip(ground + (drawn - ground) * cover, 0, 255).astype(np.uint8)
        return result
