"""Training scenes for the face finder: photographs placed on a canvas at random scales, alone or as a mosaic."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from maskwatch.images import read_image
from maskwatch.preprocess import PADDING_GREY, letterbox, resize
from maskwatch.types import Image
from numpy.random import Generator

from maskwatch_train.augment import door_camera
from maskwatch_train.index import Sample
from maskwatch_train.recipes import SceneRecipe

Boxes = npt.NDArray[np.float32]
"""K×4 float32: xmin, ymin, xmax, ymax in pixels of the scene."""

SMALLEST_FACE_PX = 6.0
"""Faces lower than this in the network's input carry no signal; they are left out of the targets."""

WINDOW_TRIES, SMALLEST_WINDOW_PX = 12, 24
"""How often a face-free window is tried for, and the side from which on it shows anything."""

MOST_ENLARGEMENT = 2.5
"""No photograph is blown up further: what it would show does not exist."""


def boxes_of(sample: Sample) -> Boxes:
    """A sample's face boxes, K×4, in pixels of its picture."""
    rows = [(face.box.xmin, face.box.ymin, face.box.xmax, face.box.ymax) for face in sample.boxes]
    return np.array(rows, np.float32).reshape(-1, 4)


def _keep_visible(boxes: Boxes, left: float, top: float, right: float, bottom: float) -> Boxes:
    """Clip boxes to a window; drop those of which less than 40 % is left or that are too small to see."""
    clipped = boxes.copy()
    clipped[:, 0::2] = clipped[:, 0::2].clip(left, right)
    clipped[:, 1::2] = clipped[:, 1::2].clip(top, bottom)
    sides = (boxes[:, 2:] - boxes[:, :2]).clip(1e-3)
    seen = (clipped[:, 2:] - clipped[:, :2]).clip(0)
    share = seen.prod(axis=1) / sides.prod(axis=1)
    return clipped[(share >= 0.4) & (seen.min(axis=1) >= SMALLEST_FACE_PX)]


def _flipped(image: Image, boxes: Boxes, rng: Generator) -> tuple[Image, Boxes]:
    if rng.random() < 0.5:
        return image, boxes
    mirrored = boxes.copy()
    mirrored[:, [0, 2]] = image.shape[1] - boxes[:, [2, 0]]
    return np.ascontiguousarray(image[:, ::-1]), mirrored


def place(
    image: Image, boxes: Boxes, height_px: int, width_px: int, recipe: SceneRecipe, rng: Generator
) -> tuple[Image, Boxes]:
    """Put a photograph onto a canvas so that one of its faces, picked at random, gets a random height and place.

    Heights are drawn evenly over their logarithm, so that small and large faces are learnt alike.
    """
    height, width = image.shape[:2]
    if len(boxes):
        xmin, ymin, xmax, ymax = boxes[rng.integers(len(boxes))]
        tallest = min(recipe.tallest_face_px, 0.9 * height_px)
        wanted = np.exp(rng.uniform(np.log(recipe.lowest_face_px), np.log(tallest)))
        scale = wanted / max(ymax - ymin, 1.0)
        centre = np.array([(xmin + xmax) / 2, (ymin + ymax) / 2])
    else:
        scale = np.exp(rng.uniform(-0.5, 0.5)) * max(height_px / height, width_px / width)
        centre = np.array([rng.uniform(0, width), rng.uniform(0, height)])
    smallest = 0.6 * min(height_px / height, width_px / width)
    scale = float(np.clip(scale, smallest, max(MOST_ENLARGEMENT, smallest)))
    while (
        scale <= 0.5 and min(image.shape[:2]) > 1
    ):  # halved first, as `preprocess.resize` does: a warp alone would alias
        image = resize(image, image.shape[0] // 2, image.shape[1] // 2)
        boxes, centre, scale = boxes * 0.5, centre * 0.5, scale * 2
    stretch = np.exp(rng.normal(0, 0.06))
    angle = np.deg2rad(rng.normal(0, 5.0))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = scale * turn @ np.diag([stretch, 1 / stretch])
    target = np.array([rng.uniform(0.12, 0.88) * width_px, rng.uniform(0.12, 0.88) * height_px])
    offset = target - linear @ centre
    border = cv2.BORDER_CONSTANT if rng.random() < 0.7 else cv2.BORDER_REPLICATE
    grey = PADDING_GREY if rng.random() < 0.6 else int(rng.integers(0, 256))
    canvas = cv2.warpAffine(
        image,
        np.hstack([linear, offset[:, None]]),
        (width_px, height_px),
        flags=cv2.INTER_LINEAR,
        borderMode=border,
        borderValue=(grey, grey, grey),
    )
    corners = boxes[:, [0, 1, 2, 1, 0, 3, 2, 3]].reshape(-1, 4, 2) @ linear.T + offset
    # The corners of a turned box reach too far out: take the mean of the box around them and of the unturned one.
    around = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    middle, half = corners.mean(axis=1), (boxes[:, 2:] - boxes[:, :2]) / 2 * scale * (stretch, 1 / stretch)
    upright = np.concatenate([middle - half, middle + half], axis=1)
    return canvas.astype(np.uint8, copy=False), _keep_visible(
        ((around + upright) / 2).astype(np.float32), 0, 0, width_px, height_px
    )


def face_free(image: Image, boxes: Boxes, rng: Generator) -> Image | None:
    """A window of a photograph that touches no face, a fifth to all of its sides; None where none was met."""
    height, width = image.shape[:2]
    for _ in range(WINDOW_TRIES):
        window_height, window_width = (max(1, int(side * rng.uniform(0.2, 1.0))) for side in (height, width))
        top = int(rng.integers(height - window_height + 1))
        left = int(rng.integers(width - window_width + 1))
        bottom, right = top + window_height, left + window_width
        apart = (boxes[:, 2] <= left) | (boxes[:, 0] >= right) | (boxes[:, 3] <= top) | (boxes[:, 1] >= bottom)
        if apart.all() and min(window_height, window_width) >= SMALLEST_WINDOW_PX:
            return image[top:bottom, left:right]
    return None


def _photograph(samples: Sequence[Sample], recipe: SceneRecipe, rng: Generator) -> tuple[Image, Boxes]:
    sample = samples[int(rng.integers(len(samples)))]
    image, boxes = read_image(sample.path), boxes_of(sample)
    if rng.random() < recipe.background_share:
        window = face_free(image, boxes, rng)
        if window is not None:
            image, boxes = window, boxes[:0]
    return _flipped(image, boxes, rng)


def _mosaic(samples: Sequence[Sample], recipe: SceneRecipe, rng: Generator) -> tuple[Image, Boxes]:
    """Four photographs around a random point: many faces of many scales, and backgrounds without any."""
    canvas = np.empty((recipe.height_px, recipe.width_px, 3), np.uint8)
    split_y, split_x = (int(side * rng.uniform(0.3, 0.7)) for side in (recipe.height_px, recipe.width_px))
    found = []
    for top, bottom in ((0, split_y), (split_y, recipe.height_px)):
        for left, right in ((0, split_x), (split_x, recipe.width_px)):
            image, boxes = place(*_photograph(samples, recipe, rng), bottom - top, right - left, recipe, rng)
            canvas[top:bottom, left:right] = image
            found.append(boxes + np.array([left, top, left, top], np.float32))
    return canvas, np.concatenate(found)


def draw_scene(samples: Sequence[Sample], recipe: SceneRecipe, rng: Generator) -> tuple[Image, Boxes]:
    """One training scene: height×width×3 uint8 and its faces, K×4.

    Some are photographs letterboxed just as at the door, some placed at a random scale, some mosaics; all then go
    through a random door camera.
    """
    kind = rng.random()
    if kind < recipe.letterboxed_share:
        photograph, boxes = _photograph(samples, recipe, rng)
        image, mapping = letterbox(photograph, recipe.height_px, recipe.width_px)
        boxes = _keep_visible(mapping.boxes_to_input(boxes), 0, 0, recipe.width_px, recipe.height_px)
    elif kind < recipe.letterboxed_share + recipe.mosaic_share:
        image, boxes = _mosaic(samples, recipe, rng)
    else:
        image, boxes = place(*_photograph(samples, recipe, rng), recipe.height_px, recipe.width_px, recipe, rng)
    return door_camera(image, rng), boxes
