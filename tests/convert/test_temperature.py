"""Temperature scaling: it finds the temperature that data were drawn at, and nothing from data that tell nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch_convert.temperature import (
    HIGHEST,
    LOWEST,
    at_temperature,
    classifier_temperature,
    fit_temperature,
    logits,
    scaled,
)
from maskwatch_train.claims import Claims
from maskwatch_train.evaluate import summarise


def claims(probability, truth, height_px=100.0) -> Claims:
    probability = np.array(probability, np.float64)
    return Claims(probability, np.array(truth, np.int64), np.full(len(probability), height_px))


def drawn_at(temperature: float, count: int = 20_000) -> Claims:
    """Claims whose truths were drawn with the probabilities that this temperature makes of them."""
    rng = np.random.default_rng(5)
    probability = 1 / (1 + np.exp(-rng.normal(0, 3 * temperature, count)))
    truth = rng.random(count) < scaled(probability, temperature)
    return claims(probability, truth)


def sigmoid(logit: float) -> float:
    return 1 / (1 + np.exp(-logit))


@pytest.mark.parametrize("temperature", [0.3, 0.8, 1.0, 2.5])
def test_the_temperature_of_the_data_is_found(temperature):
    found = drawn_at(temperature)
    assert fit_temperature(found) == pytest.approx(temperature, rel=0.05)
    if temperature != 1:
        fitted = at_temperature(found, fit_temperature(found))
        assert fitted.calibration_error < 0.01 < found.calibration_error


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), max_size=30))
def test_no_temperature_near_by_is_likelier(rows):
    truth, probability = [row[0] for row in rows], [row[1] for row in rows]
    found = fit_temperature(claims(probability, truth))
    assert LOWEST <= found <= HIGHEST
    if len(set(truth)) < 2:
        assert found == 1.0
        return
    truth, logit = np.array(truth), logits(np.array(probability))
    target = np.where(truth == 1, (truth.sum() + 1) / (truth.sum() + 2), 1 / ((1 - truth).sum() + 2))

    def loss(temperature: float) -> float:
        return float(np.mean(np.logaddexp(0, logit / temperature) - target * logit / temperature))

    assert loss(found) <= min(map(loss, np.geomspace(LOWEST, HIGHEST, 200))) + 1e-4


def test_a_few_claims_that_all_came_true_make_nothing_certain():
    found = claims([sigmoid(2)] * 5 + [sigmoid(-2)] * 5, [1] * 5 + [0] * 5)
    assert scaled(found.probability, fit_temperature(found)).max() == pytest.approx(6 / 7, abs=1e-3)


def test_claims_that_are_wrong_throughout_go_to_the_bound():
    assert fit_temperature(claims([0.9, 0.1], [0, 1])) == HIGHEST


def test_certain_claims_are_no_trouble():
    assert LOWEST <= fit_temperature(claims([1.0, 0.0, 1.0, 0.0], [1, 0, 0, 1])) <= HIGHEST


@given(st.floats(0.01, 0.99), st.floats(0.25, HIGHEST))
def test_a_temperature_divides_the_logit(probability, temperature):
    expected = np.log(probability / (1 - probability)) / temperature
    assert logits(scaled(np.array(probability), temperature)) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_classifier_goes_by_pictures_and_faces_alike_but_not_by_specks():
    pictures, faces = drawn_at(0.5, 4000), drawn_at(2.0, 4000)
    nothing = summarise([], [], has_finder=True)
    assert classifier_temperature(nothing) == 1.0
    assert classifier_temperature(replace(nothing, picture_masks=pictures)) == pytest.approx(0.5, rel=0.1)
    assert classifier_temperature(replace(nothing, face_masks=faces)) == pytest.approx(2.0, rel=0.1)
    low = replace(faces, height_px=np.full(4000, 19.0))
    assert classifier_temperature(replace(nothing, picture_masks=pictures, face_masks=low)) == pytest.approx(
        0.5, rel=0.1
    )
