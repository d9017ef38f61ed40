"""Chooses both thresholds on the validation split: from which score on a face counts, and from which P(mask) a mask."""

from __future__ import annotations

import numpy as np
from maskwatch.types import Label
from maskwatch_train.evaluate import Evaluation

SMALLEST_FACE_PX = 32
"""Faces at a door are at least this high; smaller ones must not drag the threshold about."""

LOWEST, HIGHEST = 0.2, 0.8
"""A threshold outside these would rest on a handful of validation pictures."""


def score_threshold(validation: Evaluation, otherwise: float) -> float:
    """The score at which the F1 of faces ≥ 32 px is best, two decimals; `otherwise` where no such face is known."""
    if validation.detection is None:
        return otherwise
    curve = validation.detection["face"][SMALLEST_FACE_PX].curve
    total = curve.precision + curve.recall
    if not len(total) or total.max() <= 0:
        return otherwise
    f1 = 2 * curve.precision * curve.recall / total.clip(1e-9)
    return round(float(min(max(curve.threshold[int(f1.argmax())], LOWEST), HIGHEST)), 2)


def mask_threshold(validation: Evaluation, otherwise: float) -> float:
    """The P(mask) at which the mean recall of both classes is best, to 0.001; `otherwise` where a class is missing.

    A missed bare face and a false alarm weigh alike, whatever the data hold more of. The threshold lies half-way
    between the best picture's probability and the next lower one; of equally good ones the middle one is taken.
    """
    metrics = validation.classification
    if metrics is None or not metrics.with_mask.support or not metrics.without_mask.support:
        return otherwise
    curve = validation.curves[Label.WITH_MASK]
    masked, bare = metrics.with_mask.support, metrics.without_mask.support
    right = curve.recall * masked
    false_masks = (
        np.divide(right, curve.precision, out=np.full_like(right, masked + bare), where=curve.precision > 0) - right
    )
    mean_recall = (curve.recall + 1 - false_masks / bare) / 2
    best = np.flatnonzero(mean_recall >= mean_recall.max() - 1e-9)
    falling = np.append(curve.threshold, 0.0)
    place = int(best[len(best) // 2])
    return round(float(min(max((falling[place] + falling[place + 1]) / 2, LOWEST), HIGHEST)), 3)
