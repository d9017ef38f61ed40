"""Whether anything moves before the camera: one cheap look at a small grey picture of each frame. Pure.

Method: a background that follows the scene at a bounded pace, and for each place a threshold that follows how much
that place varies by itself (A. Manzanera and J. Richefeu, "A new motion detection algorithm based on Σ-Δ background
estimation", Pattern Recognition Letters 28, 2007). Two things differ. Levels are logarithms, and each row's median
change is taken away: a change of light or exposure, or the bands of a flickering lamp, then leave nothing. And what
is learned is bounded by the second, not by the frame.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from maskwatch.types import Frame

ROWS, COLUMNS = 48, 64
"""Cells of the small picture. A face of 48 px in a frame of 960 rows, the smallest that a door heeds, spans two."""

LEAST_CHANGE = 0.04
"""Motion is a change of light, averaged over 3×3 cells, by more than the sum of this share and `SPREADS` times what is
usual at the place. With 0 to `MOST_SPREAD` as usual that is from 4 % to 28 %, as differences of logarithms."""

MOST_CHANGE = 8 * LEAST_CHANGE
"""No cell counts for more: then one alone, say a blinking lamp of a machine, averages to less than `LEAST_CHANGE`."""

SPREADS = 6.0
"""How many times what is usual at a place is added to `LEAST_CHANGE`."""

MOST_SPREAD = 0.04
"""No place is taken for more restless than that: a person would get lost in it."""

LIGHT_CHANGE = 0.25
"""All of a picture lighter or darker by this share is a lamp switched on, or somebody right before the lens."""

DARK_LEVEL = 20.0
"""Added to levels (0 to 255) before the logarithm, so that the noise of a dark picture is no great change."""

LEARNING_RATE, LEARNING_PACE = 1.0, 0.05
"""The background goes after a change by this share of it a second, but at any one place by no more than 5 % of light a
second. So whoever walks leaves it as it was, and a chair that was moved is part of it after some seconds."""

SPREAD_RATE, SPREAD_PACE = 0.5, 0.005
"""The same for what is usual: so slow that people who pass by do not make their way a restless place."""

LONGEST_STEP_SECONDS = 1.0
"""Frames further apart than that teach no more."""

_SAMPLES = 5  # pixels each way that make a cell: noise is a fifth of a pixel's

_Plane = npt.NDArray[np.float32]


class Motion:
    """Watches one camera. The first look only learns the scene."""

    def __init__(self) -> None:
        self._background: _Plane | None = None
        self._spread: _Plane = np.full((ROWS, COLUMNS), 0.01, np.float32)
        self._last_s = 0.0

    def look(self, frame: Frame) -> bool:
        """Whether something moves in this frame, against those before it.

        Costs about as much for a large picture as for a small one. Frames whose time stands still or jumps back are
        looked at, and not learned from.
        """
        light = _light(frame)
        if self._background is None:
            self._background, self._last_s = light, frame.captured_s
            return False
        change = light - self._background
        common = np.partition(change, COLUMNS // 2, axis=1)[:, COLUMNS // 2 : COLUMNS // 2 + 1]
        own = np.clip(change - common, -MOST_CHANGE, MOST_CHANGE)
        strength: _Plane = np.abs(cv2.blur(own, (3, 3))).astype(np.float32, copy=False)
        all_over = np.float32(np.median(common))
        moved = (strength > LEAST_CHANGE + SPREADS * self._spread).any() or abs(all_over) > LIGHT_CHANGE
        elapsed_s = min(max(0.0, frame.captured_s - self._last_s), LONGEST_STEP_SECONDS)
        self._last_s = frame.captured_s
        most = LEARNING_PACE * elapsed_s
        here = np.clip(LEARNING_RATE * elapsed_s * (change - all_over), -most, most)
        self._background = self._background + LEARNING_RATE * elapsed_s * all_over + here
        most = SPREAD_PACE * elapsed_s
        self._spread += np.clip(SPREAD_RATE * elapsed_s * (strength - self._spread), -most, most)
        np.minimum(self._spread, MOST_SPREAD, out=self._spread)
        return bool(moved)


def _light(frame: Frame) -> _Plane:
    """The frame's small stream, where it has one, as `ROWS`×`COLUMNS` logarithms of light.

    Green alone is near to grey and has the least noise; of a large picture some pixels of each cell are plenty.
    """
    image = frame.image if frame.lores is None else frame.lores
    height, width = image.shape[:2]
    down, across = max(1, height // (_SAMPLES * ROWS)), max(1, width // (_SAMPLES * COLUMNS))
    green = np.ascontiguousarray(image[::down, ::across, 1])
    cells = cv2.resize(green, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    light: _Plane = np.log(cells.astype(np.float32) + np.float32(DARK_LEVEL))
    return light
