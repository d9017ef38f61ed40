"""The split: shares, no leaks, and the same answer every time."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from drawn import write_classification_set, write_detection_set
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.types import Box
from maskwatch_train.index import CLASSIFICATION, DETECTION, LabelledBox, Sample, read_data
from maskwatch_train.split import Split, data_identity, load_split, split_groups


def _pictures(count: int, group_sizes: random.Random | None = None) -> tuple[list[Sample], list[list[int]]]:
    """Made-up samples of all kinds, and a grouping of them."""
    samples = []
    for number in range(count):
        if number % 3:
            path = Path(f"{number}.jpg")
            side_px = (90, 140, 300)[number % 7 % 3]
            samples.append(Sample(path, CLASSIFICATION, number % 2, (), f"c/{number}", side_px, side_px))
        else:
            name = ("with_mask", "without_mask")[number % 2]
            faces = (LabelledBox(Box(0, 0, 9, 9), 1, name),)
            samples.append(Sample(Path(f"{number}.png"), DETECTION, None, faces, f"d/{number}", 400, 300))
    groups: list[list[int]] = []
    while (start := sum(map(len, groups))) < count:
        size = group_sizes.choice((1, 1, 1, 2, 5)) if group_sizes else 1
        groups.append(list(range(start, min(start + size, count))))
    return samples, groups


def _parts(split: Split) -> tuple[tuple[Sample, ...], ...]:
    return split.train, split.validation, split.test


def test_shares_are_right_in_total_and_for_each_source_and_label() -> None:
    samples, groups = _pictures(3000)
    parts = _parts(split_groups(samples, groups, seed=1))
    totals = Counter((sample.source, sample.label) for sample in samples)
    for part, share in zip(parts, (0.70, 0.15, 0.15), strict=True):
        assert len(part) / len(samples) == pytest.approx(share, abs=0.005)
        for kind, number in Counter((sample.source, sample.label) for sample in part).items():
            assert number / totals[kind] == pytest.approx(share, abs=0.01)


@given(st.integers(0, 120), st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_every_sample_lands_once_and_groups_stay_whole(count: int, seed: int, chance: random.Random) -> None:
    samples, groups = _pictures(count, chance)
    parts = _parts(split_groups(samples, groups, seed))
    assert sorted(sample.name for part in parts for sample in part) == sorted(sample.name for sample in samples)
    where = {sample.name: index for index, part in enumerate(parts) for sample in part}
    for group in groups:
        assert len({where[samples[index].name] for index in group}) == 1


@given(st.randoms(use_true_random=False))
def test_the_order_of_files_and_groups_does_not_matter(chance: random.Random) -> None:
    samples, groups = _pictures(60, chance)
    expected = split_groups(samples, groups, seed=5)
    order = list(range(60))
    chance.shuffle(order)
    position = {old: new for new, old in enumerate(order)}
    shuffled = [[position[index] for index in group] for group in groups]
    for group in shuffled:
        chance.shuffle(group)
    chance.shuffle(shuffled)
    assert split_groups([samples[index] for index in order], shuffled, seed=5) == expected


def test_the_seed_decides() -> None:
    samples, groups = _pictures(300)
    first, second = (split_groups(samples, groups, seed) for seed in (1, 2))
    assert first == split_groups(samples, groups, 1)
    assert {sample.name for sample in first.test} != {sample.name for sample in second.test}


def test_rare_faces_reach_every_part() -> None:
    samples, groups = _pictures(300)
    rare = (LabelledBox(Box(0, 0, 9, 9), 0, "mask_weared_incorrect"),)
    for number in range(0, 60, 3):
        kept = samples[number]
        samples[number] = Sample(kept.path, DETECTION, None, kept.boxes + rare, kept.name, 400, 300)
    found = [sum(rare[0] in sample.boxes for sample in part) for part in _parts(split_groups(samples, groups, 3))]
    assert found == [14, 3, 3]


def test_load_split_reads_groups_and_parts(tmp_path: Path) -> None:
    write_classification_set(tmp_path / "data" / "faces", 30, seed=1, faces_csv=True)
    write_detection_set(tmp_path / "data" / "scenes", 10, seed=2)
    original = tmp_path / "data/faces/data/with_mask/with_mask_1.jpg"
    for copy in range(101, 106):
        original.with_name(f"with_mask_{copy}.jpg").write_bytes(original.read_bytes())
    cache = tmp_path / "hashes.npz"
    split = load_split(tmp_path / "data", seed=3, cache=cache)
    assert cache.is_file()
    assert load_split(tmp_path / "data", seed=3, cache=cache) == split == load_split(tmp_path / "data", seed=3)
    assert sum(map(len, _parts(split))) == 45
    copies = {"with_mask_1.jpg", *(f"with_mask_{copy}.jpg" for copy in range(101, 106))}
    assert sorted(len(copies & {sample.path.name for sample in part}) for part in _parts(split)) == [0, 0, 6]


def test_identity_changes_with_names_sizes_and_boxes_only(tmp_path: Path) -> None:
    write_classification_set(tmp_path / "set", 4, seed=1, faces_csv=True)
    samples = read_data(tmp_path / "set")
    identity = data_identity(samples)
    assert len(identity) == 64
    assert data_identity(samples[::-1]) == identity

    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "set").rename(moved / "set")
    assert data_identity(read_data(moved / "set")) == identity

    samples = read_data(moved / "set")
    assert data_identity(samples[:-1]) != identity
    with samples[0].path.open("ab") as stream:
        stream.write(b"x")
    longer = data_identity(samples)
    assert longer != identity
    (moved / "set" / "faces.csv").unlink()
    assert data_identity(read_data(moved / "set")) not in (identity, longer)
