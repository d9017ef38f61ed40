"""Chooses both thresholds on the validation split: from which score on a face counts, and from which P(mask) a mask."""

from __future__ import annotations

import itertools

import numpy as np
from maskwatch_train.claims import Claims
from maskwatch_train.evaluate import Evaluation

from maskwatch_convert.temperature import at_temperature, logits

SMALLEST_FACE_PX = 32
"""Faces at a door are at least this high; smaller ones must not drag the threshold about."""

LOWEST, HIGHEST = 0.2, 0.8
"""A threshold outside these would rest on a handful of validation pictures."""

MISSED_BARE_FACE_WEIGHT = 1.0
"""How many shares of false alarms a share of missed bare faces weighs.

Shares, not counts: of all bare ones the missed, of all masked ones those called bare, whatever the data hold more of.
At a door, where most people wear a mask or most do not, neither may be traded away for the other. Above 1 the alarm
rather sounds once too often.
"""

PLATEAU_F1 = 0.005
"""Score thresholds whose F1 is this close to the best one count as equally good."""

PLATEAU_PICTURES = 0.5
"""Thresholds that cost less than this many pictures more than the best one count as equally good."""


def score_threshold(validation: Evaluation, otherwise: float) -> float:
    """The score at which the F1 of faces ≥ 32 px is best, two decimals; `otherwise` where no such face is known.

    It is the middle, by logit, of the unbroken range around the best score whose F1 is within PLATEAU_F1 of it: the
    best score itself hangs on single faces.
    """
    if validation.detection is None:
        return otherwise
    curve = validation.detection["face"][SMALLEST_FACE_PX].curve
    total = curve.precision + curve.recall
    if not len(total) or total.max() <= 0:
        return otherwise
    f1 = 2 * curve.precision * curve.recall / total.clip(1e-9)
    best = int(f1.argmax())
    worse = np.flatnonzero(f1 < f1[best] - PLATEAU_F1)
    first = worse[worse < best].max(initial=-1) + 1
    last = worse[worse > best].min(initial=len(f1)) - 1
    middle = logits(curve.threshold[[first, last]]).mean()
    return round(min(max(float(1 / (1 + np.exp(-middle))), LOWEST), HIGHEST), 2)


def mask_threshold(validation: Evaluation, temperature: float, otherwise: float) -> float:
    """The P(mask) that parts bare from masked at the least cost, to 0.001; `otherwise` where a class is missing.

    Judged are all labelled pictures and the labelled faces ≥ 32 px of scenes, one as much as the other; the cost is
    that of MISSED_BARE_FACE_WEIGHT. Of the thresholds that are as good as the best one, within PLATEAU_PICTURES, it is
    the middle of their longest unbroken range, by logit: rounding a network to int8 shifts its logits alike wherever
    they lie, and there the shift has the farthest to go until it changes an answer.

    `validation` was measured at the classifier's temperature 1, and the threshold is for `temperature`.
    """
    judged = validation.picture_masks.joined(validation.face_masks.from_height(SMALLEST_FACE_PX))
    bare, masked = int((judged.truth == 0).sum()), int((judged.truth == 1).sum())
    if not bare or not masked:
        return otherwise
    edges, cost = _costs(at_temperature(judged, temperature))
    lightest = min(MISSED_BARE_FACE_WEIGHT / bare, 1 / masked)
    good = cost <= cost.min() + PLATEAU_PICTURES * lightest
    ranges = [
        list(group) for is_good, group in itertools.groupby(range(len(cost)), lambda place: good[place]) if is_good
    ]
    longest = max(ranges, key=lambda places: edges[places[-1] + 1] - edges[places[0]])
    middle = (edges[longest[0]] + edges[longest[-1] + 1]) / 2
    return round(float(1 / (1 + np.exp(-middle))), 3)


def _costs(judged: Claims) -> tuple[np.ndarray, np.ndarray]:
    """What each threshold costs: N + 1 rising logits from LOWEST to HIGHEST, and the cost between each two of them."""
    logit = logits(judged.probability)
    low, high = logits(np.array([LOWEST, HIGHEST]))
    edges = np.unique(np.concatenate([[low, high], logit[(logit > low) & (logit < high)]]))
    levels = (edges[:-1] + edges[1:]) / 2
    called_masked = logit[:, None] >= levels
    bare = judged.truth == 0
    missed, false_alarms = called_masked[bare].mean(axis=0), 1 - called_masked[~bare].mean(axis=0)
    return edges, MISSED_BARE_FACE_WEIGHT * missed + false_alarms
