"""The classifier's training pictures: faces cut from photographs once, kept small on disk, augmented when drawn."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import keras
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike
from maskwatch.images import read_image
from maskwatch.preprocess import crop_square, square_around, whole_picture
from maskwatch.types import Box, Image
from numpy.random import Generator

from maskwatch_train.augment import door_camera, flip, low_resolution, occlude, rotate_zoom_shift
from maskwatch_train.classifier_loss import UNKNOWN
from maskwatch_train.face_layout import face_in_tile
from maskwatch_train.index import DETECTION, Sample
from maskwatch_train.occluders import aside, cover
from maskwatch_train.painted_masks import paint_mask
from maskwatch_train.recipes import ClassifierRecipe

CUTTING = 2
"""To be raised whenever a tile comes out otherwise than before, so that no tiles cut earlier are taken from disk."""

TILE_PX = 176
"""Side of a stored tile: the crop that serves, with room around it for zoom, shift and rotation."""

CORE_RATIO = 0.625
"""The share of a tile's side that the untouched crop takes, in its middle."""

SCENE_WEIGHT = 0.7
"""How often a face from a street scene is drawn, to once for a portrait: many are small and hard to tell."""

RARE_WEIGHT = 3.0
"""How many times more often a badly worn mask is drawn: few pictures show one, and they are the hardest."""

PAINTED_SHARE, COVERED_SHARE = 0.35, 0.12
"""Shares of bare faces that get a mask painted on, worn in one way or another, and a hand or a cup before the mouth."""

ASIDE_SHARE, OCCLUDED_SHARE = 0.12, 0.1
"""Shares of faces with a neighbour's head, glasses or a cap, and of crops with a patch over them."""

FAR_SHARE, CAMERA_SHARE = 0.2, 0.8
"""Shares of crops that are made as coarse as a far face, and taken through a random door camera."""

Progress = Callable[[Iterable[int], int], Iterable[int]]


@dataclass(frozen=True, slots=True)
class Crop:
    """One crop to learn from: a face, or a whole picture where `box` is None.

    `label` is 1 masked, 0 not, and None where the box holds no face.
    """

    sample: Sample
    box: Box | None
    label: int | None
    rare: bool = False


def list_crops(samples: Sequence[Sample], recipe: ClassifierRecipe) -> tuple[Crop, ...]:
    """Every labelled face tall enough to see, and every labelled whole picture, as the recipe asks."""
    crops = []
    for sample in samples:
        if sample.label is not None and recipe.whole_picture_share > 0:
            crops.append(Crop(sample, None, sample.label))
        crops += [
            Crop(sample, face.box, face.label, rare=face.name == "mask_weared_incorrect")
            for face in (sample.boxes if recipe.faces else ())
            if face.label is not None and face.box.height >= recipe.smallest_face_px
        ]
    return tuple(crops)


def cut_tile(image: Image, box: Box | None, margin_ratio: float) -> Image:
    """A tile whose middle is just what `preprocess` would hand to the network for this face or whole picture."""
    if box is None:
        core = whole_picture(image, round(TILE_PX * CORE_RATIO))
        before = (TILE_PX - core.shape[0]) // 2
        after = TILE_PX - core.shape[0] - before
        return cv2.copyMakeBorder(core, before, after, before, after, cv2.BORDER_REPLICATE).astype(np.uint8)
    square = square_around(box, margin_ratio)
    return crop_square(image, square_around(square, 1 / CORE_RATIO - 1), TILE_PX)


def cut_tiles(crops: Sequence[Crop], margin_ratio: float, cache: Path, progress: Progress) -> npt.NDArray[np.uint8]:
    """All tiles, N×176×176×3, as a memory-mapped file: cut once, then read from disk as they are needed."""
    identity = [_identity(crop) for crop in crops]
    digest = hashlib.sha256(json.dumps([CUTTING, TILE_PX, CORE_RATIO, margin_ratio, identity]).encode()).hexdigest()
    path = cache / f"tiles-{digest[:16]}.npy"
    if path.exists():
        return np.load(path, mmap_mode="r")
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    tiles = np.lib.format.open_memmap(unfinished, "w+", np.uint8, (len(crops), TILE_PX, TILE_PX, 3))

    def cut(number: int) -> int:
        crop = crops[number]
        tiles[number] = cut_tile(read_image(crop.sample.path), crop.box, margin_ratio)
        return number

    with ThreadPoolExecutor(2) as pool:
        list(progress(pool.map(cut, range(len(crops))), len(crops)))
    tiles.flush()
    unfinished.replace(path)
    return np.load(path, mmap_mode="r")


def _identity(crop: Crop) -> tuple[object, ...]:
    """Changes whenever the picture's file or the box in it does."""
    facts = crop.sample.path.stat()
    return crop.sample.name, facts.st_size, facts.st_mtime_ns, crop.box and dataclasses.astuple(crop.box)


def core(tile: Image, size_px: int) -> Image:
    """The untouched crop in the middle of a tile, size×size×3."""
    side = TILE_PX * CORE_RATIO
    before = (TILE_PX - side) / 2
    return crop_square(tile, Box(before, before, before + side, before + side), size_px)


def dress(tile: MatLike, crop: Crop, margin_ratio: float, other: MatLike, rng: Generator) -> tuple[MatLike, int | None]:
    """A tile with what people wear and hold before their faces, and its label: a painted mask may be worn or not.

    A bare face alone gets a mask or a hand; a neighbour's head is taken from the `other` tile.
    """
    label = crop.label
    if crop.box is None or label is None:
        return tile, label
    face = face_in_tile(crop.box, margin_ratio, tile_px=TILE_PX, core_ratio=CORE_RATIO)
    if label == 0 and not crop.rare:
        chance = rng.random()
        if chance < PAINTED_SHARE:
            tile, label = paint_mask(tile, face, rng)
        elif chance < PAINTED_SHARE + COVERED_SHARE:
            tile = cover(tile, face, rng)
    if rng.random() < ASIDE_SHARE:
        tile = aside(tile, face, rng, other)
    return tile, label


def draw_crop(tile: MatLike, size_px: int, rng: Generator) -> Image:
    """A crop as a finder's imprecise box and a door camera would give it: size×size×3."""
    crop: MatLike = flip(rotate_zoom_shift(tile, rng, size_px=size_px, core_ratio=CORE_RATIO), rng)
    if rng.random() < OCCLUDED_SHARE:
        crop = occlude(crop, rng)
    if rng.random() < FAR_SHARE:
        crop = low_resolution(crop, rng)
    return door_camera(crop, rng) if rng.random() < CAMERA_SHARE else crop.astype(np.uint8, copy=False)


def targets(crops: Sequence[Crop], labels: Sequence[int | None], recipe: ClassifierRecipe) -> npt.NDArray[np.int32]:
    """What the recipe's network is to say of these crops with these labels.

    B×2, mask and face, each 1, 0 or UNKNOWN; of the original CNN's B×1, 1 masked and 0 not.
    """
    masks = np.array([UNKNOWN if label is None else label for label in labels], np.int32)
    if recipe.architecture == "baseline_cnn":
        return masks[:, None]
    faces = [UNKNOWN if crop.box is None else int(label is not None) for crop, label in zip(crops, labels, strict=True)]
    return np.stack([masks, np.array(faces, np.int32)], axis=1)


class CropBatches(keras.utils.PyDataset):
    """Random crops, as many of masked faces as of others; a batch depends only on the seed, epoch and its number."""

    def __init__(
        self, crops: Sequence[Crop], tiles: npt.NDArray[np.uint8], recipe: ClassifierRecipe, seed: int
    ) -> None:
        super().__init__(workers=2, max_queue_size=8)
        self._crops, self._tiles, self._recipe, self._seed = crops, tiles, recipe, seed
        kinds = np.array([UNKNOWN if crop.label is None else crop.label for crop in crops])
        self._chance = np.array([_weight(crop, recipe) for crop in crops])
        mask_share = (1 - recipe.decoy_share) / 2  # both classes alike, whatever the data hold
        for kind, share in ((0, mask_share), (1, mask_share), (UNKNOWN, recipe.decoy_share)):
            self._chance[kinds == kind] *= share / max(self._chance[kinds == kind].sum(), 1e-9)
        self._chance /= self._chance.sum()
        self.epoch = 0

    @property
    def num_batches(self) -> int:
        """Batches an epoch."""
        return max(1, self._recipe.crops_per_epoch // self._recipe.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Crops B×S×S×3 uint8 with their targets."""
        rng = np.random.default_rng((self._seed, self.epoch, index))
        recipe = self._recipe
        chosen = rng.choice(len(self._crops), recipe.batch_size, p=self._chance)
        pictures, labels = [], []
        for number in chosen:
            tile, label = self._tiles[number], self._crops[number].label
            if recipe.dressed:
                other = self._tiles[rng.integers(len(self._tiles))]
                tile, label = dress(tile, self._crops[number], recipe.margin_ratio, other, rng)
            pictures.append(draw_crop(tile, recipe.size_px, rng))
            labels.append(label)
        return np.stack(pictures), targets([self._crops[number] for number in chosen], labels, recipe)


def _weight(crop: Crop, recipe: ClassifierRecipe) -> float:
    """How often a crop is drawn, before the classes are balanced."""
    if crop.box is None:
        return recipe.whole_picture_share
    scene = SCENE_WEIGHT if crop.sample.source == DETECTION else 1.0
    return (1 - recipe.whole_picture_share) * scene * (RARE_WEIGHT if crop.rare else 1.0)


class PlainCrops(keras.utils.PyDataset):
    """Every crop once, untouched: what validation looks at."""

    def __init__(self, crops: Sequence[Crop], tiles: npt.NDArray[np.uint8], recipe: ClassifierRecipe) -> None:
        super().__init__(workers=1)
        self._targets = targets(crops, [crop.label for crop in crops], recipe)
        self._tiles, self._recipe = tiles, recipe

    @property
    def num_batches(self) -> int:
        """Batches that hold every crop once; the last may be smaller."""
        return -(-len(self._targets) // self._recipe.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Crops B×S×S×3 uint8 with their targets."""
        chosen = slice(index * self._recipe.batch_size, (index + 1) * self._recipe.batch_size)
        return np.stack([core(tile, self._recipe.size_px) for tile in self._tiles[chosen]]), self._targets[chosen]
