"""The finder's batches: targets in one array, random scenes by seed, validation as at the door."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn import write_classification_set, write_detection_set
from maskwatch.images import read_image, write_image
from maskwatch.preprocess import letterbox
from maskwatch.types import Box
from maskwatch_train.finder_batches import LetterboxedBatches, SceneBatches, padded
from maskwatch_train.index import DETECTION, LabelledBox, Sample, read_data
from maskwatch_train.recipes import FinderRecipe, Stage

STAGE = Stage(96, 128, batch_size=4, epochs=1, learning_rate=1e-3)
RECIPE = FinderRecipe(scenes_per_epoch=12, stages=(STAGE,), most_faces=5)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_classification_set(root / "portraits", 6, 1, faces_csv=True)
    write_detection_set(root / "scenes", 5, 2)
    return read_data(root)


def test_padded_puts_boxes_first_and_marks_them():
    one = np.array([[0, 0, 4, 4]], np.float32)
    targets = padded([one, np.empty((0, 4), np.float32)], 3)
    assert targets["boxes"].shape == (2, 3, 4)
    assert targets["boxes"].dtype == np.float32
    assert targets["valid"].tolist() == [[1, 0, 0], [0, 0, 0]]
    assert targets["boxes"][0, 0].tolist() == [0, 0, 4, 4]
    assert not targets["boxes"][0, 1:].any()


def test_padded_keeps_the_largest_faces():
    boxes = np.array([[0, 0, side, side] for side in (3, 9, 1, 7)], np.float32)
    targets = padded([boxes], 2)
    assert targets["boxes"][0, :, 2].tolist() == [9, 7]
    assert targets["valid"].tolist() == [[1, 1]]


def test_an_epoch_has_the_scenes_that_the_recipe_says(samples):
    batches = SceneBatches(samples, RECIPE, STAGE, seed=1)
    assert batches.num_batches == 3
    images, targets = batches[0]
    assert images.shape == (4, 96, 128, 3)
    assert images.dtype == np.uint8
    assert targets["boxes"].shape == (4, 5, 4)
    assert targets["valid"].sum() > 0
    assert SceneBatches(samples, replace(RECIPE, scenes_per_epoch=1), STAGE, seed=1).num_batches == 1


def test_a_batch_hangs_on_seed_epoch_and_number_alone(samples):
    batches, others = (SceneBatches(samples, RECIPE, STAGE, seed=1) for _ in range(2))
    later, first = batches[2], batches[0]
    assert np.array_equal(others[0][0], first[0])
    assert np.array_equal(others[2][0], later[0])
    assert np.array_equal(others[2][1]["boxes"], later[1]["boxes"])
    assert not np.array_equal(first[0], later[0])
    others.epoch = 1
    assert not np.array_equal(others[0][0], first[0])
    assert not np.array_equal(SceneBatches(samples, RECIPE, STAGE, seed=2)[0][0], first[0])


@pytest.mark.parametrize(("share", "expected"), [(1.0, {DETECTION}), (0.0, {"classification"})])
def test_scenes_and_portraits_are_mixed_as_the_recipe_says(samples, share, expected, monkeypatch):
    drawn = set()

    def draw(source, recipe, rng):
        drawn.update(sample.source for sample in source)
        return np.zeros((recipe.height_px, recipe.width_px, 3), np.uint8), np.empty((0, 4), np.float32)

    monkeypatch.setattr("maskwatch_train.finder_batches.draw_scene", draw)
    _ = SceneBatches(samples, replace(RECIPE, detection_share=share), STAGE, seed=1)[0]
    assert drawn == expected


@pytest.mark.parametrize("source", [DETECTION, "classification"])
def test_one_kind_of_data_is_enough(samples, source):
    batches = SceneBatches([each for each in samples if each.source == source], RECIPE, STAGE, seed=1)
    assert all(batches[index][0].shape == (4, 96, 128, 3) for index in range(3))


def test_validation_looks_at_every_picture_with_faces_once_as_the_door_does(samples):
    bare = replace(samples[0], boxes=())
    batches = LetterboxedBatches((bare, *samples[1:]), RECIPE, STAGE)
    assert batches.num_batches == 3
    parts = [batches[index] for index in range(3)]
    assert [len(images) for images, _ in parts] == [4, 4, 2]
    images = np.concatenate([images for images, _ in parts])
    targets = np.concatenate([targets["boxes"] for _, targets in parts])
    for sample, image, boxes in zip(samples[1:], images, targets, strict=True):
        expected, mapping = letterbox(read_image(sample.path), 96, 128)
        assert np.array_equal(image, expected)
        edges = [(face.box.xmin, face.box.ymin, face.box.xmax, face.box.ymax) for face in sample.boxes]
        wanted = mapping.boxes_to_input(np.array(edges, np.float32))
        found = boxes[: len(wanted)]
        assert np.allclose(found[found[:, 0].argsort()], wanted[wanted[:, 0].argsort()])


def test_a_stage_says_how_many_photographs_are_backgrounds(tmp_path):
    """One small face in the middle: every photograph has room for a window beside it."""
    path = tmp_path / "one.png"
    write_image(path, np.full((240, 320, 3), 128, np.uint8))
    face = LabelledBox(Box(140, 100, 180, 140), 1, "with_mask")
    sample = Sample(path, DETECTION, None, (face,), "one", 320, 240)
    faces = {}
    for share in (0.0, 1.0):
        batches = SceneBatches([sample], RECIPE, replace(STAGE, background_share=share), seed=1)
        faces[share] = sum(batches[index][1]["valid"].sum() for index in range(batches.num_batches))
    assert faces[0.0] > 6
    assert faces[1.0] <= 1
