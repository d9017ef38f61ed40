"""Things that a finder takes for faces: round, symmetric, two-toned. Badges, emblems and prints, drawn beside faces."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike
from numpy.random import Generator

MOST_DECOYS = 3
SMALLEST_PX, LARGEST_PX = 10.0, 110.0
"""Sides of a decoy; evenly drawn over their logarithm, as faces are."""

PLACE_TRIES = 8


def with_decoys(image: MatLike, boxes: npt.NDArray[np.float32], rng: Generator) -> MatLike:
    """The scene H×W×3 uint8 with up to `MOST_DECOYS` badges that touch none of the faces' boxes K×4."""
    image = image.copy()
    for _ in range(int(rng.integers(1, MOST_DECOYS + 1))):
        side_px = int(np.exp(rng.uniform(np.log(SMALLEST_PX), np.log(LARGEST_PX))))
        place = _free_place(image.shape[:2], boxes, side_px, rng)
        if place is None:
            continue
        top, left = place
        window = image[top : top + side_px, left : left + side_px]
        badge, cover = draw_badge(side_px, rng)
        window[:] = (badge * cover + window * (1 - cover)).astype(np.uint8)
    return image


def draw_badge(side_px: int, rng: Generator) -> tuple[MatLike, MatLike]:
    """A badge of mirrored blobs in two tones within a rim: side×side×3, 0 to 255, and its cover side×side×1, 0 to 1."""
    coarse = rng.random((int(rng.integers(4, 9)), int(rng.integers(4, 9))), np.float32)
    blobs = cv2.resize(coarse + coarse[:, ::-1], (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    inked = np.clip((blobs - np.median(blobs)) * rng.uniform(2, 12) + 0.5, 0, 1)[:, :, None]
    paper, ink, rim = rng.uniform(0, 255, (3, 3))
    if rng.random() < 0.4:  # gold or silver thread on dark cloth
        paper, ink = np.array([25.0, 25, 35]) * rng.uniform(0.3, 2), np.array([215.0, 180, 90]) * rng.uniform(0.6, 1.15)
    badge = paper * (1 - inked) + ink * inked
    height = rng.uniform(0.9, 1.2)
    down, across = np.mgrid[-1 : 1 : side_px * 1j, -1 : 1 : side_px * 1j]
    power = rng.uniform(1.6, 4)  # from a disc to a shield's rounded square
    distance = (np.abs(across * height) ** power + np.abs(down) ** power) ** (1 / power)
    edge = np.clip((0.92 - distance) * side_px / 3, 0, 1)[:, :, None]
    if rng.random() < 0.6:
        ring = np.clip(1 - np.abs(distance - 0.8) * rng.uniform(8, 20), 0, 1)[:, :, None]
        badge = badge * (1 - ring) + rim * ring
    return badge.clip(0, 255), edge * rng.uniform(0.8, 1)


def _free_place(
    size: tuple[int, ...], boxes: npt.NDArray[np.float32], side_px: int, rng: Generator
) -> tuple[int, int] | None:
    height, width = size[:2]
    if side_px > min(height, width):
        return None
    for _ in range(PLACE_TRIES):
        top, left = int(rng.integers(height - side_px + 1)), int(rng.integers(width - side_px + 1))
        beside = (boxes[:, 2] <= left) | (boxes[:, 0] >= left + side_px)
        if (beside | (boxes[:, 3] <= top) | (boxes[:, 1] >= top + side_px)).all():
            return top, left
    return None
