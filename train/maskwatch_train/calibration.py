"""The pictures that an int8 network's ranges are measured on: seeded, balanced over classes, through `preprocess`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from maskwatch.images import read_image
from maskwatch.preprocess import crop_face, letterbox, whole_picture
from maskwatch.types import Box

from maskwatch_train.index import DETECTION, Sample

Batch = npt.NDArray[np.float32]
"""1×H×W×3 float32, 0 to 255: what a float network takes."""

Item = TypeVar("Item")

PICTURES = 200
"""A hundred or two settle the scales; more only take longer."""


def finder_pictures(samples: Sequence[Sample], seed: int, count: int = PICTURES) -> tuple[Sample, ...]:
    """Scenes and portraits half and half, as far as there are any."""
    rng = np.random.default_rng((seed, 1))
    scenes = _drawn([sample for sample in samples if sample.source == DETECTION], count // 2, rng)
    rest = _drawn([sample for sample in samples if sample.source != DETECTION], count - len(scenes), rng)
    return (*scenes, *rest)


def classifier_pictures(
    samples: Sequence[Sample], seed: int, *, faces: bool, count: int = PICTURES
) -> tuple[tuple[Sample, Box | None], ...]:
    """Faces (None: the whole picture), masked and not masked half and half; fewer where one of the two is scarce."""
    rng = np.random.default_rng((seed, 2))
    whole: dict[int, list[tuple[Sample, Box | None]]] = {
        label: [(each, None) for each in samples if each.label == label] for label in (0, 1)
    }
    cut: dict[int, list[tuple[Sample, Box | None]]] = {
        label: [(each, face.box) for each in samples for face in each.boxes if faces and face.label == label]
        for label in (0, 1)
    }
    share = min(count // 2, *(len(whole[label]) + len(cut[label]) for label in (0, 1)))
    chosen: list[tuple[Sample, Box | None]] = []
    for label in (0, 1):
        in_faces = _drawn(cut[label], max(share * 3 // 4, share - len(whole[label])), rng)
        chosen += [*in_faces, *_drawn(whole[label], share - len(in_faces), rng)]
    return tuple(chosen)


def finder_batches(pictures: Sequence[Sample], height_px: int, width_px: int) -> Iterator[Batch]:
    """The finder's calibration inputs."""
    for sample in pictures:
        picture, _ = letterbox(read_image(sample.path), height_px, width_px)
        yield _full_range(picture)


def classifier_batches(
    pictures: Sequence[tuple[Sample, Box | None]], size_px: int, margin_ratio: float
) -> Iterator[Batch]:
    """The classifier's calibration inputs."""
    for sample, box in pictures:
        image = read_image(sample.path)
        yield _full_range(
            whole_picture(image, size_px) if box is None else crop_face(image, box, size_px, margin_ratio)
        )


def _full_range(picture: npt.NDArray[np.uint8]) -> Batch:
    """One picture as a batch in which both 0 and 255 occur.

    A network without an int8 form is calibrated by the converter, which makes the input's scale exactly 1 of that.
    """
    batch: Batch = picture[None].astype(np.float32)
    batch[0, 0, 0], batch[0, -1, -1] = 0.0, 255.0
    return batch


def _drawn(items: Sequence[Item], count: int, rng: np.random.Generator) -> tuple[Item, ...]:
    order = rng.permutation(len(items))[:count]
    return tuple(items[int(place)] for place in order)
