"""Figures for a yes-or-no classifier, each a pure function of arrays: labels are 1 with_mask, 0 without_mask."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.float64]

CALIBRATION_BINS = 15
"""Bins of the expected calibration error; the number that Guo et al. 2017, arXiv:1706.04599, made customary."""

WILSON_Z = 1.959963984540054
"""The normal distribution's 97.5% point: two-sided 95% intervals."""


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One class taken as the positive. A ratio whose denominator is 0 is NaN; `support` counts its true examples."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Examples whose probability fell in one bin; both shares are NaN in an empty bin."""

    count: int
    mean_probability: float
    share_with_mask: float


@dataclass(frozen=True, slots=True)
class ClassificationMetrics:
    """All figures of one set of pictures. `confusion[truth][said]` counts them, index 1 for with_mask."""

    pictures: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    with_mask: ClassScores
    without_mask: ClassScores
    confusion: tuple[tuple[int, int], tuple[int, int]]
    calibration: tuple[CalibrationBin, ...]
    calibration_error: float


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Precision over recall, from the strictest threshold to the loosest: three float64 arrays of equal length."""

    precision: FloatArray
    recall: FloatArray
    threshold: FloatArray

    def thinned(self, points: int) -> Curve:
        """At most this many points (2 or more), evenly spaced along the curve, both ends kept."""
        if len(self.recall) <= points:
            return self
        kept = np.unique(np.linspace(0, len(self.recall) - 1, points).round().astype(int))
        return Curve(self.precision[kept], self.recall[kept], self.threshold[kept])


def ratio(part: float, whole: float) -> float:
    """`part / whole`; NaN where the whole is 0, since nothing was there to measure."""
    return part / whole if whole else math.nan


def classification_metrics(truth: IntArray, said: IntArray, mask: FloatArray) -> ClassificationMetrics:
    """All figures for N pictures: true labels, answered labels, and P(mask) from 0 to 1, each of shape (N,)."""
    confusion = confusion_matrix(truth, said)
    right, pictures = int(np.trace(confusion)), len(truth)
    bins = calibration_bins(truth, mask)
    return ClassificationMetrics(
        pictures=pictures,
        accuracy=ratio(right, pictures),
        accuracy_interval=wilson_interval(right, pictures),
        with_mask=class_scores(confusion, 1),
        without_mask=class_scores(confusion, 0),
        confusion=((int(confusion[0, 0]), int(confusion[0, 1])), (int(confusion[1, 0]), int(confusion[1, 1]))),
        calibration=bins,
        calibration_error=expected_calibration_error(bins),
    )


def confusion_matrix(truth: IntArray, said: IntArray) -> npt.NDArray[np.int64]:
    """Counts, shape (2, 2): row the true label, column the answered one."""
    counts = np.bincount(2 * np.asarray(truth, np.int64) + np.asarray(said, np.int64), minlength=4)
    return counts.reshape(2, 2).astype(np.int64)


def class_scores(confusion: npt.NDArray[np.int64], label: int) -> ClassScores:
    """Precision, recall and F1 with `label` (1 or 0) as the positive class."""
    hits = int(confusion[label, label])
    answered, support = int(confusion[:, label].sum()), int(confusion[label].sum())
    return ClassScores(ratio(hits, answered), ratio(hits, support), ratio(2 * hits, answered + support), support)


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """Wilson's 95% score interval for a proportion (J. Am. Stat. Assoc. 22, 1927); (0, 1) where the total is 0."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = right / total, WILSON_Z**2
    centre = share + z2 / (2 * total)
    half = WILSON_Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    low, high = (centre - half) / (1 + z2 / total), (centre + half) / (1 + z2 / total)
    # Where all or none are right one end is the share itself, and rounding may carry it a hair past.
    return max(0.0, min(low, share)), min(1.0, max(high, share))


def calibration_bins(truth: IntArray, mask: FloatArray, bins: int = CALIBRATION_BINS) -> tuple[CalibrationBin, ...]:
    """Equal bins of P(mask) over 0 to 1, each with its mean probability and the share that truly wears a mask.

    Binned by P(mask) itself rather than by the answer's confidence, so that both ends show and no threshold enters.
    """
    which = np.clip((np.asarray(mask, np.float64) * bins).astype(np.int64), 0, bins - 1)
    counts = np.bincount(which, minlength=bins)
    probabilities = np.bincount(which, weights=mask, minlength=bins)
    masked = np.bincount(which, weights=truth, minlength=bins)
    return tuple(
        CalibrationBin(int(count), ratio(float(total), int(count)), ratio(float(positive), int(count)))
        for count, total, positive in zip(counts, probabilities, masked, strict=True)
    )


def expected_calibration_error(bins: tuple[CalibrationBin, ...]) -> float:
    """Mean gap between claimed and observed share, weighted by the bins' counts (Naeini et al., AAAI 2015)."""
    gaps = [abs(each.mean_probability - each.share_with_mask) * each.count for each in bins if each.count]
    return ratio(sum(gaps), sum(each.count for each in bins))


def precision_recall_curve(truth: IntArray, mask: FloatArray, label: int) -> Curve:
    """The curve of one class (1 or 0), one point for each distinct probability; empty where the class has no example.

    The threshold is on the probability of that class: P(mask) for 1, 1 − P(mask) for 0.
    """
    positive = np.asarray(truth) == label
    score = np.asarray(mask, np.float64) if label == 1 else 1 - np.asarray(mask, np.float64)
    if not positive.any():
        empty = np.empty(0)
        return Curve(empty, empty, empty)
    order = np.argsort(-score, kind="stable")
    score, hits = score[order], np.cumsum(positive[order])
    last_of_tie = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    hits_then = hits[last_of_tie]
    return Curve(hits_then / (last_of_tie + 1.0), hits_then / hits[-1], score[last_of_tie])
