"""The classifier's crops: what training sees is what serving sees, classes are balanced, tiles are cut once."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn import draw_background
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.images import write_image
from maskwatch.preprocess import crop_face, whole_picture
from maskwatch.types import Box
from maskwatch_train.classifier_loss import UNKNOWN
from maskwatch_train.crops import (
    ASIDE_SHARE,
    COVERED_SHARE,
    PAINTED_SHARE,
    RARE_WEIGHT,
    TILE_PX,
    Crop,
    CropBatches,
    PlainCrops,
    core,
    cut_tile,
    cut_tiles,
    draw_crop,
    dress,
    list_crops,
    targets,
)
from maskwatch_train.index import CLASSIFICATION, DETECTION, LabelledBox, Sample
from maskwatch_train.recipes import BASELINE, ClassifierRecipe

RECIPE = ClassifierRecipe(batch_size=16, crops_per_epoch=64)


def smooth_picture(height_px: int, width_px: int, seed: int = 1):
    """Soft blobs: half a pixel more or less changes little, a crop from another place a lot."""
    noise = np.random.default_rng(seed).integers(0, 256, (height_px // 24 + 2, width_px // 24 + 2, 3), np.uint8)
    return cv2.resize(noise, (width_px, height_px), interpolation=cv2.INTER_CUBIC)


def difference(one, other) -> float:
    """Mean over pixels, in grey levels."""
    return float(np.abs(one.astype(int) - other).mean())


def all_of(items, _total):
    return items


def sample_of(folder, name: str, label: int | None, *faces: LabelledBox, source: str = CLASSIFICATION) -> Sample:
    path = folder / f"{name}.png"
    write_image(path, draw_background(80, 90, np.random.default_rng(len(name))))
    return Sample(path, source, label, faces, name, 90, 80)


def face(height_px: float, label: int | None, name: str = "") -> LabelledBox:
    return LabelledBox(Box(10, 10, 10 + 0.8 * height_px, 10 + height_px), label, name)


@settings(max_examples=60, deadline=None)
@given(
    left=st.floats(0, 330),
    top=st.floats(0, 230),
    side=st.floats(24, 220),
    ratio=st.floats(0.6, 1.0),
    margin_ratio=st.sampled_from([0.0, 0.25, 0.4, 0.5]),
    size_px=st.sampled_from([64, 96, 128]),
)
def test_the_middle_of_a_face_tile_is_what_serving_cuts(left, top, side, ratio, margin_ratio, size_px):
    image = smooth_picture(260, 360)
    box = Box(left, top, left + ratio * side, top + side).clipped(360, 260)  # as the index and the finder clip it
    served = crop_face(image, box, size_px, margin_ratio)
    seen = core(cut_tile(image, box, margin_ratio), size_px)
    assert seen.shape == (size_px, size_px, 3)
    assert difference(seen, served) < 9
    elsewhere = Box(box.xmin + side / 3, box.ymin + side / 3, box.xmax + side / 3, box.ymax + side / 3)
    if 0 < left < 150 and 0 < top < 50 and 60 < side < 100:  # a test that could not fail would be none
        assert difference(core(cut_tile(image, elsewhere, margin_ratio), size_px), served) > 9


@pytest.mark.parametrize(("height_px", "width_px"), [(96, 96), (150, 220), (600, 400), (40, 60)])
@pytest.mark.parametrize("size_px", [96, 128])
def test_the_middle_of_a_picture_tile_is_the_whole_picture(height_px, width_px, size_px):
    image = smooth_picture(height_px, width_px)
    tile = cut_tile(image, None, 0.25)
    assert tile.shape == (TILE_PX, TILE_PX, 3)
    assert tile.dtype == np.uint8
    assert difference(core(tile, size_px), whole_picture(image, size_px)) < 6


def test_a_face_tile_has_real_surroundings_around_its_middle():
    image = np.zeros((200, 200, 3), np.uint8)
    image[:, :70] = (0, 200, 0)  # left of the crop, within the room for shift and zoom
    tile = cut_tile(image, Box(80, 80, 120, 120), 0.25)
    assert (tile[:, 5] == (0, 200, 0)).all()
    assert (core(tile, 96) == 0).all()


def test_a_drawn_crop_shows_the_face_and_moves_it_about():
    image = np.full((160, 160, 3), 90, np.uint8)
    cv2.circle(image, (80, 80), 24, (255, 255, 255), -1)
    tile = cut_tile(image, Box(50, 50, 110, 110), 0.25)
    crops = [draw_crop(tile, 96, np.random.default_rng(seed)) for seed in range(40)]
    assert all(crop.shape == (96, 96, 3) and crop.dtype == np.uint8 for crop in crops)
    brighter = [crop[38:58, 38:58].mean() > crop[:8].mean() for crop in crops]
    assert np.mean(brighter) > 0.9
    assert len({crop.tobytes() for crop in crops}) == 40


def test_which_crops_a_recipe_asks_for(tmp_path):
    samples = [
        sample_of(tmp_path, "portrait", 1, face(40, 1), face(9, 1), face(30, None)),
        sample_of(tmp_path, "scene", None, face(40, 0, "mask_weared_incorrect"), face(20, 1), source=DETECTION),
    ]
    crops = list_crops(samples, RECIPE)
    assert [(crop.sample.name, crop.box and crop.box.height, crop.label, crop.rare) for crop in crops] == [
        ("portrait", None, 1, False),
        ("portrait", 40, 1, False),
        ("scene", 40, 0, True),
        ("scene", 20, 1, False),
    ]
    assert [crop.box for crop in list_crops(samples, BASELINE)] == [None]
    assert all(crop.box is not None for crop in list_crops(samples, replace(RECIPE, whole_picture_share=0.0)))


def test_tiles_are_cut_once_and_then_read_from_disk(tmp_path):
    samples = [sample_of(tmp_path, name, 1, face(40, 1)) for name in ("one", "three")]
    crops, cache = list_crops(samples, RECIPE), tmp_path / "run" / "tiles"
    seen = []

    def watched(items, total):
        seen.append(total)
        return items

    tiles = cut_tiles(crops, 0.25, cache, watched)
    assert tiles.shape == (4, TILE_PX, TILE_PX, 3)
    assert tiles.dtype == np.uint8
    again = cut_tiles(crops, 0.25, cache, watched)
    assert seen == [4]
    assert np.array_equal(tiles, again)
    assert len(list(cache.iterdir())) == 1
    cut_tiles(crops, 0.5, cache, watched)
    cut_tiles(crops[:3], 0.25, cache, watched)
    assert seen == [4, 4, 3]


def test_tiles_are_cut_anew_where_a_picture_has_changed(tmp_path):
    """Names alone told tiles apart, so a data set put in another's place was trained on the old one's faces."""
    sample = sample_of(tmp_path, "one", 1)
    crops = list_crops([sample], RECIPE)
    before = np.array(cut_tiles(crops, 0.25, tmp_path / "tiles", all_of))
    write_image(sample.path, smooth_picture(80, 90))
    assert not np.array_equal(before, cut_tiles(crops, 0.25, tmp_path / "tiles", all_of))


def test_cutting_that_was_broken_off_is_done_again(tmp_path):
    crops = list_crops([sample_of(tmp_path, "one", 1, face(40, 1))], RECIPE)

    def breaks(items, _total):
        yield next(iter(items))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_tiles(crops, 0.25, tmp_path / "tiles", breaks)
    tiles = cut_tiles(crops, 0.25, tmp_path / "tiles", all_of)
    assert all(tile.std() > 1 for tile in tiles)


def test_no_crops_give_no_batches(tmp_path):
    plain = PlainCrops((), cut_tiles((), 0.25, tmp_path / "tiles", all_of), RECIPE)
    assert plain.num_batches == 0


@pytest.fixture
def uneven(tmp_path):
    """19 unmasked crops and one masked, each tile of one grey level: its number times ten."""
    sample = sample_of(tmp_path, "one", 1)
    crops = [Crop(sample, Box(0, 0, 20, 20), int(number == 0)) for number in range(20)]
    tiles = np.arange(20, dtype=np.uint8)[:, None, None, None] * 10 + np.zeros((20, TILE_PX, TILE_PX, 3), np.uint8)
    return crops, tiles


def test_batches_hold_both_classes_alike_whatever_the_data_hold(uneven):
    batches = CropBatches(*uneven, replace(RECIPE, dressed=False), seed=3)
    assert batches.num_batches == 4
    labels = []
    for index in range(25):
        images, truth = batches[index]
        assert images.shape == (16, RECIPE.size_px, RECIPE.size_px, 3)
        assert images.dtype == np.uint8
        assert truth.shape == (16, 2)
        assert (truth[:, 1] == 1).all(), "without decoys all are faces"
        labels += truth[:, 0].tolist()
    assert set(labels) == {0, 1}
    assert np.mean(labels) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("decoy_share", [0.25, 0.6])
def test_batches_hold_their_share_of_decoys_and_both_classes_alike(uneven, decoy_share):
    """Many more decoys than faces, and the two faces' classes as uneven as ever."""
    crops, tiles = uneven
    crops = [*crops, *(Crop(crops[0].sample, Box(0, 0, 20, 20), None) for _ in range(60))]
    tiles = np.concatenate([tiles, np.full((60, TILE_PX, TILE_PX, 3), 250, np.uint8)])
    batches = CropBatches(crops, tiles, replace(RECIPE, dressed=False, decoy_share=decoy_share), seed=3)
    drawn = np.concatenate([batches[index][1] for index in range(60)])
    told = {row: float((drawn == row).all(axis=1).mean()) for row in ((0, 1), (1, 1), (UNKNOWN, 0))}
    faces = (1 - decoy_share) / 2
    assert told == pytest.approx({(0, 1): faces, (1, 1): faces, (UNKNOWN, 0): decoy_share}, abs=0.05)


def test_a_drawn_crop_and_its_target_belong_together(uneven):
    """Tiles of one grey level tell the crop; the mask's target alone may change, by a mask painted on."""
    crops, _ = uneven
    sample = crops[0].sample
    crops = [Crop(sample, Box(0, 0, 60, 80), 0), Crop(sample, Box(0, 0, 60, 80), 1), Crop(sample, None, 1),
             Crop(sample, Box(0, 0, 60, 80), None)]  # fmt: skip
    tiles = np.array([40, 100, 160, 220], np.uint8)[:, None, None, None] + np.zeros((4, TILE_PX, TILE_PX, 3), np.uint8)
    shown = []

    def by_grey(tile, size_px, _rng):
        shown.append(int(np.median(tile)))
        return np.zeros((size_px, size_px, 3), np.uint8)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maskwatch_train.crops.draw_crop", by_grey)
        batches = CropBatches(crops, tiles, RECIPE, seed=3)
        told = [tuple(row) for index in range(12) for row in batches[index][1].tolist()]
    seen = {grey: {row for level, row in zip(shown, told, strict=True) if level == grey} for grey in (100, 160, 220)}
    assert seen == {100: {(1, 1)}, 160: {(1, UNKNOWN)}, 220: {(UNKNOWN, 0)}}
    bare = {row for level, row in zip(shown, told, strict=True) if level not in seen}
    assert bare == {(0, 1), (1, 1)}


@pytest.mark.parametrize("decoys", [0, 5])
def test_the_baseline_learns_one_label_a_picture(tmp_path, decoys):
    """Its share of decoys is none, even where there are some."""
    sample = sample_of(tmp_path, "one", 1)
    crops = [Crop(sample, None, number % 2) for number in range(6)]
    crops += [Crop(sample, Box(0, 0, 20, 20), None)] * decoys
    tiles = np.zeros((len(crops), TILE_PX, TILE_PX, 3), np.uint8)
    recipe = replace(BASELINE, size_px=32, batch_size=16)
    drawn = np.concatenate([CropBatches(crops, tiles, recipe, seed=1)[index][1] for index in range(4)])
    assert drawn.shape == (64, 1)
    assert set(drawn[:, 0].tolist()) == {0, 1}
    assert PlainCrops(crops[:6], tiles[:6], recipe)[0][1].tolist() == [[0], [1]] * 3


def test_targets_say_what_is_known_of_mask_and_face(tmp_path):
    sample, box = sample_of(tmp_path, "one", 1), Box(0, 0, 20, 20)
    crops = [Crop(sample, box, 1), Crop(sample, box, 0), Crop(sample, None, 1), Crop(sample, None, 0),
             Crop(sample, box, None)]  # fmt: skip
    told = targets(crops, [crop.label for crop in crops], RECIPE)
    assert told.dtype == np.int32
    assert told.tolist() == [[1, 1], [0, 1], [1, UNKNOWN], [0, UNKNOWN], [UNKNOWN, 0]]
    painted = targets(crops[1:2], [1], RECIPE)
    assert painted.tolist() == [[1, 1]], "the label as dressed, not the crop's own"
    assert targets(crops[2:4], [1, 0], BASELINE).tolist() == [[1], [0]]
    assert targets([], [], RECIPE).shape == (0, 2)


def test_only_bare_faces_are_dressed_and_only_a_worn_mask_makes_them_masked(tmp_path):
    sample = sample_of(tmp_path, "one", 0)
    tile = np.random.default_rng(1).integers(90, 160, (TILE_PX, TILE_PX, 3), np.uint8)
    seen = {}
    for kind, crop in {
        "bare": Crop(sample, Box(0, 0, 60, 80), 0),
        "masked": Crop(sample, Box(0, 0, 60, 80), 1),
        "badly worn": Crop(sample, Box(0, 0, 60, 80), 0, rare=True),
        "whole": Crop(sample, None, 0),
        "decoy": Crop(sample, Box(0, 0, 60, 80), None),
    }.items():
        drawn = [dress(tile, crop, 0.4, tile, np.random.default_rng(seed)) for seed in range(200)]
        seen[kind] = {label for _, label in drawn}, np.mean([not np.array_equal(dressed, tile) for dressed, _ in drawn])
    labels = {kind: labels for kind, (labels, _) in seen.items()}
    assert labels == {"bare": {0, 1}, "masked": {1}, "badly worn": {0}, "whole": {0}, "decoy": {None}}
    changed = PAINTED_SHARE + COVERED_SHARE
    assert seen["bare"][1] == pytest.approx(1 - (1 - changed) * (1 - ASIDE_SHARE), abs=0.12)
    assert seen["masked"][1] == pytest.approx(ASIDE_SHARE, abs=0.08)
    assert seen["whole"][1] == seen["decoy"][1] == 0


def test_badly_worn_masks_are_drawn_more_often(tmp_path):
    sample = sample_of(tmp_path, "one", 1)
    crops = [Crop(sample, Box(0, 0, 20, 20), int(number < 10), rare=number >= 18) for number in range(20)]
    batches = CropBatches(crops, np.zeros((20, TILE_PX, TILE_PX, 3), np.uint8), RECIPE, seed=1)
    drawn = batches._chance
    assert RARE_WEIGHT > 1
    assert drawn[18] == pytest.approx(RARE_WEIGHT * drawn[17])
    assert drawn[10:].sum() == pytest.approx(drawn[:10].sum())


def test_a_batch_hangs_on_seed_epoch_and_number_alone(uneven):
    batches, others = CropBatches(*uneven, RECIPE, seed=3), CropBatches(*uneven, RECIPE, seed=3)
    expected = {index: batches[index] for index in (2, 0)}
    for index in (0, 2):
        for one, other in zip(others[index], expected[index], strict=True):
            assert np.array_equal(one, other)
    others.epoch = 1
    assert not np.array_equal(others[0][0], expected[0][0])
    assert not np.array_equal(CropBatches(*uneven, RECIPE, seed=4)[0][0], expected[0][0])


def test_validation_sees_every_crop_once_untouched(uneven):
    crops, tiles = uneven
    plain = PlainCrops(crops, tiles, RECIPE)
    batches = [plain[index] for index in range(plain.num_batches)]
    assert [len(images) for images, _ in batches] == [16, 4]
    images, truth = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert images[:, 40, 40, 0].tolist() == [number * 10 for number in range(20)]
    assert truth.tolist() == [[1, 1]] + [[0, 1]] * 19
