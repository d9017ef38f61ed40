"""Batches of training scenes for the face finder, drawn from disk as they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import keras
import numpy as np
from maskwatch.images import read_image
from maskwatch.preprocess import letterbox

from maskwatch_train.index import DETECTION, Sample
from maskwatch_train.recipes import FinderRecipe, Stage
from maskwatch_train.scenes import Boxes, boxes_of, draw_scene

Targets = dict[str, np.ndarray]


def padded(boxes: Sequence[Boxes], most_faces: int) -> Targets:
    """Boxes of several scenes as one array B×M×4 with its mask B×M; the largest faces are kept where M is too few."""
    targets = np.zeros((len(boxes), most_faces, 4), np.float32)
    valid = np.zeros((len(boxes), most_faces), np.float32)
    for row, found in enumerate(boxes):
        largest_first = np.argsort((found[:, 0] - found[:, 2]) * (found[:, 3] - found[:, 1]), kind="stable")
        kept = found[largest_first[:most_faces]]
        targets[row, : len(kept)] = kept
        valid[row, : len(kept)] = 1.0
    return {"boxes": targets, "valid": valid}


class SceneBatches(keras.utils.PyDataset):
    """Random scenes; each depends only on the seed, the epoch and its own number, whatever thread draws it."""

    def __init__(
        self, samples: Sequence[Sample], recipe: FinderRecipe, stage: Stage, seed: int, workers: int = 2
    ) -> None:
        super().__init__(workers=workers, max_queue_size=8)
        self._scenes = [sample for sample in samples if sample.source == DETECTION]
        self._portraits = [sample for sample in samples if sample.source != DETECTION and sample.boxes]
        self._recipe, self._stage, self._seed = recipe, stage, seed
        self._scene = replace(
            recipe.scene,
            height_px=stage.height_px,
            width_px=stage.width_px,
            background_share=stage.background_share,
        )
        self.epoch = 0

    @property
    def num_batches(self) -> int:
        """Batches an epoch."""
        return max(1, self._recipe.scenes_per_epoch // self._stage.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Targets]:
        """Images B×H×W×3 uint8 with their targets."""
        drawn = []
        for number in range(self._stage.batch_size):
            rng = np.random.default_rng((self._seed, self.epoch, index, number))
            source = self._portraits if rng.random() >= self._recipe.detection_share else self._scenes
            drawn.append(draw_scene(source or self._scenes or self._portraits, self._scene, rng))
        return np.stack([image for image, _ in drawn]), padded([boxes for _, boxes in drawn], self._recipe.most_faces)


class LetterboxedBatches(keras.utils.PyDataset):
    """Every sample once, letterboxed as at the door and untouched otherwise: what validation looks at."""

    def __init__(self, samples: Sequence[Sample], recipe: FinderRecipe, stage: Stage) -> None:
        super().__init__(workers=2, max_queue_size=4)
        self._samples = [sample for sample in samples if sample.boxes]
        self._recipe, self._stage = recipe, stage

    @property
    def num_batches(self) -> int:
        """Batches that hold every sample once; the last may be smaller."""
        return -(-len(self._samples) // self._stage.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Targets]:
        """Images B×H×W×3 uint8 with their targets."""
        stage = self._stage
        images, boxes = [], []
        for sample in self._samples[index * stage.batch_size : (index + 1) * stage.batch_size]:
            image, mapping = letterbox(read_image(sample.path), stage.height_px, stage.width_px)
            images.append(image)
            boxes.append(mapping.boxes_to_input(boxes_of(sample)))
        return np.stack(images), padded(boxes, self._recipe.most_faces)
