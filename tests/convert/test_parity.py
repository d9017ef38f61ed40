"""The gate between float and int8: within 0.3 points of accuracy, else no bundle. Through the verb: test_end_to_end."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.errors import DataError
from maskwatch.types import Label
from maskwatch_convert.convert import convert_run
from maskwatch_convert.parity import Parity, compare
from maskwatch_train.evaluate import Evaluation, PictureVerdict, SceneFaces, summarise
from maskwatch_train.index import CLASSIFICATION, DETECTION, Sample
from maskwatch_train.split import Split


def sample(label: int | None) -> Sample:
    return Sample(Path("a.png"), DETECTION if label is None else CLASSIFICATION, label, (), "a", 100, 100)


def evaluation(right: int, wrong: int, *, scenes: bool = False) -> Evaluation:
    verdicts = [PictureVerdict(sample(1), Label.WITH_MASK, 0.9, (), 0.5)] * right
    verdicts += [PictureVerdict(sample(1), Label.WITHOUT_MASK, 0.2, (), 0.5)] * wrong
    return summarise(verdicts, [SceneFaces(sample(None), ())] if scenes else [], has_finder=scenes)


@pytest.mark.parametrize(
    ("right_float", "right_int8", "passed"),
    [(983, 983, True), (983, 980, True), (980, 983, True), (983, 979, False), (979, 983, False), (1000, 500, False)],
)
def test_three_in_a_thousand_pass_and_four_do_not(right_float, right_int8, passed):
    found = compare(evaluation(right_float, 1000 - right_float), evaluation(right_int8, 1000 - right_int8))
    assert found.passed is passed
    assert found.accuracy_float == right_float / 1000
    assert found.accuracy_int8 == right_int8 / 1000


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_bound_itself_passes_whatever_binary_fractions_say(one, other):
    assert Parity(one / 1000, other / 1000, None, None).passed is (abs(one - other) <= 3)


def test_the_line_says_what_was_measured():
    assert Parity(0.98, 0.979, None, None).text() == "accuracy float 0.9800, int8 0.9790"
    assert Parity(0.98, 0.979, 0.9, 0.89).text().endswith("AP50 of faces ≥ 32 px float 0.9000, int8 0.8900")


def test_average_precision_is_there_only_where_faces_are_looked_for():
    assert compare(evaluation(9, 1), evaluation(9, 1)).ap50_float is None
    assert compare(evaluation(9, 1, scenes=True), evaluation(9, 1, scenes=True)).ap50_int8 is not None


def test_nothing_labelled_cannot_be_compared():
    nothing = summarise([], [], has_finder=False)
    with pytest.raises(ValueError, match="labelled"):
        compare(nothing, evaluation(1, 0))


@pytest.mark.parametrize("part", ["validation", "test"])
def test_data_without_labelled_pictures_are_refused_before_any_work(tmp_path, part):
    parts = {"train": (sample(1),), "validation": (sample(1),), "test": (sample(1),)} | {part: (sample(None),)}
    with pytest.raises(DataError, match=f"{part} part.*data fetch"):
        convert_run(
            tmp_path, "masknet", Split(**parts), tmp_path, name="a", version="1.0.0", seed=1, progress=lambda _: iter
        )
