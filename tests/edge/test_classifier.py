from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from maskwatch.classifier import Look, MaskClassifier
from maskwatch.errors import BundleError
from maskwatch.manifest import ClassifierSpec, SecondLookSpec
from maskwatch.preprocess import crop_face, whole_picture
from maskwatch.types import Box, Label

LOGIT = ClassifierSpec("c.tflite", "masknet", 16, 0.25, ("without_mask", "with_mask"), "logit", 1.0, 0.5, True)
PROBABILITIES = replace(LOGIT, output="probabilities")
BOTH = replace(LOGIT, output="mask_and_face_logits", second_look=SecondLookSpec(0.5, -1.0, 0.4))


class StubNetwork:
    """Answers picture i of a batch with row i, and keeps what it was asked."""

    def __init__(self, *rows: Sequence[float]) -> None:
        self.rows = np.array(rows, np.float32)
        self.asked: list[npt.NDArray[np.uint8]] = []

    def __call__(self, batch: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], ...]:
        self.asked.append(batch)
        return (self.rows,)


def picture() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def mask_of(spec: ClassifierSpec, *row: float) -> float:
    return MaskClassifier(StubNetwork(row), spec).picture(picture())


def test_each_face_is_cut_and_answered_in_order() -> None:
    stub = StubNetwork([-1.0], [0.0], [2.0])
    boxes = [Box(0, 0, 10, 10), Box(20, 5, 40, 35), Box(50, 30, 70, 50)]
    looks = MaskClassifier(stub, LOGIT).faces(picture(), boxes)
    assert [look.mask for look in looks] == pytest.approx([sigmoid(-1), 0.5, sigmoid(2)])
    assert [look.face_logit for look in looks] == [0, 0, 0]  # one logit says nothing of that
    (batch,) = stub.asked
    np.testing.assert_array_equal(batch, [crop_face(picture(), box, 16, 0.25) for box in boxes])
    assert batch.dtype == np.uint8


def test_without_faces_the_network_is_not_asked() -> None:
    stub = StubNetwork([0.0])
    assert MaskClassifier(stub, LOGIT).faces(picture(), []) == ()
    assert stub.asked == []


def test_a_whole_picture_is_stretched_and_answered() -> None:
    stub = StubNetwork([3.0])
    assert MaskClassifier(stub, LOGIT).picture(picture()) == pytest.approx(1 / (1 + math.exp(-3)))
    np.testing.assert_array_equal(stub.asked[0][0], whole_picture(picture(), 16))


def test_two_logits_are_a_mask_and_a_face() -> None:
    stub = StubNetwork([-1.0, 3.5], [2.0, -0.25])
    first, second = MaskClassifier(stub, BOTH).faces(picture(), [Box(0, 0, 10, 10), Box(20, 5, 40, 35)])
    assert (first.mask, second.mask) == pytest.approx((sigmoid(-1), sigmoid(2)))
    assert (first.face_logit, second.face_logit) == (3.5, -0.25)
    assert mask_of(BOTH, 2.0, -9.0) == pytest.approx(sigmoid(2))


def test_the_temperature_is_the_masks_alone() -> None:
    (look,) = MaskClassifier(StubNetwork([2.0, 3.0]), replace(BOTH, temperature=4.0)).faces(
        picture(), [Box(0, 0, 9, 9)]
    )
    assert (look.mask, look.face_logit) == (pytest.approx(sigmoid(0.5)), 3.0)


def test_the_temperature_divides_the_logit() -> None:
    assert mask_of(replace(LOGIT, temperature=4.0), 2.0) == pytest.approx(1 / (1 + math.exp(-0.5)))


@settings(deadline=None)
@given(st.floats(-(2.0**127), 2.0**127, width=32), st.floats(0.001, 1000))
def test_any_logit_is_a_ratio_and_none_overflows(logit: float, temperature: float) -> None:
    assert 0 <= mask_of(replace(LOGIT, temperature=temperature), logit) <= 1


@settings(deadline=None)
@given(st.floats(-30, 30), st.floats(-30, 30))
def test_a_larger_logit_is_never_less_of_a_mask(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert mask_of(LOGIT, low) <= mask_of(LOGIT, high)
    assert mask_of(LOGIT, low) == pytest.approx(1 - mask_of(LOGIT, -low), abs=1e-6)


def test_probabilities_follow_the_order_of_the_labels() -> None:
    assert mask_of(PROBABILITIES, 0.2, 0.8) == pytest.approx(0.8)
    assert mask_of(replace(PROBABILITIES, labels=("with_mask", "without_mask")), 0.2, 0.8) == pytest.approx(0.2)


def test_quantised_probabilities_are_made_to_add_up_to_one() -> None:
    assert mask_of(PROBABILITIES, 0.25, 0.73) == pytest.approx(0.73 / 0.98)
    assert mask_of(PROBABILITIES, 0.0, 0.0) == 0


def test_the_threshold_itself_counts_as_masked() -> None:
    classifier = MaskClassifier(StubNetwork([0.0]), replace(LOGIT, threshold=0.7))
    assert classifier.label(0.7) is Label.WITH_MASK
    assert classifier.label(0.6999) is Label.WITHOUT_MASK


def test_confidence_is_that_of_the_label() -> None:
    classifier = MaskClassifier(StubNetwork([0.0]), LOGIT)
    assert classifier.confidence(0.9) == pytest.approx(0.9)
    assert classifier.confidence(0.1) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("spec", "row"),
    [
        (LOGIT, [0.1, 0.9]),
        (LOGIT, []),
        (BOTH, [0.1]),
        (BOTH, [0.1, 0.9, 0.2]),
        (PROBABILITIES, [0.5]),
        (PROBABILITIES, [0.2, 0.3, 0.5]),
    ],
)
def test_an_output_of_another_shape_is_refused(spec: ClassifierSpec, row: list[float]) -> None:
    with pytest.raises(BundleError, match=r"output is \(1, .*convert the network again"):
        mask_of(spec, *row)


@pytest.mark.parametrize(
    ("spec", "row"),
    [(LOGIT, [math.nan]), (LOGIT, [math.inf]), (BOTH, [0.5, math.nan]), (PROBABILITIES, [0.5, math.nan])],
)
def test_an_output_that_is_no_number_is_refused(spec: ClassifierSpec, row: list[float]) -> None:
    with pytest.raises(BundleError, match="not a finite number"):
        mask_of(spec, *row)


# The second look


def face_score(found: float, face_logit: float, spec: ClassifierSpec = BOTH) -> float:
    return MaskClassifier(StubNetwork([0.0, 0.0]), spec).face_score(found, Look(0.5, face_logit))


def weighed(weight: float, bias: float) -> ClassifierSpec:
    return replace(BOTH, second_look=SecondLookSpec(weight, bias, 0.4))


@pytest.mark.parametrize("spec", [LOGIT, PROBABILITIES])
@pytest.mark.parametrize("found", [0.0, 0.37, 1.0])
def test_without_a_second_look_the_finders_score_stands(spec: ClassifierSpec, found: float) -> None:
    assert face_score(found, 9.0, spec) == found


@pytest.mark.parametrize("found", [0.03, 0.5, 0.8])
def test_the_log_odds_of_both_looks_add_up(found: float) -> None:
    log_odds = math.log(found / (1 - found))
    assert face_score(found, 2.0) == pytest.approx(found)  # 0.5 × 2 − 1
    assert face_score(found, 6.0) == pytest.approx(sigmoid(log_odds + 2))
    assert face_score(found, -4.0) == pytest.approx(sigmoid(log_odds - 3))
    assert face_score(found, -4.0, weighed(0, 0)) == pytest.approx(found)


def test_a_finder_that_float32_made_certain_can_still_be_overruled() -> None:
    assert face_score(1.0, -60.0) < 1e-5
    assert face_score(0.0, 60.0) > 1 - 1e-5
    assert face_score(1.0, 2.0) > 1 - 1e-6
    assert face_score(0.0, 2.0) < 1e-6


ROUNDING = 1 + 1e-12
FACE_LOGITS = st.floats(-(2.0**127), 2.0**127, width=32)


@given(st.floats(0, 1), FACE_LOGITS, st.floats(0, 1000), st.floats(-1000, 1000))
@example(0.0, -(2.0**127), 1000.0, -1000.0)
@example(1.0, 2.0**127, 1000.0, 1000.0)
@example(0.0, 0.0, 0.0, 0.0)
@example(1.0, 0.0, 0.0, 0.0)
def test_any_two_looks_make_a_ratio(found: float, face_logit: float, weight: float, bias: float) -> None:
    assert 0 <= face_score(found, face_logit, weighed(weight, bias)) <= 1  # NaN is not


@given(st.floats(0, 1), st.tuples(FACE_LOGITS, FACE_LOGITS), st.floats(0, 1000), st.floats(-1000, 1000))
@example(0.3, (-1.0, 1.0), 0.5, -1.0)
def test_a_larger_face_logit_is_never_less_of_a_face(
    found: float, face_logits: tuple[float, float], weight: float, bias: float
) -> None:
    spec = weighed(weight, bias)
    assert face_score(found, min(face_logits), spec) <= ROUNDING * face_score(found, max(face_logits), spec)


@given(st.tuples(st.floats(0, 1), st.floats(0, 1)), st.floats(-40, 40))
@example((0.3, 0.6), 1.0)
def test_a_surer_finder_is_never_less_of_a_face(found: tuple[float, float], face_logit: float) -> None:
    assert face_score(min(found), face_logit) <= ROUNDING * face_score(max(found), face_logit)


@given(st.floats(0.01, 0.99), st.floats(-8, 8), st.floats(0.1, 3))
def test_a_face_logit_that_speaks_for_a_face_lifts_the_score(found: float, face_logit: float, weight: float) -> None:
    """Never less is true of a weight that counts for nothing, too."""
    spec = weighed(weight, 0)
    assert face_score(found, face_logit, spec) < face_score(found, face_logit + 1, spec)
