"""The checks that live frames pass: size, time, life."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.cameras.base import FROZEN_SECONDS, FrameGuard, turn
from maskwatch.cameras.fake import noise_picture, plain_picture
from maskwatch.errors import CameraError


@settings(deadline=None)
@given(st.lists(st.floats(0.001, 30), max_size=20))
def test_living_pictures_with_advancing_time_pass(gaps: list[float]) -> None:
    guard = FrameGuard("it")
    for index, stamp_s in enumerate(np.cumsum(gaps)):
        guard.check(noise_picture(index, 32, 32), float(stamp_s))


@pytest.mark.parametrize("second_s", [1.0, 0.5, -7.0])
def test_time_must_advance(second_s: float) -> None:
    guard = FrameGuard("the camera")
    guard.check(noise_picture(0), 1.0)
    with pytest.raises(CameraError, match="the camera is stuck"):
        guard.check(noise_picture(1), second_s)


def test_size_must_stay() -> None:
    guard = FrameGuard("it")
    guard.check(noise_picture(0, 64, 48), 1.0)
    with pytest.raises(CameraError, match="32×24"):
        guard.check(noise_picture(1, 32, 24), 2.0)


def test_size_must_hold_a_face() -> None:
    with pytest.raises(CameraError, match="1×1"):
        FrameGuard("it").check(plain_picture(0, 1, 1), 1.0)


def test_the_same_pixels_for_long_are_a_frozen_camera() -> None:
    guard = FrameGuard("it")
    picture = noise_picture(0)
    guard.check(noise_picture(9), 1.0)
    guard.check(picture, 2.0)
    guard.check(picture, 2.0 + FROZEN_SECONDS - 0.1)
    with pytest.raises(CameraError, match="frozen"):
        guard.check(picture, 2.0 + FROZEN_SECONDS)


def test_one_other_picture_ends_the_suspicion() -> None:
    guard = FrameGuard("it")
    for index in range(40):
        guard.check(noise_picture(1 if index % 8 else index), 1.0 + index)


def test_darkness_may_last() -> None:
    guard = FrameGuard("it")
    for index in range(40):
        guard.check(plain_picture(0), 1.0 + index)


def test_turning_upside_down_moves_the_first_pixel_last() -> None:
    picture = noise_picture(0)
    assert turn(picture, 0) is picture
    np.testing.assert_array_equal(turn(picture, 180), picture[::-1, ::-1])
