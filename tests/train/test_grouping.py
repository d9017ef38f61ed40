"""Near-duplicates: what must be found, what must stay apart, and the cache of hashes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn import DrawnFace, draw_background, draw_face, write_classification_set
from maskwatch.errors import DataError
from maskwatch.types import Box, Image
from maskwatch_train import grouping
from maskwatch_train.grouping import Fingerprints, group_samples, near_pairs
from maskwatch_train.index import CLASSIFICATION, LabelledBox, Sample, read_data
from PIL import Image as PILImage

FACE = DrawnFace(60, 30, 140, 130, "with_mask")


@pytest.fixture
def scene() -> Image:
    rng = np.random.default_rng(7)
    image = draw_background(160, 200, rng)
    draw_face(image, FACE, rng)
    return image


def _sample(folder: Path, name: str, image: Image, *boxes: Box, quality: int = 95) -> Sample:
    path = folder / f"{name}.jpg"
    PILImage.fromarray(image).save(path, quality=quality)
    faces = tuple(LabelledBox(box, 1) for box in boxes)
    return Sample(path, CLASSIFICATION, 1, faces, name, image.shape[1], image.shape[0])


CHANGES: dict[str, Callable[[Image], Image]] = {
    "stored again": lambda image: image,
    "small": lambda image: cv2.resize(image, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA),
    "large": lambda image: cv2.resize(image, None, fx=2.5, fy=2.5),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "darker": lambda image: (image * 0.6).astype(np.uint8),
    "blurred": lambda image: cv2.GaussianBlur(image, (5, 5), 0),
    "grey": lambda image: cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_shot_is_found(tmp_path: Path, scene: Image, change: str) -> None:
    other = draw_background(160, 200, np.random.default_rng(8))
    samples = [
        _sample(tmp_path, "a", scene),
        _sample(tmp_path, "b", other),
        _sample(tmp_path, "c", CHANGES[change](scene), quality=25),
    ]
    assert group_samples(samples) == ((0, 2), (1,))


def test_a_crop_of_a_scene_is_found_by_its_face(tmp_path: Path, scene: Image) -> None:
    crop = np.ascontiguousarray(scene[FACE.ymin : FACE.ymax, FACE.xmin : FACE.xmax])
    box = Box(FACE.xmin, FACE.ymin, FACE.xmax, FACE.ymax)
    assert group_samples([_sample(tmp_path, "scene", scene), _sample(tmp_path, "crop", crop)]) == ((0,), (1,))
    assert group_samples([_sample(tmp_path, "scene", scene, box), _sample(tmp_path, "crop", crop)]) == ((0, 1),)


def test_one_face_on_two_backgrounds_is_found(tmp_path: Path, scene: Image) -> None:
    """A face pasted elsewhere: the pictures differ, the crops do not."""
    other = draw_background(200, 260, np.random.default_rng(9))
    height, width = FACE.ymax - FACE.ymin, FACE.xmax - FACE.xmin
    other[90 : 90 + height, 150 : 150 + width] = scene[FACE.ymin : FACE.ymax, FACE.xmin : FACE.xmax]
    first = _sample(tmp_path, "a", scene, Box(FACE.xmin, FACE.ymin, FACE.xmax, FACE.ymax))
    second = _sample(tmp_path, "b", other, Box(150, 90, 150 + width, 90 + height))
    assert group_samples([first, second]) == ((0, 1),)


def test_tiny_faces_say_nothing(tmp_path: Path) -> None:
    box = Box(10, 10, 30, 10 + grouping.MIN_FACE_HEIGHT_PX - 1)
    pictures = []
    for seed in (1, 2):
        image = draw_background(160, 200, np.random.default_rng(seed))
        image[10:40, 10:30] = np.linspace(0, 255, 20, dtype=np.uint8)[None, :, None]
        pictures.append(_sample(tmp_path, str(seed), image, box))
    assert group_samples(pictures) == ((0,), (1,))


def test_flat_pictures_do_not_fall_into_one_group(tmp_path: Path) -> None:
    """A black frame and a white one have the same hash, like all flat ones: they once chained strangers together."""
    samples = [_sample(tmp_path, str(level), np.full((60, 60, 3), level, np.uint8)) for level in (0, 128, 255)]
    assert group_samples(samples) == ((0,), (1,), (2,))


def test_different_drawings_stay_apart(tmp_path: Path) -> None:
    write_classification_set(tmp_path, 40, seed=3, faces_csv=True)
    groups = group_samples(read_data(tmp_path))
    assert sorted(index for group in groups for index in group) == list(range(40))
    assert max(map(len, groups)) <= 3


def test_pairs_are_neighbours_whatever_the_order() -> None:
    words = np.zeros((3, 2, 5), np.uint64)
    words[:, 1] = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
    half = (1 << 35) - 1
    words[1, 0, :2] = 0xFF, half
    words[2, 0, :3] = 0xFFFF, half, half  # neighbours differ by 8 and 35 bits, the ends by 16 and 70
    assert near_pairs(Fingerprints(words, np.array([0, 1, 2]))) == [(0, 1), (1, 2)]
    assert near_pairs(Fingerprints(words[::-1].copy(), np.array([2, 1, 0]))) == [(2, 1), (1, 0)]


@pytest.mark.parametrize(
    ("coarse_bits", "fine_bits", "near"),
    [(8, 80, True), (9, 80, False), (8, 81, False), (16, 58, True), (16, 59, False), (0, 0, True)],
)
def test_radii(coarse_bits: int, fine_bits: int, near: bool) -> None:
    words = np.zeros((2, 2, 5), np.uint64)
    words[:, 1] = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
    words[1, 0, 0] = (1 << coarse_bits) - 1
    words[1, 0, 1] = (1 << min(fine_bits, 40)) - 1
    words[1, 0, 2] = (1 << max(fine_bits - 40, 0)) - 1
    assert bool(near_pairs(Fingerprints(words, np.array([0, 1])))) == near


def test_rows_of_one_sample_are_never_a_pair() -> None:
    words = np.zeros((3, 2, 5), np.uint64)
    assert near_pairs(Fingerprints(words, np.array([4, 4, 4]))) == []


def test_a_damaged_picture_is_named(tmp_path: Path, scene: Image) -> None:
    sample = _sample(tmp_path, "cut", scene)
    sample.path.write_bytes(sample.path.read_bytes()[:800])
    with pytest.raises(DataError, match=r"cut\.jpg is damaged"):
        group_samples([sample])


def test_the_cache_spares_reading_and_notices_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_classification_set(tmp_path / "set", 6, seed=4, faces_csv=True)
    cache = tmp_path / "cache" / "hashes.npz"
    samples = read_data(tmp_path / "set")
    first = grouping.fingerprint(samples, cache)
    read: list[str] = []
    hash_sample = grouping.hash_sample
    monkeypatch.setattr(grouping, "hash_sample", lambda sample: read.append(sample.path.name) or hash_sample(sample))

    again = grouping.fingerprint(samples, cache)
    assert read == []
    assert np.array_equal(again.hashes, first.hashes)
    assert np.array_equal(again.owners, first.owners)

    changed = samples[2].path
    changed.write_bytes(samples[3].path.read_bytes())
    fresh = grouping.fingerprint(samples, cache)
    assert read == [changed.name]
    assert not np.array_equal(fresh.hashes, first.hashes)

    read.clear()
    (tmp_path / "set" / "faces.csv").unlink()
    grouping.fingerprint(read_data(tmp_path / "set"), cache)
    assert len(read) == 6  # other boxes, other hashes
    assert [path.name for path in cache.parent.iterdir()] == ["hashes.npz"]


@pytest.mark.parametrize("keep_bytes", [0, 10, 200])
def test_a_damaged_cache_is_made_again(tmp_path: Path, keep_bytes: int, caplog: pytest.LogCaptureFixture) -> None:
    write_classification_set(tmp_path / "set", 4, seed=5)
    samples, cache = read_data(tmp_path / "set"), tmp_path / "hashes.npz"
    whole = group_samples(samples, cache)
    cache.write_bytes(cache.read_bytes()[:keep_bytes])
    with caplog.at_level(logging.WARNING):
        assert group_samples(samples, cache) == whole
    assert "is damaged and is made again" in caplog.text
    caplog.clear()
    assert group_samples(samples, cache) == whole
    assert caplog.text == ""


def test_no_samples_no_groups() -> None:
    assert group_samples([]) == ()
