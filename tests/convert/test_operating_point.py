"""The two thresholds: where each does best on validation, within sane bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.types import Label
from maskwatch_convert.operating_point import HIGHEST, LOWEST, mask_threshold, score_threshold
from maskwatch_train.average_precision import AveragePrecision
from maskwatch_train.evaluate import Evaluation
from maskwatch_train.metrics import Curve, classification_metrics, precision_recall_curve


def validation(precision=(), recall=(), threshold=(), *, detection: bool = True) -> Evaluation:
    curve = Curve(*(np.array(values, np.float64) for values in (precision, recall, threshold)))
    found = {"face": {32: AveragePrecision(0.5, 10, curve)}} if detection else None
    return Evaluation(None, {}, {}, found, 3, (), {})


def test_the_best_f1_wins():
    found = score_threshold(validation([1, 0.9, 0.5], [0.2, 0.8, 0.9], [0.7, 0.456, 0.3]), otherwise=0.4)
    assert found == 0.46


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


def verdicts(truth, mask) -> Evaluation:
    truth, mask = np.array(truth, np.int64), np.array(mask, np.float64)
    metrics = classification_metrics(truth, (mask >= 0.5).astype(np.int64), mask)
    labels = {Label.WITHOUT_MASK: 0, Label.WITH_MASK: 1}
    curves = {label: precision_recall_curve(truth, mask, value) for label, value in labels.items()}
    return Evaluation(metrics, curves, {}, None, 0, (), {})


def mean_recall(truth, mask, threshold) -> float:
    truth, said = np.array(truth), np.array(mask) >= threshold
    return (said[truth == 1].mean() + (~said[truth == 0]).mean()) / 2


def test_the_mask_threshold_parts_the_classes_half_way():
    assert mask_threshold(verdicts([1, 1, 0, 0], [0.9, 0.4, 0.3, 0.1]), otherwise=0.5) == 0.35


def test_the_scarce_class_weighs_as_much_as_the_common_one():
    truth, mask = [1] * 8 + [0] * 2, [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.45, 0.6, 0.2]
    assert mask_threshold(verdicts(truth, mask), otherwise=0.5) > 0.6


@pytest.mark.parametrize("truth", [[1, 1], [0, 0]])
def test_one_class_alone_sets_no_mask_threshold(truth):
    assert mask_threshold(verdicts(truth, [0.7, 0.6]), otherwise=0.5) == 0.5


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(21, 79)), min_size=1, max_size=30))
def test_no_other_mask_threshold_does_better(rows):
    truth, mask = [row[0] for row in rows], [row[1] / 100 for row in rows]
    chosen = mask_threshold(verdicts(truth, mask), otherwise=0.5)
    assert LOWEST <= chosen <= HIGHEST
    if len(set(truth)) == 2:
        best = max(mean_recall(truth, mask, level) for level in np.arange(0.2, 0.805, 0.005))
        assert mean_recall(truth, mask, chosen) >= best - 1e-9
