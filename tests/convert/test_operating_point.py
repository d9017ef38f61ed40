"""The finder's threshold: where precision and recall are best together, within sane bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch_convert.operating_point import HIGHEST, LOWEST, score_threshold
from maskwatch_train.average_precision import AveragePrecision
from maskwatch_train.evaluate import Evaluation
from maskwatch_train.metrics import Curve


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
