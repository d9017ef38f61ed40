"""Whoever walks in is seen within two frames; noise, flicker and the sun are not."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest
from drawn import draw_background
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.motion import LEARNING_PACE, Motion
from maskwatch.types import Frame

HEIGHT_PX, WIDTH_PX = 240, 320
"""A quarter of a camera's 1280×960 each way. A cell is made of as many pixels there, so noise counts the same."""

FPS = 10
SETTLING_FRAMES = 3 * FPS  # to learn how restless the picture is
WALK_PX, STROLL_PX = 7.0, 2.2
"""By frame, of somebody whose face is 12 px (22 cm) high, the smallest that a door heeds: 1.3 and 0.4 m/s."""

Light = npt.NDArray[np.float32]
NOISE = np.random.default_rng(0).normal(0, 1, (5, HEIGHT_PX, WIDTH_PX, 3)).astype(np.float32)
"""Drawn once, as drawing it takes longer than all else; each frame takes one of these, shifted at random."""

seeds = st.integers(0, 2**32 - 1)


class Scene:
    """A room with some shapes in it, and the noise of a sensor, of which each frame has its own."""

    def __init__(self, seed: int, noise: float = 4.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.room = draw_background(HEIGHT_PX, WIDTH_PX, self.rng).astype(np.float32)
        self.noise = noise

    def frame(self, light: Light, captured_s: float, lores: bool = False) -> Frame:
        noise = np.roll(NOISE[self.rng.integers(len(NOISE))], self.rng.integers(NOISE[0].size))
        image = np.clip(light + np.float32(self.noise) * noise, 0, 255).astype(np.uint8)
        return Frame(np.zeros_like(image), captured_s, lores=image) if lores else Frame(image, captured_s)

    def with_person(self, width_px: float, height_px: int, share: float, from_right: bool) -> Light:
        """Somebody darker than the room by this share, of whom `width_px` have come in at the edge."""
        light = self.room.copy()
        light[-height_px:, : round(width_px)] *= 1 - share
        return light[:, ::-1] if from_right else light


def looks(scene: Scene, lights: Iterable[Light], motion: Motion | None = None, start_s: float = 0.0) -> list[bool]:
    motion = Motion() if motion is None else motion
    return [motion.look(scene.frame(light, start_s + index / FPS)) for index, light in enumerate(lights)]


def learned(scene: Scene, mirrored: bool = False, seconds: float = 3.0) -> Motion:
    motion = Motion()
    room = scene.room[:, ::-1] if mirrored else scene.room
    assert not any(looks(scene, [room] * round(seconds * FPS), motion))
    return motion


# What is no motion


@settings(deadline=None, max_examples=25)
@given(seeds, st.floats(0, 8), st.floats(0.1, 1.0))
def test_noise_is_no_motion(seed: int, noise: float, brightness: float) -> None:
    scene = Scene(seed, noise)
    assert not any(looks(scene, [scene.room * np.float32(brightness)] * 70)[SETTLING_FRAMES:])


@settings(deadline=None, max_examples=25)
@given(seeds, st.floats(0.0, 0.1), st.floats(0.1, 3.0), st.floats(0.0, 0.2))
def test_exposure_and_lamps_that_flicker_are_no_motion(seed: int, share: float, turn: float, slope: float) -> None:
    """A slope of zero is an exposure that hunts; any other is a lamp's bands, which a rolling shutter makes."""
    scene = Scene(seed)
    rows = np.arange(HEIGHT_PX)[:, None, None]
    lights = (scene.room * (1 + share * np.sin(rows * slope + index * turn)).astype(np.float32) for index in range(70))
    assert not any(looks(scene, lights)[SETTLING_FRAMES:])


@pytest.mark.parametrize("factor", [0.87, 1.15])
def test_one_step_of_the_exposure_is_no_motion(factor: float) -> None:
    scene = Scene(3)
    motion = learned(scene)
    assert not any(looks(scene, [scene.room * np.float32(factor)] * 20, motion, start_s=3.0))


@pytest.mark.parametrize("from_a_window", [False, True])
@pytest.mark.parametrize("dusk", [False, True])
def test_a_slow_dawn_or_dusk_is_no_motion(from_a_window: bool, dusk: bool) -> None:
    scene = Scene(5)
    columns = np.linspace(0, 1, WIDTH_PX, dtype=np.float32)[:, None] if from_a_window else np.float32(1)
    lights = [scene.room * (0.4 + columns * np.float32(0.4 * index / 300)) for index in range(300)]  # twice in 30 s
    assert not any(looks(scene, lights[::-1] if dusk else lights))


def test_a_lamp_of_one_cell_is_no_motion() -> None:
    scene = Scene(6)
    lit = scene.room.copy()
    lit[100:105, 100:105] = 255
    dark = scene.room.copy()
    dark[100:105, 100:105] = 0
    assert not any(looks(scene, [dark, lit] * 50))


def test_a_place_that_never_keeps_still_is_motion_at_first_and_then_is_not() -> None:
    """A screen in the waiting room. Whoever passes elsewhere is seen all the same."""
    scene = Scene(7)

    def lights(count: int) -> Iterable[Light]:
        for _ in range(count):
            light = scene.room.copy()
            light[20:80, 220:300] *= scene.rng.uniform(0.8, 1.2)
            yield light

    motion = Motion()
    first = looks(scene, lights(600), motion)
    assert any(first[:50])
    assert not any(first[-100:])
    light = next(iter(lights(1)))
    light[-120:, : round(2 * WALK_PX)] *= 0.7
    assert motion.look(scene.frame(light, 600 / FPS))


def test_a_restless_place_hides_nobody_who_stands_out() -> None:
    scene = Scene(13)
    motion = Motion()
    for index in range(600):
        light = scene.room.copy()
        light[20:120, 200:300] *= scene.rng.choice([0.6, 1.0])
        motion.look(scene.frame(light, index / FPS))
    light = scene.room.copy()
    light[20:120, 200:300] *= 0.2
    assert motion.look(scene.frame(light, 600 / FPS))


def test_a_chair_that_was_moved_becomes_part_of_the_room() -> None:
    scene = Scene(8)
    motion = learned(scene)
    changed = scene.room.copy()
    changed[120:200, 100:160] *= 0.6
    seconds = -np.log(0.6) / LEARNING_PACE + 2
    seen = looks(scene, [changed] * round(seconds * FPS), motion, start_s=3.0)
    assert seen[0]
    assert not any(seen[-10:])


# What is


@settings(deadline=None, max_examples=40)
@given(seeds, st.floats(0, 6), st.floats(0.15, 0.7), st.floats(0.8, 1.5), st.integers(100, 200), st.booleans())
def test_whoever_walks_in_is_seen_within_two_frames_even_in_clothes_like_the_wall(
    seed: int, noise: float, share: float, pace: float, height_px: int, from_right: bool
) -> None:
    scene = Scene(seed, noise)
    motion = learned(scene, from_right)
    lights = [scene.with_person(pace * WALK_PX * step, height_px, share, from_right) for step in (1, 2)]
    assert any(looks(scene, lights, motion, start_s=3.0))


@settings(deadline=None, max_examples=40)
@given(seeds, st.floats(0, 6), st.floats(0.4, 0.7), st.booleans())
def test_whoever_walks_slowly_is_seen_within_two_frames(
    seed: int, noise: float, share: float, from_right: bool
) -> None:
    scene = Scene(seed, noise)
    motion = learned(scene, from_right)
    lights = [scene.with_person(STROLL_PX * step, 140, share, from_right) for step in (1, 2)]
    assert any(looks(scene, lights, motion, start_s=3.0))


def test_a_lamp_that_flickers_hides_nobody() -> None:
    scene = Scene(4)
    rows = np.arange(HEIGHT_PX)[:, None, None]
    flicker = [(1 + 0.08 * np.sin(rows * 0.05 + index * 1.3)).astype(np.float32) for index in range(102)]
    motion = Motion()
    assert not any(looks(scene, [scene.room * share for share in flicker[:100]], motion)[SETTLING_FRAMES:])
    people = [scene.with_person(WALK_PX * step, 140, 0.25, from_right=False) for step in (1, 2)]
    lights = [person * share for person, share in zip(people, flicker[100:], strict=True)]
    assert any(looks(scene, lights, motion, start_s=10.0))


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.5])
def test_a_lens_that_is_covered_and_a_light_that_is_switched_are_motion(factor: float) -> None:
    scene = Scene(9)
    motion = learned(scene)
    assert looks(scene, [scene.room * factor], motion, start_s=3.0) == [True]


def test_a_picture_that_is_plain_before_and_after_has_changed() -> None:
    scene = Scene(10, noise=1.0)
    scene.room = np.full_like(scene.room, 60)
    motion = learned(scene)
    assert looks(scene, [scene.room * 2], motion, start_s=3.0) == [True]


def test_the_small_stream_is_what_is_looked_at() -> None:
    scene = Scene(11)
    motion = Motion()
    frames = [scene.frame(scene.room, index / FPS, lores=True) for index in range(30)]
    assert not any(motion.look(frame) for frame in frames)
    person = scene.with_person(2 * WALK_PX, 140, 0.5, from_right=False)
    assert motion.look(scene.frame(person, 3.0, lores=True))


@pytest.mark.parametrize("size", [(32, 32), (48, 64), (384, 512), (1080, 1920), (2592, 4608)])
def test_any_size_of_picture_will_do(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    motion = Motion()
    picture = rng.integers(60, 200, (*size, 3), dtype=np.uint8)
    assert not any(motion.look(Frame(picture, index / FPS)) for index in range(20))
    changed = picture.copy()
    changed[: size[0] // 2, : size[1] // 4] //= 2
    assert motion.look(Frame(changed, 2.0))


def test_time_that_stands_still_or_jumps_back_teaches_nothing_and_hides_nothing() -> None:
    scene = Scene(12)
    motion = learned(scene)
    person = scene.with_person(60, 140, 0.5, from_right=False)
    for captured_s in (*[2.9] * 300, *[1.0] * 300):  # long enough to learn somebody by heart, were it not for the time
        assert motion.look(scene.frame(person, captured_s))
