from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from maskwatch.preprocess import (
    PADDING_GREY,
    crop_face,
    crop_square,
    letterbox,
    quantise,
    resize,
    square_around,
    whole_picture,
)
from maskwatch.types import Box

SIDES = st.integers(1, 300)


def noise(height_px: int, width_px: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)


def quarters(side_px: int) -> npt.NDArray[np.uint8]:
    """Four quarters: red, green, blue, white, from the top left, row by row."""
    picture = np.zeros((side_px, side_px, 3), np.uint8)
    half = side_px // 2
    picture[:half, :half, 0] = picture[:half, half:, 1] = picture[half:, :half, 2] = 255
    picture[half:, half:] = 255
    return picture


# Resizing


@settings(deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 255))
def test_resize_gives_the_size_asked_for_and_keeps_a_plain_colour(
    height_px: int, width_px: int, new_height_px: int, new_width_px: int, grey: int
) -> None:
    resized = resize(np.full((height_px, width_px, 3), grey, np.uint8), new_height_px, new_width_px)
    assert resized.dtype == np.uint8
    assert resized.shape == (new_height_px, new_width_px, 3)
    assert (resized == grey).all()


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_shrinking_to_halves_of_halves_is_the_mean_of_each_block(
    halvings_down: int, halvings_across: int, seed: int
) -> None:
    down, across = 2**halvings_down, 2**halvings_across
    picture = noise(8 * down, 10 * across, seed)
    means = picture.reshape(8, down, 10, across, 3).mean(axis=(1, 3))
    assert np.abs(resize(picture, 8, 10) - means).max() <= 0.5 * max(halvings_down, halvings_across) + 1e-6


@settings(deadline=None)
@given(st.integers(20, 1000), st.integers(20, 40))
def test_shrinking_moves_nothing_by_more_than_a_pixel(width_px: int, new_width_px: int) -> None:
    """Where a ramp is as bright as asked lies at the same share of the width before and after."""
    assume(width_px > new_width_px)
    ramp = np.linspace(0, 250, width_px).astype(np.uint8)
    resized = resize(np.dstack([np.broadcast_to(ramp, (4, width_px))] * 3), 4, new_width_px)[0, :, 0]
    level_per_px = 250 / new_width_px
    expected = np.clip((np.arange(new_width_px) + 0.5) / new_width_px * 250, 0, 250)
    assert np.abs(resized - expected).max() <= level_per_px + 2


@pytest.mark.parametrize("shape", [(64, 640), (20, 640), (640, 20)])
def test_fine_stripes_become_grey_and_no_pattern(shape: tuple[int, int]) -> None:
    """A picture that shrank one way and grew the other was sampled, not averaged: INTER_AREA needs both to shrink."""
    stripes = np.zeros((*shape, 3), np.uint8)
    if shape[1] > shape[0]:
        stripes[:, ::2] = 255
    else:
        stripes[::2] = 255
    assert np.abs(resize(stripes, 40, 40).astype(int) - 128).max() <= 1


def test_enlarging_is_smooth() -> None:
    edge = np.zeros((1, 2, 3), np.uint8)
    edge[:, 1] = 200
    row = resize(edge, 1, 20)[0, :, 0].astype(int)
    assert (np.diff(row) >= 0).all()
    assert len(np.unique(row)) > 5


def test_the_right_size_is_left_as_it_is() -> None:
    picture = noise(7, 9)
    assert resize(picture, 7, 9) is picture


# Letterbox


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(8, 320), st.integers(8, 320))
def test_letterbox_keeps_the_aspect_ratio_and_centres(
    height_px: int, width_px: int, input_height_px: int, input_width_px: int
) -> None:
    fitted, mapping = letterbox(np.full((height_px, width_px, 3), 255, np.uint8), input_height_px, input_width_px)
    assert fitted.dtype == np.uint8
    assert fitted.shape == (input_height_px, input_width_px, 3)
    picture = (fitted == 255).all(axis=2)
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    assert picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert (fitted[~picture] == PADDING_GREY).all()
    scale = min(input_height_px / height_px, input_width_px / width_px)
    assert abs(len(rows) - height_px * scale) <= 1
    assert abs(len(columns) - width_px * scale) <= 1
    assert len(rows) == input_height_px or len(columns) == input_width_px
    assert (rows[0], columns[0]) == (mapping.offset_y_px, mapping.offset_x_px)
    assert abs(rows[0] - (input_height_px - 1 - rows[-1])) <= 1
    assert abs(columns[0] - (input_width_px - 1 - columns[-1])) <= 1


@settings(deadline=None)
@given(
    SIDES, SIDES, st.integers(8, 320), st.integers(8, 320), st.lists(st.tuples(*[st.floats(-0.5, 1.5)] * 4), max_size=5)
)
def test_boxes_go_to_the_input_and_back(
    height_px: int, width_px: int, input_height_px: int, input_width_px: int, shares: list[tuple[float, ...]]
) -> None:
    _, mapping = letterbox(np.zeros((height_px, width_px, 3), np.uint8), input_height_px, input_width_px)
    boxes = np.array(shares, np.float32).reshape(-1, 4) * np.array([width_px, height_px] * 2, np.float32)
    there = mapping.boxes_to_input(boxes)
    back = mapping.boxes_to_picture(there)
    assert there.dtype == back.dtype == np.float32
    assert there.shape == back.shape == boxes.shape
    np.testing.assert_allclose(back, boxes, atol=1e-3 * max(height_px, width_px))


def test_a_box_lands_on_what_it_showed() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[40:60, 120:160] = 255
    fitted, mapping = letterbox(picture, 96, 96)
    (box,) = mapping.boxes_to_input(np.array([[120, 40, 160, 60]], np.float32))
    rows, columns = np.nonzero(fitted[..., 0] > 190)
    assert np.abs(box - [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).max() <= 1
    (whole,) = mapping.boxes_to_picture(np.array([[0, 24, 96, 72]], np.float32))
    assert whole.tolist() == pytest.approx([0, 0, 200, 100])


# Crops


def test_the_square_has_the_longer_side_with_its_margin_around_the_centre() -> None:
    assert square_around(Box(10, 20, 30, 60), 0.25) == Box(-5, 15, 45, 65)
    assert square_around(Box(7, 7, 7, 7), 0.0) == Box(6.5, 6.5, 7.5, 7.5)  # never without a pixel


def test_a_crop_inside_the_picture_is_the_picture_itself() -> None:
    picture = noise(50, 60)
    crop = crop_face(picture, Box(20, 10, 36, 26), 16, 0.0)
    assert crop.dtype == np.uint8
    np.testing.assert_array_equal(crop, picture[10:26, 20:36])


@pytest.mark.parametrize(
    ("left", "top"), [(-8, -8), (-8, 4), (4, -8), (14, 14), (14, 4), (-8, 14), (-15, 3), (19, 19), (-30, 40), (20, 20)]
)
def test_a_crop_over_the_edge_repeats_the_edge(left: int, top: int) -> None:
    picture = noise(20, 20)
    crop = crop_square(picture, Box(left, top, left + 16, top + 16), 16)
    rows = np.clip(np.arange(top, top + 16), 0, 19)
    columns = np.clip(np.arange(left, left + 16), 0, 19)
    np.testing.assert_array_equal(crop, picture[rows][:, columns])


@settings(deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.tuples(*[st.floats(-100, 160)] * 4),
    st.integers(1, 40),
    st.floats(0, 4),
    st.integers(0, 255),
)
def test_any_box_of_a_plain_picture_gives_a_plain_crop(
    height_px: int, width_px: int, edges: tuple[float, float, float, float], size_px: int, margin: float, grey: int
) -> None:
    crop = crop_face(np.full((height_px, width_px, 3), grey, np.uint8), Box(*edges), size_px, margin)
    assert crop.shape == (size_px, size_px, 3)
    assert crop.dtype == np.uint8
    assert (crop == grey).all()


def test_a_huge_crop_over_the_edge_shows_what_a_small_one_shows() -> None:
    """A face as large as a big photograph took hundreds of megabytes for the bars around it."""
    big, small = quarters(3000), quarters(150)
    expected = crop_face(small, Box(0, 0, 150, 150), 32, 0.5)
    shown = crop_face(big, Box(0, 0, 3000, 3000), 32, 0.5)
    assert np.abs(shown.astype(int) - expected).mean() < 4


def test_a_long_thin_picture_needs_no_square_of_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    padded = []
    border = cv2.copyMakeBorder

    def record(*arguments: object) -> npt.NDArray[np.uint8]:
        padded.append(border(*arguments))
        return padded[-1]

    monkeypatch.setattr("maskwatch.preprocess.cv2.copyMakeBorder", record)
    crop = crop_face(np.full((16, 2_000_000, 3), 9, np.uint8), Box(0, 0, 2_000_000, 16), 32, 0.25)
    assert (crop == 9).all()
    assert [picture.nbytes < 2**21 for picture in padded] == [True]


def test_a_whole_picture_is_stretched() -> None:
    picture = quarters(64)[:, ::2]
    stretched = whole_picture(picture, 64)
    assert stretched.shape == (64, 64, 3)
    assert stretched[5, 5].tolist() == [255, 0, 0]
    assert stretched[5, 60].tolist() == [0, 255, 0]
    assert stretched[60, 5].tolist() == [0, 0, 255]


# Quantising

ALL_BYTES = np.arange(256, dtype=np.uint8)


def by_definition(scale: float, zero_point: int, dtype: type[np.integer]) -> list[int]:
    limits = np.iinfo(dtype)
    levels = (int(np.rint(np.float32(byte) / np.float32(scale))) + zero_point for byte in range(256))
    return [min(max(level, int(limits.min)), int(limits.max)) for level in levels]


@pytest.mark.parametrize(("dtype", "zero_point"), [(np.int8, -128), (np.uint8, 0)])
def test_the_usual_inputs_equal_the_definition_for_every_byte(dtype: type[np.integer], zero_point: int) -> None:
    quick = quantise(ALL_BYTES, 1.0, zero_point, dtype)
    assert quick.dtype == dtype
    assert quick.tolist() == by_definition(1.0, zero_point, dtype)
    slow = quantise(ALL_BYTES, 1.0 + 1e-7, zero_point, dtype)  # a scale that misses the quick way by a hair
    assert slow.tolist() == quick.tolist()


@settings(deadline=None)
@given(st.floats(0.001, 300), st.integers(-128, 127), st.sampled_from([np.int8, np.uint8]))
def test_quantising_rounds_and_clips_and_never_wraps(scale: float, zero_point: int, dtype: type[np.integer]) -> None:
    assume(dtype is np.int8 or zero_point >= 0)
    quantised = quantise(ALL_BYTES, scale, zero_point, dtype)
    assert quantised.dtype == dtype
    assert quantised.tolist() == by_definition(scale, zero_point, dtype)
    assert (np.diff(quantised.astype(int)) >= 0).all()


def test_float_networks_take_the_bytes_as_they_are() -> None:
    values = quantise(ALL_BYTES, 0.0, 0, np.float32)
    assert values.dtype == np.float32
    assert values.tolist() == list(range(256))


def test_quantising_keeps_the_shape_of_a_batch() -> None:
    batch = noise(4, 5)[None]
    assert quantise(batch, 1.0, -128, np.int8).shape == (1, 4, 5, 3)
    np.testing.assert_array_equal(quantise(batch, 1.0, -128, np.int8).astype(int), batch.astype(int) - 128)
