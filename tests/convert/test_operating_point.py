"""The two thresholds: where each does best on validation, within sane bounds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch_convert import operating_point
from maskwatch_convert.operating_point import (
    HIGHEST,
    LOWEST,
    MISSED_BARE_FACE_WEIGHT,
    PLATEAU_PICTURES,
    mask_threshold,
    score_threshold,
)
from maskwatch_train.average_precision import AveragePrecision
from maskwatch_train.claims import NOTHING, Claims
from maskwatch_train.evaluate import Evaluation, summarise
from maskwatch_train.metrics import Curve


def validation(precision=(), recall=(), threshold=(), *, detection: bool = True) -> Evaluation:
    curve = Curve(*(np.array(values, np.float64) for values in (precision, recall, threshold)))
    found = {"face": {32: AveragePrecision(0.5, 10, curve)}} if detection else None
    return replace(summarise([], [], has_finder=True), detection=found)


def test_the_best_f1_wins():
    found = score_threshold(validation([1, 0.9, 0.5], [0.2, 0.8, 0.9], [0.7, 0.456, 0.3]), otherwise=0.4)
    assert found == 0.46


def test_of_scores_that_are_as_good_the_middle_is_taken():
    # F1: 0.800, 0.903, 0.900, 0.904, 0.700, 0.904; the last one is as good, but behind a worse one.
    recall = [0.8, 0.903, 0.9, 0.904, 0.7, 0.904]
    found = score_threshold(validation(recall, recall, [0.9, 0.8, 0.6, 0.3, 0.25, 0.2]), otherwise=0.4)
    odds = math.sqrt(0.8 / 0.2 * 0.3 / 0.7)
    assert found == round(odds / (1 + odds), 2)


@pytest.mark.parametrize(("score", "expected"), [(0.97, HIGHEST), (0.05, LOWEST)])
def test_a_threshold_never_leaves_its_bounds(score, expected):
    assert score_threshold(validation([1], [1], [score]), otherwise=0.4) == expected


@pytest.mark.parametrize(
    "evaluation",
    [validation(detection=False), validation(), validation([0.0, 0.0], [0.0, 0.0], [0.9, 0.5])],
    ids=["no finder", "no face", "nothing right"],
)
def test_without_faces_to_go_by_the_given_one_stays(evaluation):
    assert score_threshold(evaluation, otherwise=0.4) == 0.4


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), max_size=20))
def test_any_curve_gives_a_usable_threshold(rows):
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    assert LOWEST <= score_threshold(validation(*columns), otherwise=0.4) <= HIGHEST


def judged(truth, mask, height_px=100.0) -> Claims:
    return Claims(np.array(mask, np.float64), np.array(truth, np.int64), np.full(len(mask), height_px))


def verdicts(truth, mask, faces: Claims = NOTHING) -> Evaluation:
    return replace(summarise([], [], has_finder=True), picture_masks=judged(truth, mask), face_masks=faces)


def cost(truth, mask, threshold) -> float:
    truth, said = np.array(truth), np.array(mask) >= threshold
    missed, false_alarms = said[truth == 0].mean(), 1 - said[truth == 1].mean()
    return MISSED_BARE_FACE_WEIGHT * missed + false_alarms


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_the_mask_threshold_parts_the_classes_half_way_by_logit():
    found = mask_threshold(verdicts([1, 1, 0, 0], [0.9, 0.6, 0.3, 0.1]), 1.0, otherwise=0.5)
    assert logit(found) == pytest.approx((logit(0.6) + logit(0.3)) / 2, abs=0.005)


def test_a_temperature_moves_the_threshold_as_it_moves_the_probabilities():
    """No answer changes by it."""
    truth, mask = [1, 1, 0, 0], [0.9, 0.55, 0.4, 0.1]
    warm, cool = (mask_threshold(verdicts(truth, mask), temperature, otherwise=0.5) for temperature in (1.0, 0.5))
    assert logit(cool) == pytest.approx(2 * logit(warm), abs=0.01)


def test_the_scarce_class_weighs_as_much_as_the_common_one():
    truth, mask = [1] * 8 + [0] * 2, [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.45, 0.6, 0.2]
    assert mask_threshold(verdicts(truth, mask), 1.0, otherwise=0.5) > 0.6


def test_a_missed_bare_face_can_be_made_to_weigh_more(monkeypatch):
    truth, mask = [1] * 4 + [0] * 4, [0.9, 0.9, 0.4, 0.4, 0.7, 0.1, 0.1, 0.1]
    assert mask_threshold(verdicts(truth, mask), 1.0, otherwise=0.5) < 0.4
    monkeypatch.setattr(operating_point, "MISSED_BARE_FACE_WEIGHT", 3.0)
    assert mask_threshold(verdicts(truth, mask), 1.0, otherwise=0.5) > 0.7


def test_a_sharp_optimum_loses_to_a_wide_range_as_good():
    """0.50 to 0.51 and 0.52 to 0.7 cost the same: a shift of a hundredth would change an answer in the first."""
    truth, mask = [0, 1, 0, 1], [0.5, 0.51, 0.52, 0.7]
    assert 0.55 < mask_threshold(verdicts(truth, mask), 1.0, otherwise=0.5) < 0.66


def test_what_costs_less_than_half_a_picture_more_is_as_good():
    """One of 101 bare ones missed weighs less than one of 100 masked ones, but not by half a picture."""
    truth = [1] * 100 + [0] * 101
    mask = [0.99] * 99 + [0.4] + [0.01] * 100 + [0.41]
    assert cost(truth, mask, 0.3) < cost(truth, mask, 0.6)
    assert 0.4 < mask_threshold(verdicts(truth, mask), 1.0, otherwise=0.5) < 0.8


def test_faces_of_scenes_count_too_from_32_px_up():
    truth, mask = [1, 1, 0, 0], [0.9, 0.8, 0.3, 0.1]
    alone = mask_threshold(verdicts(truth, mask), 1.0, otherwise=0.5)
    tall, low = judged([0, 0], [0.7, 0.7], 32), judged([0, 0], [0.7, 0.7], 31.9)
    assert mask_threshold(verdicts(truth, mask, tall), 1.0, otherwise=0.5) > 0.7 > alone
    assert mask_threshold(verdicts(truth, mask, low), 1.0, otherwise=0.5) == alone


@pytest.mark.parametrize("truth", [[1, 1], [0, 0]])
def test_one_class_alone_sets_no_mask_threshold(truth):
    assert mask_threshold(verdicts(truth, [0.7, 0.6]), 1.0, otherwise=0.5) == 0.5


@pytest.mark.parametrize(("masked", "bare"), [(0.05, 0.01), (0.99, 0.95)])
def test_classes_that_part_outside_the_bounds_leave_a_threshold_inside(masked, bare):
    assert LOWEST <= mask_threshold(verdicts([1, 0], [masked, bare]), 1.0, otherwise=0.5) <= HIGHEST


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(21, 79)), min_size=1, max_size=30))
def test_no_other_mask_threshold_does_better_by_half_a_picture(rows):
    truth, mask = [row[0] for row in rows], [row[1] / 100 for row in rows]
    chosen = mask_threshold(verdicts(truth, mask), 1.0, otherwise=0.5)
    assert LOWEST <= chosen <= HIGHEST
    if len(set(truth)) == 2:
        best = min(cost(truth, mask, level) for level in np.arange(0.2, 0.805, 0.005))
        half = PLATEAU_PICTURES / max(truth.count(0), truth.count(1))
        assert cost(truth, mask, chosen) <= best + half + 1e-9
