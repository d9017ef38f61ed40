"""Training scenes: wherever a photograph goes, the boxes go with its faces."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.images import write_image
from maskwatch.types import Box
from maskwatch_train import scenes
from maskwatch_train.index import DETECTION, LabelledBox, Sample
from maskwatch_train.recipes import SceneRecipe
from maskwatch_train.scenes import SMALLEST_FACE_PX, SMALLEST_WINDOW_PX, boxes_of, draw_scene, face_free, place

RECIPE = SceneRecipe(height_px=256, width_px=320, tallest_face_px=230.0)
GROUND, FACE = (30, 90, 160), (250, 20, 20)


def coloured(height_px: int, width_px: int, *faces: tuple[int, int, int, int]):
    """A plain picture with each face as a red rectangle, and the boxes K×4."""
    image = np.full((height_px, width_px, 3), GROUND, np.uint8)
    for xmin, ymin, xmax, ymax in faces:
        image[ymin:ymax, xmin:xmax] = FACE
    return image, np.array(faces, np.float32).reshape(-1, 4)


def red(image):
    """Which pixels belong to a face, as H×W booleans."""
    pixels = image.astype(int)
    return (pixels[:, :, 0] > 140) & (pixels[:, :, 1] < 55)


def around(mask) -> Box:
    ys, xs = np.nonzero(mask)
    return Box(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))


@pytest.fixture
def no_camera(monkeypatch):
    """Colours stay as they are, so that a test can look for them."""
    monkeypatch.setattr(scenes, "door_camera", lambda image, rng: image)


def write_sample(folder, name, image, boxes) -> Sample:
    path = folder / f"{name}.png"
    write_image(path, image)
    faces = tuple(LabelledBox(Box(*(float(edge) for edge in row)), 1, "with_mask") for row in boxes)
    return Sample(path, DETECTION, None, faces, name, image.shape[1], image.shape[0])


def test_a_placed_box_lies_on_its_face():
    overlaps = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        height_px, width_px = (int(side) for side in rng.integers(120, 900, 2))
        face_px = int(rng.uniform(0.08, 0.5) * min(height_px, width_px))
        left, top = int(rng.integers(4, width_px - face_px - 4)), int(rng.integers(4, height_px - face_px - 4))
        image, boxes = coloured(height_px, width_px, (left, top, left + int(0.8 * face_px), top + face_px))
        scene, placed = place(image, boxes, 256, 320, RECIPE, rng)
        assert scene.shape == (256, 320, 3)
        assert scene.dtype == np.uint8
        assert placed.dtype == np.float32
        if len(placed) == 1:
            overlaps.append(around(red(scene)).iou(Box(*placed[0].tolist())))
    assert len(overlaps) > 100
    assert np.median(overlaps) > 0.85
    assert min(overlaps) > 0.55  # a face of 7 px is off by a pixel on each side


def test_a_turned_face_gets_no_box_with_empty_corners():
    """A head is round: the box around its box's turned corners would be too large."""
    recipe = replace(RECIPE, lowest_face_px=150.0, tallest_face_px=150.0)
    overlaps = []
    for seed in range(120):
        image, boxes = coloured(600, 600, (240, 220, 360, 370))
        image[:] = GROUND
        cv2.ellipse(image, (300, 295), (60, 75), 0, 0, 360, FACE, -1)
        scene, placed = place(image, boxes, 400, 500, recipe, np.random.default_rng(seed))
        if len(placed) == 1 and (placed[0] > 1).all() and (placed[0] < [499, 399, 499, 399]).all():
            overlaps.append(around(red(scene)).iou(Box(*placed[0].tolist())))
    assert len(overlaps) > 60
    assert np.median(overlaps) > 0.935  # 0.96 as it is, 0.91 with the box around the corners


def test_the_face_gets_a_height_within_the_recipe():
    recipe = replace(RECIPE, lowest_face_px=20.0, tallest_face_px=60.0)
    heights = []
    for seed in range(80):
        image, boxes = coloured(500, 500, (200, 200, 280, 300))
        _, placed = place(image, boxes, 256, 320, recipe, np.random.default_rng(seed))
        heights += [] if len(placed) == 0 else [float(placed[0, 3] - placed[0, 1])]
    # A photograph is not shrunk to a stamp, and turning or stretching changes a height a little.
    assert 0.6 * 256 / 500 * 100 * 0.75 < min(heights) < 40
    assert 50 < max(heights) < 60 * 1.3


def test_a_face_that_is_mostly_cut_off_is_no_target():
    """Less than 40 % left: dropped; more: kept, clipped to the scene."""
    recipe = replace(RECIPE, lowest_face_px=200.0, tallest_face_px=200.0)
    rng = np.random.default_rng(1)
    kept = dropped = 0
    for number in range(120):
        wide_px = 300 if number % 2 else 760
        image, boxes = coloured(520, 800, (20, 160, 20 + wide_px, 360))
        scene, placed = place(image, boxes, 256, 320, recipe, rng)
        share = red(scene).sum() / (200 * wide_px)
        if share > 0.47:
            assert len(placed) == 1
            kept += 1
        elif share < 0.33:
            assert len(placed) == 0
            dropped += 1
        assert (placed >= 0).all()
        assert (placed <= [320, 256, 320, 256]).all()
    assert kept > 30
    assert dropped > 10


def test_a_picture_without_faces_fills_the_scene():
    for seed in range(20):
        image, boxes = coloured(300, 200)
        scene, placed = place(image, boxes, 256, 320, RECIPE, np.random.default_rng(seed))
        assert placed.shape == (0, 4)
        assert (np.abs(scene.astype(int) - GROUND).max(axis=2) < 4).mean() > 0.15


@settings(max_examples=60, deadline=None)
@given(
    height_px=st.integers(16, 900),
    width_px=st.integers(16, 900),
    low_px=st.integers(40, 200),
    wide_px=st.integers(50, 250),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_any_picture_can_be_placed(height_px, width_px, low_px, wide_px, seed, data):
    xs = sorted(data.draw(st.lists(st.integers(0, width_px), min_size=2, max_size=2, unique=True)))
    ys = sorted(data.draw(st.lists(st.integers(0, height_px), min_size=2, max_size=2, unique=True)))
    image, boxes = coloured(height_px, width_px, (xs[0], ys[0], xs[1], ys[1]))
    scene, placed = place(image, boxes, low_px, wide_px, RECIPE, np.random.default_rng(seed))
    assert scene.shape == (low_px, wide_px, 3)
    sides = placed[:, 2:] - placed[:, :2]
    assert (sides >= SMALLEST_FACE_PX).all()


@pytest.mark.usefixtures("no_camera")
@pytest.mark.parametrize(
    "recipe",
    [
        replace(RECIPE, letterboxed_share=1.0),
        replace(RECIPE, letterboxed_share=0.0, mosaic_share=1.0),
        replace(RECIPE, letterboxed_share=0.0, mosaic_share=0.0),
    ],
    ids=["letterboxed", "mosaic", "placed"],
)
def test_a_scene_has_its_boxes_on_its_faces(recipe, tmp_path):
    samples = [
        write_sample(tmp_path, "one", *coloured(300, 400, (60, 80, 120, 160))),
        write_sample(tmp_path, "two", *coloured(200, 200, (20, 20, 70, 80), (120, 100, 180, 180))),
        write_sample(tmp_path, "none", *coloured(260, 240)),
    ]
    found, misplaced = 0, 0.0
    for seed in range(40):
        scene, boxes = draw_scene(samples, recipe, np.random.default_rng(seed))
        assert scene.shape == (256, 320, 3)
        faces = red(scene)
        covered = np.zeros_like(faces)
        for box in boxes:
            left, top, right, bottom = (round(float(edge)) for edge in box)
            assert faces[top:bottom, left:right].mean() > 0.6, f"seed {seed}: a box beside its face"
            covered[top:bottom, left:right] = True
            found += 1
        misplaced += float((faces & ~covered).mean())
    assert found > 20
    assert misplaced / 40 < 0.02  # only what is cut off or turned out of its box stays without one


@pytest.mark.usefixtures("no_camera")
def test_a_mosaic_shows_four_photographs(tmp_path):
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40)]
    samples = [
        write_sample(tmp_path, str(number), np.full((400, 400, 3), colour, np.uint8), [])
        for number, colour in enumerate(colours)
    ]
    recipe = replace(RECIPE, letterboxed_share=0.0, mosaic_share=1.0)
    seen = []
    for seed in range(20):
        scene, boxes = draw_scene(samples, recipe, np.random.default_rng(seed))
        assert boxes.shape == (0, 4)
        quarters = [scene[y, x] for y in (38, -38) for x in (48, -48)]
        seen.append(len({tuple(colour.tolist()) for colour in quarters}))
    assert max(seen) >= 3
    assert np.mean(seen) > 2


@pytest.mark.usefixtures("no_camera")
def test_a_face_too_small_to_see_is_no_target(tmp_path):
    sample = write_sample(tmp_path, "far", *coloured(640, 800, (100, 100, 112, 112), (300, 300, 360, 380)))
    recipe = replace(RECIPE, letterboxed_share=1.0)
    _, boxes = draw_scene([sample], recipe, np.random.default_rng(0))
    assert len(boxes) == 1  # 12 px become 4.8, 60 become 24
    assert boxes[0, 3] - boxes[0, 1] == pytest.approx(80 * 256 / 640, abs=0.5)


def test_a_seed_gives_the_same_scene_again(tmp_path):
    samples = [write_sample(tmp_path, "one", *coloured(300, 400, (60, 80, 120, 160)))]
    for seed in range(6):
        first, second = (draw_scene(samples, RECIPE, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(first[0], second[0])
        assert np.array_equal(first[1], second[1])


def test_letterboxed_scenes_are_mirrored_half_of_the_time(tmp_path, no_camera):
    samples = [write_sample(tmp_path, "left", *coloured(256, 320, (10, 50, 90, 150)))]
    recipe = replace(RECIPE, letterboxed_share=1.0)
    lefts = [float(draw_scene(samples, recipe, np.random.default_rng(seed))[1][0, 0]) for seed in range(60)]
    assert set(lefts) == {10.0, 230.0}
    assert 18 < lefts.count(10.0) < 42


def test_boxes_of_a_sample_without_faces_keep_their_shape(tmp_path):
    assert boxes_of(write_sample(tmp_path, "none", *coloured(20, 20))).shape == (0, 4)


def test_a_photograph_is_averaged_before_it_is_shrunk(tmp_path):
    """Without that, a fine pattern would alias into coarse stripes that are not there."""
    stripes = np.zeros((1200, 1200, 3), np.uint8)
    stripes[:, ::2] = 255
    recipe = replace(RECIPE, lowest_face_px=30.0, tallest_face_px=30.0)
    boxes = np.array([[500, 500, 700, 700]], np.float32)
    scene, _ = place(stripes, boxes, 256, 320, recipe, np.random.default_rng(4))
    grey = cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY).astype(float)
    assert grey[100:150, 140:180].std() < 12


@given(seed=st.integers(0, 10_000), left=st.integers(0, 340), top=st.integers(0, 240), side=st.integers(8, 60))
@settings(max_examples=60, deadline=None)
def test_a_background_shows_no_part_of_a_face(seed, left, top, side):
    image, boxes = coloured(300, 400, (left, top, left + side, top + side))
    window = face_free(image, boxes, np.random.default_rng(seed))
    if window is not None:
        assert not red(window).any()
        assert min(window.shape[:2]) >= SMALLEST_WINDOW_PX


def test_a_picture_that_is_all_face_has_no_background():
    image, boxes = coloured(100, 100, (0, 0, 100, 100))
    assert face_free(image, boxes, np.random.default_rng(0)) is None


@pytest.mark.usefixtures("no_camera")
def test_as_many_photographs_as_asked_for_are_backgrounds(tmp_path):
    samples = [write_sample(tmp_path, "one", *coloured(300, 400, (150, 100, 190, 150)))]
    recipe = replace(RECIPE, letterboxed_share=1.0, background_share=0.5)
    drawn = [draw_scene(samples, recipe, np.random.default_rng(seed)) for seed in range(80)]
    assert 20 < sum(len(boxes) == 0 for _, boxes in drawn) < 60
    assert all(red(scene).any() == bool(len(boxes)) for scene, boxes in drawn)
