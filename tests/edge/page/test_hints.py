"""Hints: each trouble alone, the neighbours of each threshold, and nothing to say of a good picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.cameras.portrait import load_portraits
from maskwatch.page.hints import Trouble, aim
from maskwatch.types import Box, Face, Frame, Image
from sights import face, textured

MIDDLE = Box(240, 140, 400, 340)


def troubles(image: Image, *faces: Face, min_face_height_px: int = 48, lores: Image | None = None) -> list[Trouble]:
    return [hint.trouble for hint in aim(Frame(image, 0.0, lores=lores), faces, min_face_height_px).hints]


def painted(background: int, level: int, box: Box = MIDDLE) -> Image:
    """A textured picture of one level with a textured face of another."""
    image = textured(background)
    rows, columns = slice(int(box.ymin), int(box.ymax)), slice(int(box.xmin), int(box.xmax))
    image[rows, columns] = textured(level)[rows, columns]
    return image


@pytest.mark.parametrize("level", [90, 128, 180])
def test_a_good_picture_gets_no_hint(level: int) -> None:
    assert troubles(textured(level), face(MIDDLE)) == []
    assert troubles(textured(level)) == []


@pytest.mark.parametrize(
    ("background", "level", "expected"),
    [
        (120, 30, [Trouble.DARK]),
        (120, 60, []),
        (250, 55, [Trouble.BACKLIT]),
        (250, 100, []),
        (120, 250, [Trouble.BRIGHT]),
        (3, 30, [Trouble.DARK]),
    ],
)
def test_light_is_judged_on_the_face(background: int, level: int, expected: list[Trouble]) -> None:
    assert troubles(painted(background, level), face(MIDDLE)) == expected


def test_light_without_a_face() -> None:
    window = textured(20)
    window[:, :200] = 255
    assert troubles(window) == [Trouble.BACKLIT]
    assert troubles(textured(30, contrast=5)) == [Trouble.DARK]
    assert troubles(np.full((480, 640, 3), 255, np.uint8)) == [Trouble.BRIGHT]
    assert troubles(textured(200)) == []


def test_a_covered_lens_says_nothing_else() -> None:
    assert troubles(np.full((480, 640, 3), 4, np.uint8), face(Box(0, 0, 20, 20))) == [Trouble.BLACK]


def test_the_small_stream_is_where_light_is_seen() -> None:
    assert aim(Frame(textured(120), 0.0, lores=textured(60, 128, 96)), (), 48).brightness == pytest.approx(60, abs=3)


@pytest.mark.parametrize(("height_px", "expected"), [(47, [Trouble.SMALL]), (48, [])])
def test_too_small_is_what_the_door_ignores(height_px: int, expected: list[Trouble]) -> None:
    (small,) = [face(Box(300, 200, 340, 200 + height_px))]
    assert troubles(textured(128), small) == expected
    assert troubles(textured(128), small, min_face_height_px=0) == []


def test_somebody_far_away_behind_a_near_one_is_no_trouble() -> None:
    assert troubles(textured(128), face(MIDDLE), face(Box(20, 20, 40, 44))) == []


def test_a_small_face_is_told_with_both_heights() -> None:
    (hint,) = aim(Frame(textured(128), 0.0), [face(Box(300, 200, 330, 231))], 48).hints
    assert "has 31 px, the door needs 48" in hint.advice


@pytest.mark.parametrize(
    ("box", "words"),
    [
        (Box(5, 140, 165, 340), "at the left edge"),
        (Box(478, 140, 638, 340), "at the right edge"),
        (Box(240, -20, 400, 200), "at the upper edge"),
        (Box(240, 280, 400, 479), "at the lower edge"),
        (Box(470, 280, 700, 500), "at the right and lower edge"),
    ],
)
def test_the_edge_is_named(box: Box, words: str) -> None:
    (hint,) = aim(Frame(textured(128), 0.0), [face(box)], 48).hints
    assert hint.trouble is Trouble.EDGE
    assert words in hint.advice


def test_a_face_that_fills_the_picture_is_too_near() -> None:
    assert troubles(textured(128), face(Box(100, 5, 540, 475))) == [Trouble.NEAR]


@pytest.mark.parametrize("masked", [0, 1])
def test_a_blurred_face_is_told_from_a_sharp_one(masked: int) -> None:
    portrait = load_portraits()[masked]
    near, far = face(Box(170, 110, 360, 350)), face(Box(230, 190, 300, 280))
    assert Trouble.BLURRED not in troubles(portrait, near)
    blurred = cv2.GaussianBlur(portrait, (0, 0), 7)  # 3 % of the face's height
    assert Trouble.BLURRED in troubles(blurred, near)
    assert Trouble.BLURRED not in troubles(blurred, far)  # too small to tell


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(st.integers(16, 400), st.integers(16, 400)),
    st.lists(st.tuples(*[st.floats(-300, 700)] * 4), max_size=3),
    st.integers(0, 255),
)
def test_any_box_in_any_picture_can_be_judged(
    size: tuple[int, int], raw: Sequence[tuple[float, ...]], level: int
) -> None:
    faces = [face(Box(min(a, c), min(b, d), max(a, c), max(b, d))) for a, b, c, d in raw]
    seen = aim(Frame(np.full((*size, 3), level, np.uint8), 0.0), faces, 48)
    assert seen.brightness == pytest.approx(level)
    assert len({hint.trouble for hint in seen.hints}) == len(seen.hints)
    assert all(str(hint).startswith(hint.trouble.value) for hint in seen.hints)
