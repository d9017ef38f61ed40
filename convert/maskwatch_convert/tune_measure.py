"""Measures quantised candidates side by side: accuracy on validation pictures, and the time of one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from maskwatch.bench import WARM_UP_ROUNDS, Cost, Spread, spread
from maskwatch.classifier import MaskClassifier
from maskwatch.complexity import multiply_accumulates
from maskwatch.finder import Detection, FaceFinder
from maskwatch.images import read_image
from maskwatch.interpreter import PictureModel
from maskwatch.types import Box, Frame, Label
from maskwatch_train.average_precision import UNKNOWN, PictureBoxes, average_precision, edges_of
from maskwatch_train.crops import list_crops
from maskwatch_train.evaluate import MIN_SCORE, Progress
from maskwatch_train.index import DETECTION, Sample
from maskwatch_train.metrics import wilson_interval
from maskwatch_train.recipes import ClassifierRecipe

SMALLEST_FACE_PX = 32
"""Faces at a door are at least this high in the picture."""

ROUNDS = 200

Figures = dict[str, float]
"""Figures by the name that they have in JSON."""


@dataclass(frozen=True, slots=True)
class KnownFaces:
    """One picture's faces: boxes in its pixels, labels 1 masked and 0 not."""

    path: Path
    boxes: tuple[Box, ...]
    labels: tuple[int, ...]


def scenes_to_measure(samples: Sequence[Sample]) -> list[Sample]:
    """The scenes that finders are measured on; none where no face in them counts."""
    scenes = [sample for sample in samples if sample.source == DETECTION]
    heights_px = [face.box.height for scene in scenes for face in scene.boxes]
    return scenes if any(height_px >= SMALLEST_FACE_PX for height_px in heights_px) else []


def faces_to_measure(samples: Sequence[Sample], recipe: ClassifierRecipe) -> list[KnownFaces]:
    """The labelled faces that are high enough for the recipe, picture by picture."""
    found = []
    for sample in samples:
        faces = [(crop.box, crop.label) for crop in list_crops((sample,), recipe) if crop.box is not None]
        if faces:
            boxes, labels = zip(*faces, strict=True)
            found.append(KnownFaces(sample.path, boxes, labels))
    return found


def finder_figures(finders: Sequence[FaceFinder], scenes: Sequence[Sample], progress: Progress) -> list[Figures]:
    """Each finder's average precision at IoU 0.5, all down to the evaluation's lowest score: AP50 as `evaluate` has it.

    Raises:
        ImageError: a scene cannot be read.
    """
    found: list[list[PictureBoxes]] = [[] for _ in finders]
    for scene in progress(scenes):
        frame = Frame(read_image(scene.path), captured_s=0.0)
        for finder, pictures in zip(finders, found, strict=True):
            pictures.append(_picture_boxes(scene, finder.find(frame, MIN_SCORE)))
    return [
        {
            f"ap50_from_{SMALLEST_FACE_PX}_px": average_precision(pictures, None, SMALLEST_FACE_PX).value,
            "ap50_all": average_precision(pictures).value,
        }
        for pictures in found
    ]


def classifier_figures(
    classifiers: Sequence[MaskClassifier],
    pictures: Sequence[KnownFaces],
    progress: Callable[[Sequence[KnownFaces]], Iterable[KnownFaces]],
) -> list[Figures]:
    """Each classifier's accuracy on faces whose boxes are given, with its 95% interval (Wilson's).

    Raises:
        ImageError: a picture cannot be read.
    """
    right = [0] * len(classifiers)
    for picture in progress(pictures):
        image = read_image(picture.path)
        for place, classifier in enumerate(classifiers):
            said = [classifier.label(look.mask) is Label.WITH_MASK for look in classifier.faces(image, picture.boxes)]
            right[place] += sum(answer == bool(label) for answer, label in zip(said, picture.labels, strict=True))
    total = sum(len(picture.labels) for picture in pictures)
    intervals = [wilson_interval(count, total) for count in right]
    return [
        {"accuracy": count / total, "accuracy_low": low, "accuracy_high": high}
        for count, (low, high) in zip(right, intervals, strict=True)
    ]


def time_in_turns(
    models: Sequence[PictureModel], rounds: int = ROUNDS, clock: Callable[[], float] = time.perf_counter
) -> list[Spread]:
    """Time one run of each model, one after the other in every round, so that a busy machine troubles all alike."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, model.input_shape[1:], np.uint8) for model in models]
    taken_s = np.empty((WARM_UP_ROUNDS + rounds, len(models)))
    for row in taken_s:
        for column, (model, picture) in enumerate(zip(models, pictures, strict=True)):
            model.set_picture(picture)
            began_s = clock()
            model.invoke()
            row[column] = clock() - began_s
    return [spread(column_s) for column_s in taken_s[WARM_UP_ROUNDS:].T]


def cost(model: bytes) -> Cost:
    """Bytes and multiply-accumulates of a TFLite file."""
    return Cost(len(model), multiply_accumulates(PictureModel(model).operators()))


def _picture_boxes(sample: Sample, found: Sequence[Detection]) -> PictureBoxes:
    """Faces of any label: a finder knows none."""
    return PictureBoxes(
        true_boxes=edges_of(face.box for face in sample.boxes),
        true_labels=np.array([UNKNOWN if face.label is None else face.label for face in sample.boxes], np.int64),
        boxes=edges_of(detection.box for detection in found),
        scores=np.array([detection.score for detection in found], np.float64),
        labels=np.full(len(found), UNKNOWN, np.int64),
    )
