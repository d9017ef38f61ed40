"""Occluders: covers hide the mouth of a bare face, asides leave nose and mouth as they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.types import Box, Image
from maskwatch_train.occluders import (
    ASIDES,
    COVERS,
    Occluder,
    aside,
    cap,
    cover,
    cup,
    hand,
    microphone,
    neighbour,
    scarf,
    sunglasses,
)

FACE = Box(48, 42, 112, 118)
SEEDS = range(30)
STEPS = [step for _, step in (*COVERS, *ASIDES)]
NOSE_AND_MOUTH = (0.42, 0.58), (0.57, 0.82)
NOSE_TIP = (0.42, 0.58), (0.54, 0.62)
MOUTH_AND_CHIN = (0.3, 0.7), (0.74, 0.98)
EYES = (0.2, 0.8), (0.3, 0.42)
FOREHEAD = (0.3, 0.7), (0.0, 0.08)


def draw_face() -> Image:
    image = np.full((160, 160, 3), (90, 110, 120), np.uint8)
    cv2.ellipse(image, (80, 80), (32, 38), 0, 0, 360, (205, 160, 130), -1)
    cv2.ellipse(image, (80, 100), (10, 4), 0, 0, 360, (170, 60, 60), -1)
    return np.clip(image + np.random.default_rng(0).normal(0, 4, image.shape), 0, 255).astype(np.uint8)


BARE = draw_face()


def changed(after: np.ndarray, us: tuple[float, float], vs: tuple[float, float]) -> float:
    """The share of a part's pixels that are not as they were."""
    left, right = (round(FACE.xmin + u * FACE.width) for u in us)
    top, bottom = (round(FACE.ymin + v * FACE.height) for v in vs)
    return float((BARE[top:bottom, left:right] != after[top:bottom, left:right]).any(axis=2).mean())


@pytest.mark.parametrize("step", STEPS)
def test_a_seed_gives_the_same_picture_and_the_given_one_stays_untouched(step: Occluder) -> None:
    image = BARE.copy()
    first, second, third = (step(image, FACE, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)
    assert np.array_equal(image, BARE)


@pytest.mark.parametrize("step", [hand, cup, microphone])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_thing_before_the_mouth_hides_much_of_mouth_and_chin(step: Occluder, seed: int) -> None:
    assert changed(step(BARE, FACE, np.random.default_rng(seed)), *MOUTH_AND_CHIN) > 0.3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_scarf_leaves_the_nose_free(seed: int) -> None:
    """Over the nose it would be taken for a mask, and its label would be wrong."""
    wrapped = scarf(BARE, FACE, np.random.default_rng(seed))
    assert changed(wrapped, *NOSE_TIP) == 0
    assert (wrapped[130:] != BARE[130:]).any(axis=2).mean() > 0.3


@pytest.mark.parametrize("step", [neighbour, sunglasses, cap])
@pytest.mark.parametrize("seed", SEEDS)
def test_an_aside_leaves_nose_and_mouth_as_they_are(step: Occluder, seed: int) -> None:
    after = step(BARE, FACE, np.random.default_rng(seed))
    assert changed(after, *NOSE_AND_MOUTH) == 0
    assert (after != BARE).any(axis=2).sum() > 100


def test_glasses_cover_the_eyes_and_a_cap_the_forehead() -> None:
    for seed in SEEDS:
        assert changed(sunglasses(BARE, FACE, np.random.default_rng(seed)), *EYES) > 0.4
        assert changed(cap(BARE, FACE, np.random.default_rng(seed)), *FOREHEAD) > 0.9


def test_a_neighbours_head_can_come_from_another_picture() -> None:
    red = np.zeros_like(BARE)
    red[..., 0] = 255
    shares = []
    for seed in SEEDS:
        after = neighbour(BARE, FACE, np.random.default_rng(seed), red)
        shares.append(((after[..., 0] > 200) & (after[..., 2] < 40)).mean())
    assert sum(share > 0.02 for share in shares) > len(SEEDS) / 2


def test_each_choice_by_chance_draws_several_things() -> None:
    for choose in (cover, aside):
        drawn = {choose(BARE, FACE, np.random.default_rng(seed)).tobytes() for seed in SEEDS}
        assert len(drawn) == len(SEEDS)


edge = st.floats(-300, 400)


@given(edge, edge, edge, edge, st.sampled_from(STEPS), st.integers(0, 1000), st.sampled_from([(160, 160), (40, 90)]))
def test_any_box_gives_a_picture_of_the_same_kind(
    xmin: float, ymin: float, xmax: float, ymax: float, step: Occluder, seed: int, size: tuple[int, int]
) -> None:
    image = np.full((*size, 3), 128, np.uint8)
    after = step(image, Box(xmin, ymin, xmax, ymax), np.random.default_rng(seed))
    assert (after.shape, after.dtype) == (image.shape, np.uint8)


@given(st.integers(-60, 100), st.integers(-60, 100), st.integers(16, 200), st.integers(16, 200),
       st.sampled_from(STEPS), st.integers(0, 1000))  # fmt: skip
def test_a_face_cut_by_the_pictures_edge_is_no_trouble(
    left: int, top: int, width: int, height: int, step: Occluder, seed: int
) -> None:
    after = step(BARE, Box(left, top, left + width, top + height), np.random.default_rng(seed))
    assert (after.shape, after.dtype) == (BARE.shape, np.uint8)
