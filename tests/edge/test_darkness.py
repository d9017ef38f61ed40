"""A covered lens, told from a moment's blackness and from dusk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.cameras.fake import plain_picture
from maskwatch.darkness import BLACK_LEVEL, DARK_SECONDS, LIGHT_LEVEL, Darkness
from maskwatch.types import Frame

BLACK, DUSK, LIGHT = 0, round((BLACK_LEVEL + LIGHT_LEVEL) / 2), 100


def frame(level: int, captured_s: float) -> Frame:
    return Frame(plain_picture(level), captured_s)


def test_blackness_must_last() -> None:
    darkness = Darkness()
    assert not darkness.update(frame(BLACK, 100.0))
    assert not darkness.update(frame(BLACK, 100.0 + DARK_SECONDS - 0.1))
    assert darkness.update(frame(BLACK, 100.0 + DARK_SECONDS))


def test_one_picture_in_between_starts_it_anew_and_ends_it() -> None:
    darkness = Darkness()
    darkness.update(frame(BLACK, 0.0))
    darkness.update(frame(LIGHT, DARK_SECONDS - 1))
    assert not darkness.update(frame(BLACK, DARK_SECONDS))
    assert darkness.update(frame(BLACK, 2 * DARK_SECONDS))
    assert not darkness.update(frame(LIGHT, 2 * DARK_SECONDS + 1))


def test_dusk_is_whatever_it_was_before() -> None:
    """A picture at the very limit would otherwise fill the log."""
    darkness = Darkness()
    for second in range(100):
        assert not darkness.update(frame(DUSK, float(second)))
    darkness.update(frame(BLACK, 100.0))
    darkness.update(frame(BLACK, 100.0 + DARK_SECONDS))
    for second in range(200, 300):
        assert darkness.update(frame(DUSK, float(second)))


@pytest.mark.parametrize("noise", [0, 10])
def test_a_covered_sensors_noise_is_black_too(noise: int) -> None:
    rng = np.random.default_rng(0)
    darkness = Darkness()
    for second in range(int(DARK_SECONDS) + 1):
        image = rng.integers(0, noise + 1, (960, 1280, 3)).astype(np.uint8)
        is_dark = darkness.update(Frame(image, float(second)))
    assert is_dark


@given(st.lists(st.tuples(st.integers(0, 255), st.floats(0.01, 20.0)), min_size=1, max_size=40))
def test_dark_means_that_no_picture_was_light_for_that_long(steps: list[tuple[int, float]]) -> None:
    darkness, now_s, last_light_s = Darkness(), 0.0, 0.0
    for level, after_s in steps:
        now_s += after_s
        if level >= LIGHT_LEVEL:
            last_light_s = now_s
        is_dark = darkness.update(frame(level, now_s))
        assert not (is_dark and now_s - last_light_s < DARK_SECONDS)
