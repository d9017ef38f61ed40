"""Networks made by hand, for tests of what stands around them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from maskwatch.finder import cell_grid


class StubFinderNetwork:
    """64×96 in, stride 8: sees each (row, column, half side in pixels, logit) as a square around that cell's middle."""

    def __init__(self, *faces: tuple[int, int, float, float]) -> None:
        cells = len(cell_grid(64, 96, (8,))[0])
        self.logits = np.full((1, cells, 1), -9, np.float32)
        self.boxes = np.zeros((1, cells, 4), np.float32)
        for row, column, half_px, logit in faces:
            self.logits[0, row * 12 + column] = logit
            self.boxes[0, row * 12 + column] = np.log(half_px / 8)

    def __call__(self, batch: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], ...]:
        assert batch.shape == (1, 64, 96, 3)
        return self.logits, self.boxes
