"""Chooses the finder's score threshold on the validation split: where precision and recall are best together."""

from __future__ import annotations

from maskwatch_train.evaluate import Evaluation

SMALLEST_FACE_PX = 32
"""Faces at a door are at least this high; smaller ones must not drag the threshold about."""

LOWEST, HIGHEST = 0.2, 0.8
"""A threshold outside these would rest on a handful of validation faces."""


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
