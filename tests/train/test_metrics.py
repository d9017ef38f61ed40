"""Classification figures, against naive definitions and against cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch_train.metrics import (
    calibration_bins,
    class_scores,
    classification_metrics,
    confusion_matrix,
    expected_calibration_error,
    precision_recall_curve,
    wilson_interval,
)

labels = st.integers(0, 1)
# Sixteenths are exact in binary, and few enough that ties come up; 1 − p is exact too.
probabilities = st.integers(0, 16).map(lambda n: n / 16)
rows = st.lists(st.tuples(labels, labels, probabilities), min_size=1, max_size=40)


def columns(given_rows):
    truth, said, mask = zip(*given_rows, strict=True)
    return np.array(truth), np.array(said), np.array(mask)


def same(a, b):
    return a == pytest.approx(b, abs=1e-12, nan_ok=True)


def test_a_case_worked_by_hand():
    # 4 masked (3 found), 6 unmasked (4 found).
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    said = np.array([1, 1, 1, 0, 0, 0, 0, 0, 1, 1])
    found = classification_metrics(truth, said, said.astype(float))
    assert found.pictures == 10
    assert found.accuracy == pytest.approx(0.7)
    assert found.confusion == ((4, 2), (1, 3))
    assert (found.with_mask.precision, found.with_mask.recall) == (pytest.approx(3 / 5), pytest.approx(3 / 4))
    assert (found.without_mask.precision, found.without_mask.recall) == (pytest.approx(4 / 5), pytest.approx(4 / 6))
    assert found.without_mask.f1 == pytest.approx(8 / 11)
    assert (found.with_mask.support, found.without_mask.support) == (4, 6)


@given(rows)
def test_scores_match_their_definitions(given_rows):
    truth, said, mask = columns(given_rows)
    metrics = classification_metrics(truth, said, mask)
    assert same(metrics.accuracy, sum(t == s for t, s, _ in given_rows) / len(given_rows))
    for label, scores in ((1, metrics.with_mask), (0, metrics.without_mask)):
        hits = sum(t == s == label for t, s, _ in given_rows)
        answered = sum(s == label for _, s, _ in given_rows)
        support = sum(t == label for t, _, _ in given_rows)
        precision = hits / answered if answered else math.nan
        recall = hits / support if support else math.nan
        assert same(scores.precision, precision)
        assert same(scores.recall, recall)
        assert scores.support == support
        if precision + recall > 0:
            assert same(scores.f1, 2 * precision * recall / (precision + recall))


@given(rows)
def test_calibration_error_matches_its_definition(given_rows):
    total = 0.0
    for low in range(15):
        inside = [(t, p) for t, _, p in given_rows if low <= p * 15 < low + 1 or (low == 14 and p == 1)]
        if inside:
            total += abs(sum(p for _, p in inside) - sum(t for t, _ in inside))
    truth, _, mask = columns(given_rows)
    bins = calibration_bins(truth, mask)
    assert len(bins) == 15
    assert sum(each.count for each in bins) == len(given_rows)
    assert same(expected_calibration_error(bins), total / len(given_rows))


@pytest.mark.parametrize(
    ("truth", "mask", "error"),
    [
        ([1, 0], [1.0, 0.0], 0.0),
        ([0, 1], [1.0, 0.0], 1.0),
        ([1, 1, 1, 0], [0.75] * 4, 0.0),
        ([1, 0, 0, 0], [0.75] * 4, 0.5),
    ],
)
def test_calibration_error_by_hand(truth, mask, error):
    assert expected_calibration_error(calibration_bins(np.array(truth), np.array(mask))) == pytest.approx(error)


@given(rows, labels)
def test_each_point_of_the_curve_is_what_its_threshold_gives(given_rows, label):
    truth, _, mask = columns(given_rows)
    curve = precision_recall_curve(truth, mask, label)
    score = mask if label == 1 else 1 - mask
    if not (truth == label).any():
        assert len(curve.threshold) == len(curve.recall) == len(curve.precision) == 0
        return
    assert list(curve.threshold) == sorted(set(score), reverse=True)
    for precision, recall, threshold in zip(curve.precision, curve.recall, curve.threshold, strict=True):
        said = np.where(score >= threshold, label, 1 - label)
        expected = class_scores(confusion_matrix(truth, said), label)
        assert same((precision, recall), (expected.precision, expected.recall))


def test_a_thinned_curve_keeps_both_ends_and_its_order():
    rng = np.random.default_rng(3)
    curve = precision_recall_curve(rng.integers(0, 2, 500), rng.random(500), 1)
    thin = curve.thinned(101)
    assert len(thin.recall) == len(thin.precision) == len(thin.threshold) == 101
    assert (thin.threshold[0], thin.threshold[-1]) == (curve.threshold[0], curve.threshold[-1])
    assert (np.diff(thin.threshold) < 0).all()
    assert curve.thinned(500) is curve


def test_wilson_interval_agrees_with_the_literature():
    # Newcombe, Statistics in Medicine 17, 1998, table I, method 3.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_its_share_and_mirrors(case):
    right, total = case
    low, high = wilson_interval(right, total)
    assert 0 <= low <= right / total <= high <= 1
    assert wilson_interval(total - right, total) == pytest.approx((1 - high, 1 - low))


def test_no_pictures_give_no_figures_rather_than_an_error():
    nothing = classification_metrics(np.empty(0, int), np.empty(0, int), np.empty(0))
    assert nothing.pictures == 0
    assert math.isnan(nothing.accuracy)
    assert math.isnan(nothing.with_mask.f1)
    assert math.isnan(nothing.calibration_error)
    assert nothing.accuracy_interval == (0.0, 1.0)
