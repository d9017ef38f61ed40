"""Boxes and words on a picture: there, apart, inside, at any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.drawing import MIN_LONG_SIDE_PX, annotate
from maskwatch.types import Box, Face, Label, Situation

GREEN, VERMILION = (0, 158, 115), (213, 94, 0)


def face(mask: float, box: Box) -> Face:
    return Face(box, 0.9, mask, Label.WITH_MASK if mask >= 0.5 else Label.WITHOUT_MASK)


def share(picture: np.ndarray, colour: tuple[int, int, int]) -> float:
    return float((picture == np.array(colour, np.uint8)).all(axis=2).mean())


def test_masked_and_bare_faces_differ_in_colour_and_in_dashes() -> None:
    grey = np.full((480, 640, 3), 90, np.uint8)
    box = Box(200, 150, 400, 400)
    masked, bare = annotate(grey, [face(0.98, box)]), annotate(grey, [face(0.03, box)])
    assert share(masked, GREEN) > 0
    assert share(masked, VERMILION) == 0
    assert share(bare, VERMILION) > 0
    assert share(bare, GREEN) == 0
    solid, dashed = masked[170:380, 399] != 90, bare[170:380, 399] != 90
    assert solid.any(axis=1).all()
    assert 0.3 < dashed.any(axis=1).mean() < 0.9


def test_the_picture_given_is_left_as_it_was() -> None:
    grey = np.full((480, 640, 3), 90, np.uint8)
    drawn = annotate(grey, [face(0.9, Box(10, 10, 100, 100))], Situation.UNMASKED)
    assert (grey == 90).all()
    assert drawn.shape == grey.shape


def test_without_faces_the_picture_stays_the_same() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    np.testing.assert_array_equal(annotate(noise, []), noise)


def test_a_small_picture_is_enlarged_so_that_words_can_be_read() -> None:
    drawn = annotate(np.full((60, 80, 3), 90, np.uint8), [face(0.1, Box(20, 20, 50, 50))])
    assert drawn.shape == (360, MIN_LONG_SIDE_PX, 3)


@pytest.mark.parametrize("situation", list(Situation))
def test_every_situation_has_a_banner(situation: Situation) -> None:
    drawn = annotate(np.full((480, 640, 3), 90, np.uint8), [], situation)
    assert (drawn[:400] == 90).all()
    assert not (drawn[-20:] == 90).all()


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(16, 900), st.integers(16, 900)),
    st.lists(st.tuples(*[st.floats(-200, 1200)] * 4, st.floats(0, 1)), max_size=4),
)
def test_any_box_on_any_size_can_be_drawn(size: tuple[int, int], raw: list[tuple[float, ...]]) -> None:
    faces = [face(mask, Box(min(a, c), min(b, d), max(a, c), max(b, d))) for a, b, c, d, mask in raw]
    drawn = annotate(np.zeros((*size, 3), np.uint8), faces, Situation.UNSURE)
    assert drawn.dtype == np.uint8
    assert max(drawn.shape[:2]) == max(MIN_LONG_SIDE_PX, *size)
