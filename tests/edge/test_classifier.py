from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.classifier import MaskClassifier
from maskwatch.errors import BundleError
from maskwatch.manifest import ClassifierSpec
from maskwatch.preprocess import crop_face, whole_picture
from maskwatch.types import Box, Label

LOGIT = ClassifierSpec("c.tflite", "masknet", 16, 0.25, ("without_mask", "with_mask"), "logit", 1.0, 0.5, True)
PROBABILITIES = replace(LOGIT, output="probabilities")


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


def mask_of(spec: ClassifierSpec, *row: float) -> float:
    return MaskClassifier(StubNetwork(row), spec).picture(picture())


def test_each_face_is_cut_and_answered_in_order() -> None:
    stub = StubNetwork([-1.0], [0.0], [2.0])
    boxes = [Box(0, 0, 10, 10), Box(20, 5, 40, 35), Box(50, 30, 70, 50)]
    masks = MaskClassifier(stub, LOGIT).faces(picture(), boxes)
    assert masks == pytest.approx([1 / (1 + math.e), 0.5, 1 / (1 + math.exp(-2))])
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
    ("spec", "row"), [(LOGIT, [0.1, 0.9]), (PROBABILITIES, [0.5]), (PROBABILITIES, [0.2, 0.3, 0.5]), (LOGIT, [])]
)
def test_an_output_of_another_shape_is_refused(spec: ClassifierSpec, row: list[float]) -> None:
    with pytest.raises(BundleError, match=r"output is \(1, .*convert the network again"):
        mask_of(spec, *row)


@pytest.mark.parametrize(("spec", "row"), [(LOGIT, [math.nan]), (LOGIT, [math.inf]), (PROBABILITIES, [0.5, math.nan])])
def test_an_output_that_is_no_number_is_refused(spec: ClassifierSpec, row: list[float]) -> None:
    with pytest.raises(BundleError, match="not a finite number"):
        mask_of(spec, *row)
