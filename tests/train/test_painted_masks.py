"""Painted masks: they cover what their label says, and leave alone what it says they leave."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.preprocess import square_around
from maskwatch.types import Box, Image
from maskwatch_train.face_layout import face_in_tile, lay_out, paintable
from maskwatch_train.painted_masks import Wearing, paint_mask

FACE = Box(48, 42, 112, 118)
SEEDS = range(40)


def draw_face(mouth_u: float = 0.5, mouth_v: float = 0.77) -> Image:
    """A bare face in FACE, with some grain so that every painted pixel differs."""
    image = np.full((160, 160, 3), (90, 110, 120), np.uint8)
    cv2.ellipse(image, (80, 80), (32, 38), 0, 0, 360, (205, 160, 130), -1)
    for u, v, half, colour in (
        (0.3, 0.37, (6, 3), (60, 40, 30)),
        (0.7, 0.37, (6, 3), (60, 40, 30)),
        (mouth_u, mouth_v, (10, 4), (170, 60, 60)),
    ):
        centre = round(FACE.xmin + u * FACE.width), round(FACE.ymin + v * FACE.height)
        cv2.ellipse(image, centre, half, 0, 0, 360, colour, -1)
    return np.clip(image + np.random.default_rng(0).normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def part(image: np.ndarray, us: tuple[float, float], vs: tuple[float, float]) -> np.ndarray:
    left, right = (round(FACE.xmin + u * FACE.width) for u in us)
    top, bottom = (round(FACE.ymin + v * FACE.height) for v in vs)
    return image[top:bottom, left:right]


def changed(before: np.ndarray, after: np.ndarray, us: tuple[float, float], vs: tuple[float, float]) -> float:
    """The share of a part's pixels that are not as they were."""
    return float((part(before, us, vs) != part(after, us, vs)).any(axis=2).mean())


EYES = (0.2, 0.8), (0.25, 0.38)
NOSE_TIP = (0.42, 0.58), (0.54, 0.6)
MOUTH = (0.36, 0.64), (0.75, 0.8)
CHIN = (0.4, 0.6), (0.9, 0.95)
BARE = draw_face()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_worn_mask_covers_nose_mouth_and_chin_but_not_the_eyes(seed: int) -> None:
    painted, label = paint_mask(BARE, FACE, np.random.default_rng(seed), Wearing.WORN)
    assert label == 1
    assert min(changed(BARE, painted, *spot) for spot in (NOSE_TIP, MOUTH, CHIN)) > 0.9
    assert changed(BARE, painted, *EYES) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mask_below_the_nose_covers_the_mouth_and_leaves_the_nose(seed: int) -> None:
    painted, label = paint_mask(BARE, FACE, np.random.default_rng(seed), Wearing.BELOW_NOSE)
    assert label == 0
    assert changed(BARE, painted, *MOUTH) > 0.9
    assert changed(BARE, painted, *NOSE_TIP) == 0
    assert changed(BARE, painted, *EYES) == 0


def test_a_mask_below_the_nose_leaves_it_even_where_the_mouth_seems_to_lie_high() -> None:
    bare = draw_face(mouth_v=0.7)
    for seed in SEEDS:
        painted, _ = paint_mask(bare, FACE, np.random.default_rng(seed), Wearing.BELOW_NOSE)
        assert changed(bare, painted, *NOSE_TIP) == 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("wearing", [Wearing.ON_CHIN, Wearing.FROM_EAR])
def test_a_mask_off_the_face_leaves_nose_and_mouth_but_is_seen(wearing: Wearing, seed: int) -> None:
    painted, label = paint_mask(BARE, FACE, np.random.default_rng(seed), wearing)
    assert label == 0
    assert changed(BARE, painted, *NOSE_TIP) == 0
    assert changed(BARE, painted, *MOUTH) == 0
    assert (painted != BARE).any(axis=2).sum() > 150


def test_the_mask_follows_the_mouth_of_a_turned_head() -> None:
    left, right = (lay_out(draw_face(u), FACE).mouth_u for u in (0.38, 0.62))
    assert left < 0.45 < 0.55 < right


def test_a_seed_gives_the_same_mask_and_the_picture_stays_untouched() -> None:
    image = BARE.copy()
    first, second, third = (paint_mask(image, FACE, np.random.default_rng(seed))[0] for seed in (7, 7, 8))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)
    assert np.array_equal(image, BARE)


def test_by_chance_there_are_masks_of_both_labels() -> None:
    labels = [paint_mask(BARE, FACE, np.random.default_rng(seed))[1] for seed in range(60)]
    assert 10 < sum(labels) < 50


def test_in_a_grey_picture_the_mask_is_grey() -> None:
    grey = cv2.cvtColor(cv2.cvtColor(BARE, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.uint8)
    for seed in SEEDS:
        painted, _ = paint_mask(grey, FACE, np.random.default_rng(seed), Wearing.WORN)
        assert np.ptp(painted, axis=2).max() <= 1


@pytest.mark.parametrize("face", [Box(70, 70, 80, 82), Box(-200, 20, -120, 110), Box(130, 40, 210, 130)])
def test_a_face_too_small_or_outside_comes_back_as_it_is_and_bare(face: Box) -> None:
    painted, label = paint_mask(BARE, face, np.random.default_rng(0), Wearing.WORN)
    assert label == 0
    assert np.array_equal(painted, BARE)


edge = st.floats(-300, 400)


@given(edge, edge, edge, edge, st.sampled_from(Wearing), st.integers(0, 1000), st.sampled_from([(160, 160), (40, 90)]))
def test_any_box_gives_a_picture_of_the_same_kind(
    xmin: float, ymin: float, xmax: float, ymax: float, wearing: Wearing, seed: int, size: tuple[int, int]
) -> None:
    image, face = np.full((*size, 3), 128, np.uint8), Box(xmin, ymin, xmax, ymax)
    painted, label = paint_mask(image, face, np.random.default_rng(seed), wearing)
    assert (painted.shape, painted.dtype) == (image.shape, np.uint8)
    assert label == (wearing.label if paintable(image, face) else 0)


@given(st.floats(1, 500), st.floats(1, 500), st.floats(0, 1))
def test_a_face_lies_in_its_tile_as_in_the_square_that_was_cut(width: float, height: float, margin: float) -> None:
    face = Box(30, 50, 30 + width, 50 + height)
    square = square_around(square_around(face, margin), 1 / 0.625 - 1)
    scale = 160 / square.width
    placed = face_in_tile(face, margin, tile_px=160, core_ratio=0.625)
    expected = [
        (face.xmin - square.xmin),
        (face.ymin - square.ymin),
        (face.xmax - square.xmin),
        (face.ymax - square.ymin),
    ]
    assert [placed.xmin, placed.ymin, placed.xmax, placed.ymax] == pytest.approx(
        [v * scale for v in expected], abs=1e-6
    )
