"""Temperature scaling (Guo et al. 2017, arXiv:1706.04599): one divisor of a network's logits makes its claims honest.

It moves every probability towards ½ or away from it and changes no order, so that no curve changes, and no answer
where the threshold moves along.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from maskwatch_train.claims import CALIBRATED_FACE_PX, Claims
from maskwatch_train.evaluate import Evaluation

LOWEST, HIGHEST = 0.1, 10.0
"""A best temperature outside these says that the data tell nothing of it."""

_GOLDEN = (math.sqrt(5) - 1) / 2
_PRECISION = 1e-6
_ALMOST_SURE = 1 - 1e-12
"""A float64 of more has too few bits left to tell its logit."""


def classifier_temperature(validation: Evaluation) -> float:
    """The temperature for the labelled pictures and the labelled faces of scenes; see `fit_temperature`."""
    return fit_temperature(validation.picture_masks.joined(validation.face_masks.from_height(CALIBRATED_FACE_PX)))


def fit_temperature(claims: Claims) -> float:
    """The temperature at which claims made at temperature 1 have the least negative log-likelihood, to 0.001.

    By golden-section search over log T: the likelihood is convex in 1 / T, so there is one valley. The truths count as
    (N₁ + 1) / (N₁ + 2) and 1 / (N₀ + 2) rather than 1 and 0 (Platt 1999): a few claims that all came true do not make
    the next one certain. 1.0 where all truths are alike, as nothing can be told from them.
    """
    true, false = int(claims.truth.sum()), int((1 - claims.truth).sum())
    if not true or not false:
        return 1.0
    logit = logits(claims.probability)
    target = np.where(claims.truth == 1, (true + 1) / (true + 2), 1 / (false + 2))

    def loss(log_temperature: float) -> float:
        scaled = logit / math.exp(log_temperature)
        return float(np.mean(np.logaddexp(0, scaled) - target * scaled))

    return round(math.exp(_valley(loss, math.log(LOWEST), math.log(HIGHEST))), 3)


def at_temperature(claims: Claims, temperature: float) -> Claims:
    """What claims made at temperature 1 become at another."""
    return Claims(scaled(claims.probability, temperature), claims.truth, claims.height_px)


def scaled(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at temperature 1, float64 of any shape, at another temperature."""
    return np.exp(-np.logaddexp(0, -logits(probability) / temperature))


def logits(probability: np.ndarray) -> np.ndarray:
    """The logarithms of the odds, float64; certainty counts as nearly certain."""
    sure = np.clip(np.asarray(probability, np.float64), 1 - _ALMOST_SURE, _ALMOST_SURE)
    return np.log(sure) - np.log1p(-sure)


def _valley(loss: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one valley between two bounds is least (Kiefer 1953)."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > _PRECISION:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    return (low + high) / 2
