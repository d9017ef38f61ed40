"""Augmentation: pictures keep their shape, a seed gives the same picture, and each step does what its name says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn import draw_background
from maskwatch_train import augment

STEPS = (
    augment.flip,
    augment.rotate_zoom_shift,
    augment.exposure,
    augment.dark,
    augment.backlit,
    augment.blur,
    augment.low_resolution,
    augment.jpeg,
    augment.noise,
    augment.colour_cast,
    augment.saturation,
    augment.greyscale,
    augment.occlude,
    augment.door_camera,
)


def picture(height_px: int = 90, width_px: int = 120):
    return draw_background(height_px, width_px, np.random.default_rng(3))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def detail(image) -> float:
    return float(cv2.Laplacian(image, cv2.CV_32F).var())


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
@pytest.mark.parametrize(("height_px", "width_px"), [(96, 96), (37, 131), (16, 20), (256, 320)])
def test_shape_and_type_stay_and_the_original_is_left_alone(step, height_px, width_px):
    image = picture(height_px, width_px)
    before = image.copy()
    for seed in range(12):
        result = step(image, rng(seed))
        assert result.shape == image.shape
        assert result.dtype == np.uint8
        assert result.flags.c_contiguous
    assert np.array_equal(image, before)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_seed_gives_the_same_picture_again(step):
    drawn = [step(picture(), rng(seed)) for seed in range(12)]
    again = [step(picture(), rng(seed)) for seed in range(12)]
    assert all(np.array_equal(one, other) for one, other in zip(drawn, again, strict=True))
    if step is not augment.greyscale:  # the only one without chance
        assert any(not np.array_equal(drawn[0], other) for other in drawn[1:])


def test_flip_mirrors_half_of_the_time():
    image = picture()
    results = [augment.flip(image, rng(seed)) for seed in range(400)]
    mirrored = sum(np.array_equal(result, image[:, ::-1]) for result in results)
    assert mirrored + sum(np.array_equal(result, image) for result in results) == 400
    assert 160 < mirrored < 240


def test_rotate_zoom_shift_stays_within_its_bounds():
    image = np.zeros((100, 100, 3), np.uint8)
    cv2.circle(image, (50, 50), 10, (255, 255, 255), -1)
    shift_px, areas = [], []
    for seed in range(60):
        lit = augment.rotate_zoom_shift(image, rng(seed), degrees=20, zoom=0.2, shift=0.1)[:, :, 0] > 127
        ys, xs = np.nonzero(lit)
        shift_px.append(max(abs(xs.mean() - 50), abs(ys.mean() - 50)))
        areas.append(lit.sum() / (image[:, :, 0] > 127).sum())
    assert 5 < max(shift_px) <= 11  # 10 % of the side, and a pixel for rounding
    assert 1.2 < max(areas) < np.exp(0.4) + 0.1
    assert np.exp(-0.4) - 0.1 < min(areas) < 0.85


def test_without_any_movement_the_middle_is_cut_out():
    image = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)
    still = {"degrees": 0.0, "zoom": 0.0, "shift": 0.0}
    assert np.array_equal(augment.rotate_zoom_shift(image, rng(1), **still), image)
    middle = augment.rotate_zoom_shift(image, rng(1), size_px=20, core_ratio=0.5, **still)
    assert np.array_equal(middle, image[10:30, 10:30])


def test_rotate_zoom_shift_repeats_the_edge():
    image = np.full((40, 40, 3), 200, np.uint8)
    for seed in range(10):
        assert (augment.rotate_zoom_shift(image, rng(seed)) == 200).all()


def test_dark_is_darker_and_noisy():
    image = np.full((64, 64, 3), 160, np.uint8)
    for seed in range(10):
        result = augment.dark(image, rng(seed))
        assert 0.1 * 160 < result.mean() < 0.55 * 160
        assert result.std() > 1


def test_backlit_is_brighter_on_one_side():
    image = np.full((64, 64, 3), 100, np.uint8)
    for seed in range(20):
        result = augment.backlit(image, rng(seed)).astype(float)
        corners = [result[y, x].mean() for y in (0, -1) for x in (0, -1)]
        assert max(corners) > min(corners) + 25
        assert result[32, 32].mean() < 100  # the person in front falls into shade


@pytest.mark.parametrize("step", [augment.blur, augment.low_resolution])
def test_detail_is_lost_but_not_brightness(step):
    image = picture(256, 320)
    results = [step(image, rng(seed)) for seed in range(30)]
    assert max(detail(result) for result in results) < detail(image)
    assert max(abs(result.mean() - image.mean()) for result in results) < 3


def test_blur_keeps_a_small_face_a_face():
    """A dot as wide as the smallest face's eyes must not vanish."""
    image = np.full((96, 96, 3), 200, np.uint8)
    image[46:50, 46:50] = 0
    for seed in range(40):
        assert augment.blur(image, rng(seed))[44:52, 44:52].min() < 120


@pytest.mark.parametrize("step", [augment.jpeg, augment.noise])
def test_the_picture_stays_recognisable(step):
    image = picture()
    for seed in range(15):
        result = step(image, rng(seed))
        assert not np.array_equal(result, image)
        assert abs(result.astype(float) - image).mean() < 14


def test_exposure_keeps_the_order_of_greys():
    """Neither brightness nor contrast nor gamma may turn dark into bright, nor wrap around."""
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(8, axis=0).repeat(3, axis=2)
    for seed in range(60):
        row = augment.exposure(ramp, rng(seed))[0, :, 0].astype(int)
        assert (np.diff(row) >= 0).all()


def test_colour_cast_tints_grey_and_saturation_does_not():
    grey = np.full((16, 16, 3), 120, np.uint8)
    spread = [float(np.ptp(augment.colour_cast(grey, rng(seed)).mean(axis=(0, 1)))) for seed in range(40)]
    assert np.median(spread) > 10
    assert all(np.ptp(augment.saturation(grey, rng(seed))) <= 1 for seed in range(10))


def test_saturation_goes_both_ways():
    red = np.full((8, 8, 3), (180, 80, 80), np.uint8)
    spread = [int(np.ptp(augment.saturation(red, rng(seed))[0, 0])) for seed in range(60)]
    assert min(spread) < 50
    assert max(spread) > 130


def test_greyscale_has_equal_channels_by_luminance():
    result = augment.greyscale(np.full((8, 8, 3), (255, 0, 0), np.uint8), rng())
    assert result[0, 0].tolist() == [76, 76, 76]  # ITU-R BT.601 red of an RGB picture; 29 would be BGR


def test_occlude_covers_a_part_and_leaves_most():
    image = picture()
    for seed in range(30):
        changed = (augment.occlude(image, rng(seed)) != image).any(axis=2)
        ys, xs = np.nonzero(changed)
        assert 0 < np.ptp(ys) + 1 <= 0.25 * 90
        assert 0 < np.ptp(xs) + 1 <= 0.25 * 120


def test_wild_values_never_wrap():
    """A cast from float without clipping would turn white into black."""
    white, black = np.full((32, 32, 3), 255, np.uint8), np.zeros((32, 32, 3), np.uint8)
    for seed in range(20):
        assert augment.noise(white, rng(seed)).min() > 150
        assert augment.noise(black, rng(seed)).max() < 105
        assert augment.colour_cast(white, rng(seed)).min() > 50


def test_every_step_of_the_door_camera_happens_about_as_often_as_it_says(monkeypatch):
    counts = dict.fromkeys(range(len(augment.CAMERA_STEPS)), 0)

    def counted(number):
        def step(image, generator):
            counts[number] += 1
            return image

        return step

    steps = tuple((chance, counted(number)) for number, (chance, _) in enumerate(augment.CAMERA_STEPS))
    monkeypatch.setattr(augment, "CAMERA_STEPS", steps)
    generator = rng(5)
    for _ in range(2000):
        augment.door_camera(picture(16, 16), generator)
    for number, (chance, _) in enumerate(steps):
        assert counts[number] / 2000 == pytest.approx(chance, abs=0.04)
