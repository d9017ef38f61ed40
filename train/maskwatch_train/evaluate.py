"""Runs a pipeline, the same code as serving, over samples on disk and measures what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from maskwatch.images import read_image
from maskwatch.manifest import HISTOGRAM_BINS
from maskwatch.types import Box, Face, Frame, Image, Label

from maskwatch_train.average_precision import AveragePrecision, PictureBoxes, average_precision_table, edges_of, match
from maskwatch_train.claims import Claims, scene_claims
from maskwatch_train.index import DETECTION, SIZE_BANDS_PX, LabelledBox, Sample
from maskwatch_train.metrics import ClassificationMetrics, Curve, classification_metrics, precision_recall_curve

if TYPE_CHECKING:
    from maskwatch.pipeline import Pipeline

MIN_SCORE: Final = 0.01
"""Detections from here up are ranked: far below any threshold in use, so that the curve's tail is there.

It is the finder's score at temperature 1; at another temperature it finds the same. A second look may take some of the
last ones away.
"""

MOST_MISTAKES: Final = 24
"""Mistakes kept of each kind, the most confident first."""

WHOLE_PICTURE: Final = "no face found"
"""The row of pictures that were judged as a whole because the finder saw no face in them."""

Progress = Callable[[Sequence[Sample]], Iterable[Sample]]
"""Passes the samples through, as `tqdm.tqdm` does, and may show how far it got."""


class MistakeKind(Enum):
    """What went wrong; the values are for readers."""

    PICTURE = "Pictures with the wrong verdict"
    FACE_LABEL = "Faces with the wrong label"
    NO_FACE = "Faces found where none is annotated"


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong answer. `confidence`, 0 to 1, is what the pipeline gave it; `mask` its P(mask worn properly).

    `truth` is None where nothing is annotated; `box`, in pixels of the picture, is None where the whole picture was
    judged.
    """

    kind: MistakeKind
    path: Path
    name: str
    truth: Label | None
    said: Label
    mask: float
    confidence: float
    box: Box | None


@dataclass(frozen=True, slots=True)
class PictureVerdict:
    """What the pipeline said about one picture of a classification set; `faces` are those above its own threshold."""

    sample: Sample
    said: Label
    mask: float
    faces: tuple[Face, ...]
    brightness: float


@dataclass(frozen=True, slots=True)
class SceneFaces:
    """What the pipeline found in one picture of a detection set, down to MIN_SCORE."""

    sample: Sample
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All figures of one pipeline.

    `classification` and its `curves` (by label) are None and empty without classification samples. `groups` are the
    same figures a size band and for pictures without a face found. `detection` is None without a finder or detection
    samples, else average precision by target and smallest face height in pixels.

    `picture_masks` are P(mask) of the classification samples and `face_masks` of the labelled faces that were found in
    scenes; `face_scores` are scores of faces there, true where a face is.
    """

    classification: ClassificationMetrics | None
    curves: Mapping[Label, Curve]
    groups: Mapping[str, ClassificationMetrics]
    detection: Mapping[str, Mapping[int, AveragePrecision]] | None
    scenes: int
    mistakes: tuple[Mistake, ...]
    histograms: Mapping[str, tuple[int, ...]]
    picture_masks: Claims
    face_masks: Claims
    face_scores: Claims


def evaluate_pipeline(pipeline: Pipeline, samples: Sequence[Sample], progress: Progress = iter) -> Evaluation:
    """Measure a pipeline on samples; one picture at a time is in memory.

    A pipeline without a finder is measured on whole pictures only.

    Raises:
        ImageError: a sample's file cannot be read.
    """
    has_finder = pipeline.finder is not None
    min_score = 1.0 if pipeline.finder is None else lowest_score(pipeline.finder.spec.temperature)
    verdicts: list[PictureVerdict] = []
    scenes: list[SceneFaces] = []
    for sample in progress([each for each in samples if each.label is not None or has_finder]):
        image = read_image(sample.path)
        if sample.source == DETECTION:
            scenes.append(SceneFaces(sample, pipeline.faces(Frame(image, captured_s=0.0), min_score=min_score)))
        elif sample.label is not None:
            result = pipeline.classify(image)
            verdicts.append(PictureVerdict(sample, result.label, result.mask, result.faces, brightness(image)))
    return summarise(verdicts, scenes, has_finder=has_finder)


def summarise(verdicts: Sequence[PictureVerdict], scenes: Sequence[SceneFaces], *, has_finder: bool) -> Evaluation:
    """The figures behind what a pipeline said."""
    arrays = [_scene_arrays(scene) for scene in scenes]
    truth, _, mask = _columns(verdicts)
    labels = {Label.WITH_MASK: 1, Label.WITHOUT_MASK: 0}
    faces = [face for verdict in verdicts for face in verdict.faces]
    mistakes = _picture_mistakes(verdicts)
    for scene, boxes in zip(scenes, arrays, strict=True):
        mistakes += _scene_mistakes(scene, boxes)
    scene_masks = [np.array([face.mask for face in scene.faces], np.float64) for scene in scenes]
    face_masks, face_scores = scene_claims(arrays, scene_masks)
    return Evaluation(
        classification=classification_metrics(*_columns(verdicts)) if verdicts else None,
        curves={word: precision_recall_curve(truth, mask, label) for word, label in labels.items()} if verdicts else {},
        groups=_groups(verdicts, has_finder=has_finder),
        detection=average_precision_table(arrays) if scenes else None,
        scenes=len(scenes),
        mistakes=_worst(mistakes),
        histograms=histograms(
            [face.mask for face in faces] if has_finder else [verdict.mask for verdict in verdicts],
            [face.score for face in faces],
            [verdict.brightness for verdict in verdicts],
        ),
        picture_masks=Claims(mask, truth, np.array([verdict.sample.height_px for verdict in verdicts], np.float64)),
        face_masks=face_masks,
        face_scores=face_scores,
    )


def lowest_score(temperature: float) -> float:
    """What MIN_SCORE becomes at a finder's temperature: the logit of a score is divided by it."""
    odds = (MIN_SCORE / (1 - MIN_SCORE)) ** (1 / temperature)
    return odds / (1 + odds)


def histograms(
    masks: Sequence[float], face_scores: Sequence[float], brightnesses: Sequence[float]
) -> dict[str, tuple[int, ...]]:
    """Counts in HISTOGRAM_BINS equal bins over 0 to 1: what drift on a door is compared with.

    `mask` is P(mask) of each face, `face_score` how surely it is one, `brightness` that of each picture.
    """
    values = {"mask": masks, "face_score": face_scores, "brightness": brightnesses}
    return {
        name: tuple(int(count) for count in np.histogram(numbers, HISTOGRAM_BINS, (0, 1))[0])
        for name, numbers in values.items()
    }


def brightness(image: Image) -> float:
    """The mean over all pixels and channels of an H×W×3 uint8 picture, 0 black to 1 white."""
    return float(image.mean()) / 255


def _columns(verdicts: Sequence[PictureVerdict]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True labels, answered labels and P(mask), each of shape (N,)."""
    return (
        np.array([verdict.sample.label for verdict in verdicts], np.int64),
        np.array([verdict.said is Label.WITH_MASK for verdict in verdicts], np.int64),
        np.array([verdict.mask for verdict in verdicts], np.float64),
    )


def _groups(verdicts: Sequence[PictureVerdict], *, has_finder: bool) -> dict[str, ClassificationMetrics]:
    """Figures by size band, smallest first, then for the pictures in which no face was found; empty groups left out."""
    order = [band for _, band in SIZE_BANDS_PX]
    bands = sorted(
        {verdict.sample.size_band for verdict in verdicts},
        key=lambda band: order.index(band) if band in order else len(order),
    )
    members = {band: [verdict for verdict in verdicts if verdict.sample.size_band == band] for band in bands}
    if has_finder:
        members[WHOLE_PICTURE] = [verdict for verdict in verdicts if not verdict.faces]
    return {name: classification_metrics(*_columns(group)) for name, group in members.items() if group}


def _scene_arrays(scene: SceneFaces) -> PictureBoxes:
    known: Sequence[LabelledBox] = scene.sample.boxes
    return PictureBoxes(
        true_boxes=edges_of(face.box for face in known),
        true_labels=np.array([-1 if face.label is None else face.label for face in known], np.int64),
        boxes=edges_of(face.box for face in scene.faces),
        scores=np.array([face.score for face in scene.faces], np.float64),
        labels=np.array([face.label is Label.WITH_MASK for face in scene.faces], np.int64),
    )


def _word(label: int) -> Label:
    return Label.WITH_MASK if label else Label.WITHOUT_MASK


def _claimed(said: Label, mask: float) -> float:
    """The probability that the pipeline gave its own answer."""
    return mask if said is Label.WITH_MASK else 1 - mask


def _picture_mistakes(verdicts: Sequence[PictureVerdict]) -> list[Mistake]:
    mistakes = []
    for verdict in verdicts:
        sample = verdict.sample
        truth = _word(sample.label or 0)
        if verdict.said is not truth:
            box = verdict.faces[0].box if verdict.faces else None
            confidence = _claimed(verdict.said, verdict.mask)
            mistakes.append(
                Mistake(
                    MistakeKind.PICTURE, sample.path, sample.name, truth, verdict.said, verdict.mask, confidence, box
                )
            )
    return mistakes


def _scene_mistakes(scene: SceneFaces, boxes: PictureBoxes) -> list[Mistake]:
    """Faces found where none is annotated, and faces found but given the wrong label."""
    sample, mistakes = scene.sample, []
    matches = match(boxes.boxes, boxes.scores, boxes.true_boxes, np.zeros(len(boxes.true_boxes), bool))
    for face, place in zip(scene.faces, matches, strict=True):
        known = None if place < 0 else sample.boxes[place].label
        truth = None if known is None else _word(known)
        if place >= 0 and truth in (None, face.label):
            continue
        kind = MistakeKind.NO_FACE if truth is None else MistakeKind.FACE_LABEL
        confidence = face.score if truth is None else face.score * _claimed(face.label, face.mask)
        mistakes.append(Mistake(kind, sample.path, sample.name, truth, face.label, face.mask, confidence, face.box))
    return mistakes


def _worst(mistakes: Sequence[Mistake]) -> tuple[Mistake, ...]:
    """The most confident of each kind, kind by kind; equal ones by name, so that the list is always the same."""
    ranked = sorted(mistakes, key=lambda mistake: (-mistake.confidence, mistake.name))
    return tuple(
        mistake for kind in MistakeKind for mistake in [each for each in ranked if each.kind is kind][:MOST_MISTAKES]
    )
