"""Weighs the finder's word against the classifier's second look: logistic regression on the faces of validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from maskwatch.errors import FindingError
from maskwatch.images import read_image
from maskwatch.pipeline import Pipeline
from maskwatch.types import Frame
from maskwatch_train.average_precision import UNKNOWN, PictureBoxes, edges_of
from maskwatch_train.claims import CALIBRATED_FACE_PX, matched
from maskwatch_train.evaluate import MIN_SCORE, Progress
from maskwatch_train.index import DETECTION, Sample

from maskwatch_convert.temperature import logits

SMALLEST_FACE_PX = 32
"""Faces at a door are at least this high."""

MOST_LOST = 0.005
"""The share of faces that would pass the second look but never get one: the price of looking less often."""

_HIGHEST_TEMPERATURE = 1000.0
"""What a manifest takes; a finder that needs a higher one says nothing."""

_ITERATIONS = 100
_RIDGE = 1e-3
"""Of Newton's method, and against a direction in which the data say nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What both networks said of N detections, and the truth: four arrays of shape (N,).

    `found` are the finder's log-odds at temperature 1 and `looked` the classifier's face logits, float64; `truth` is
    int64, 1 where a face is; `height_px` float64, the true face's height, or the detection's where there is none.
    """

    found: np.ndarray
    looked: np.ndarray
    truth: np.ndarray
    height_px: np.ndarray


@dataclass(frozen=True, slots=True)
class Weights:
    """Log-odds of a face = `found` / temperature + weight × `looked` + bias."""

    temperature: float
    weight: float
    bias: float

    def scores(self, evidence: Evidence) -> np.ndarray:
        """Scores of both looks together, 0 to 1."""
        return _sigmoid(evidence.found / self.temperature + self.weight * evidence.looked + self.bias)


def gather(pipeline: Pipeline, samples: Sequence[Sample], progress: Progress = iter) -> Evidence:
    """What a pipeline at the finder's temperature 1 says of the scenes among these samples.

    Left out are detections matched to a face under CALIBRATED_FACE_PX, and lower ones matched to none.

    Raises:
        ImageError: a scene cannot be read.
        ValueError: the pipeline has no finder.
    """
    if pipeline.finder is None:
        raise ValueError("a second look needs a first one")
    rows = [np.empty((0, 4))]
    for sample in progress([sample for sample in samples if sample.source == DETECTION]):
        image = read_image(sample.path)
        detections = pipeline.finder.find(Frame(image, captured_s=0.0), MIN_SCORE)
        looks = pipeline.classifier.faces(image, [detection.box for detection in detections])
        scene = PictureBoxes(
            true_boxes=edges_of(face.box for face in sample.boxes),
            true_labels=np.full(len(sample.boxes), UNKNOWN, np.int64),
            boxes=edges_of(detection.box for detection in detections),
            scores=np.array([detection.score for detection in detections], np.float64),
            labels=np.full(len(detections), UNKNOWN, np.int64),
        )
        places, heights_px = matched(scene)
        face_logits = [look.face_logit for look in looks]
        rows.append(np.stack([logits(scene.scores), face_logits, places >= 0, heights_px], axis=1))
    found, looked, truth, height_px = np.concatenate(rows).T
    tall = height_px >= CALIBRATED_FACE_PX
    return Evidence(found[tall], looked[tall], truth[tall].astype(np.int64), height_px[tall])


def fit_weights(evidence: Evidence) -> Weights:
    """The weights under which the truths are likeliest, by Newton's method; three decimals.

    The truths count as (N₁ + 1) / (N₁ + 2) and 1 / (N₀ + 2) rather than 1 and 0 (Platt 1999). The finder's word alone,
    as it is, where all truths are alike; without the second look, where either of the two would count against a face.

    Raises:
        FindingError: the finder's score says nothing, so that no temperature makes it honest.
    """
    true, false = int(evidence.truth.sum()), int((1 - evidence.truth).sum())
    if not true or not false:
        return Weights(temperature=1.0, weight=0.0, bias=0.0)
    target = np.where(evidence.truth == 1, (true + 1) / (true + 2), 1 / (false + 2))
    ones = np.ones_like(evidence.found)
    scale, weight, bias = _logistic_regression(np.stack([evidence.found, evidence.looked, ones], axis=1), target)
    if weight < 0 or scale < 1 / _HIGHEST_TEMPERATURE:
        weight = 0.0
        scale, bias = _logistic_regression(np.stack([evidence.found, ones], axis=1), target)
    if scale < 1 / _HIGHEST_TEMPERATURE:
        raise FindingError("the finder is no surer of faces than of what is none: train it for longer")
    return Weights(round(1 / scale, 3), round(weight, 3), round(bias, 3))


def worth_a_look(evidence: Evidence, weights: Weights, score_threshold: float) -> float:
    """The finder's own score, at its temperature, from which on a box gets the second look; six decimals.

    The highest at which at most MOST_LOST of the faces ≥ SMALLEST_FACE_PX that would pass are not looked at.
    """
    passing = (evidence.truth == 1) & (evidence.height_px >= SMALLEST_FACE_PX)
    passing &= weights.scores(evidence) >= score_threshold
    if not passing.any():
        return score_threshold
    lowest = _sigmoid(np.quantile(evidence.found[passing], MOST_LOST, method="lower") / weights.temperature)
    return float(np.floor(1e6 * lowest) / 1e6)  # fewer could make it 0, at which every cell gets a look


def _logistic_regression(columns: np.ndarray, target: np.ndarray) -> list[float]:
    """Coefficients of the columns N×K for targets N between 0 and 1."""
    coefficients = np.zeros(columns.shape[1])
    for _ in range(_ITERATIONS):
        predicted = _sigmoid(columns @ coefficients)
        gradient = columns.T @ (predicted - target) + _RIDGE * coefficients
        curvature = (columns * (predicted * (1 - predicted))[:, None]).T @ columns + _RIDGE * np.eye(len(coefficients))
        step = np.linalg.solve(curvature, gradient)
        coefficients -= step
        if np.abs(step).max() < 1e-9:
            break
    return [float(value) for value in coefficients]


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -logit))
