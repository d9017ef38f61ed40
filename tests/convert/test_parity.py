"""Float, as trained, int8: the table, and the gate that lets no bundle through. Through the verb: test_end_to_end."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.errors import DataError
from maskwatch.manifest import to_json
from maskwatch.types import Box, Face, Label
from maskwatch_convert.convert import convert_run
from maskwatch_convert.parity import ACCURACY, FACE_PRECISION, Figure, Parity, compare
from maskwatch_train.evaluate import Evaluation, PictureVerdict, SceneFaces, summarise
from maskwatch_train.index import CLASSIFICATION, DETECTION, LabelledBox, Sample
from maskwatch_train.recipes import FinderRecipe
from maskwatch_train.runs import code_identity, save_network
from maskwatch_train.split import Split
from tiny_models import tiny_manifest


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
    assert (not found.faults) is passed
    assert found.plain()["accuracy"] == {"float": None, "as_trained": right_float / 1000, "int8": right_int8 / 1000}


def parity(key: str, as_trained: float | None, as_int8: float | None, as_float: float | None = None) -> Parity:
    return Parity((Figure(key, f"the {key}", as_float, as_trained, as_int8),))


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_int8_may_be_better_than_the_float_network_but_not_worse(one, other):
    assert bool(parity(ACCURACY, one / 1000, one / 1000, other / 1000).faults) is (other - one > 3)
    assert bool(parity(FACE_PRECISION, one / 1000, one / 1000, other / 1000).faults) is (other - one > 10)


def test_a_loss_is_a_clause_of_its_own():
    (fault,) = parity(ACCURACY, 0.97, 0.97, 0.98).faults
    assert fault == "the accuracy 0.9800 in float and 0.9700 in int8, more than 0.3 points lost"


def test_what_was_before_is_compared_figure_by_figure():
    found = compare(evaluation(99, 1), evaluation(98, 2), before=evaluation(97, 3))
    assert found.plain()["accuracy"] == {"float": 0.97, "as_trained": 0.99, "int8": 0.98}


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_bound_itself_passes_whatever_binary_fractions_say(one, other):
    assert bool(parity(ACCURACY, one / 1000, other / 1000).faults) is (abs(one - other) > 3)
    assert bool(parity(FACE_PRECISION, one / 1000, other / 1000).faults) is (abs(one - other) > 10)


def test_only_accuracy_and_faces_at_a_doors_height_can_refuse_a_bundle():
    assert not parity("ap50_face_all", 0.9, 0.5).faults
    assert not parity(FACE_PRECISION, None, 0.5).faults
    assert not parity(FACE_PRECISION, None, None).faults


def test_a_fault_is_one_clause_with_both_figures():
    (fault,) = parity(ACCURACY, 0.98, 0.97).faults
    assert fault == "the accuracy 0.9800 as trained and 0.9700 in int8, more than 0.3 points apart"


def scenes(score: float) -> Evaluation:
    """Ten scenes with a masked face that is found at this score (0: not at all), and a picture."""
    box = Box(0, 0, 40, 40)
    face = Face(box, score, 0.9, Label.WITH_MASK)
    scene = Sample(Path("b.png"), DETECTION, None, (LabelledBox(box, 1),), "b", 100, 100)
    found = [SceneFaces(scene, (face,) if score else ())] * 10
    return summarise([PictureVerdict(sample(1), Label.WITH_MASK, 0.9, (), 0.5)], found, has_finder=True)


def test_faces_that_int8_does_not_find_refuse_a_bundle():
    (fault,) = compare(scenes(0.9), scenes(0)).faults
    assert fault.startswith("AP50 face, ≥ 32 px 1.0000 as trained and 0.0000 in int8")
    assert compare(scenes(0.9), scenes(0.8)).faults == ()


def test_the_table_marks_in_a_word_what_strays_or_loses_more_than_a_fifth_of_a_point():
    """Of a calibration error less is better."""
    figures = [
        Figure("a", "just so", 0.9, 0.9, 0.898),
        Figure("b", "too far", None, 0.9, 0.8979),
        Figure("c", "the other way", 0.91, 0.9, 0.95),
        Figure("d", "unknown", None, None, 0.9),
        Figure("e", "worse than float", 0.91, 0.9, 0.9),
        Figure("f", "both", 0.91, 0.9, 0.88),
        Figure("ece_g", "a smaller error", 0.02, 0.01, 0.01),
        Figure("ece_h", "a larger error", 0.01, 0.02, 0.02),
    ]
    head, rule, *rows = Parity(tuple(figures)).text().splitlines()
    assert head.split() == ["float", "as", "trained", "int8", "points"]
    assert set(rule) == {"─"}
    assert [" ".join(row.split()) for row in rows] == [
        "just so 0.9000 0.9000 0.8980 -0.20",
        "too far – 0.9000 0.8979 -0.21 strays",
        "the other way 0.9100 0.9000 0.9500 +5.00 strays",
        "unknown – – 0.9000 –",
        "worse than float 0.9100 0.9000 0.9000 +0.00 loses",
        "both 0.9100 0.9000 0.8800 -2.00 strays, loses",
        "a smaller error 0.0200 0.0100 0.0100 +0.00",
        "a larger error 0.0100 0.0200 0.0200 +0.00 loses",
    ]


def test_the_same_figures_are_compared_with_and_without_a_finder():
    with_faces, without = compare(scenes(0.9), scenes(0.8)), compare(evaluation(9, 1), evaluation(9, 1))
    names = [
        "accuracy", "ece_pictures", "ece_faces", "ece_scores", "ap50_face_all", "ap50_face_min_height_32_px",
        "ap50_masked_all", "ap50_masked_min_height_32_px", "ap50_unmasked_all", "ap50_unmasked_min_height_32_px",
    ]  # fmt: skip
    assert list(with_faces.plain()) == list(without.plain()) == names
    scores = {"float": None, "as_trained": pytest.approx(0.1), "int8": pytest.approx(0.2)}
    assert with_faces.plain()["ece_scores"] == scores
    assert set(with_faces.plain()["ap50_unmasked_all"].values()) == {None}
    assert {value for name in names[2:] for value in without.plain()[name].values()} == {None}


def test_a_manifest_takes_it_as_it_is():
    plain = compare(scenes(0.9), scenes(0.8)).plain()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    manifest = tiny_manifest(training={"parity": plain})
    assert json.loads(to_json(manifest))["training"]["parity"] == plain


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


def test_a_run_of_before_int8s_rounding_is_refused_before_any_work(tmp_path):
    """Its finder has no fixed size of input, nor ranges: the converter stopped with pages of its own."""
    (tmp_path / "finder").mkdir()
    picture = keras.Input((None, None, 3))
    trained = keras.Model(picture, keras.layers.Conv2D(1, 8)(picture))
    save_network(tmp_path / "finder", trained, FinderRecipe(), seed=1, data={}, code=code_identity())
    split = Split((sample(1),), (sample(1),), (sample(1),))
    with pytest.raises(
        DataError, match=r"finder was trained before networks learnt int8's rounding: .*--run"
    ) as caught:
        convert_run(tmp_path, "masknet", split, tmp_path, name="a", version="1.0.0", seed=1, progress=lambda _: iter)
    assert "\n" not in str(caught.value)
