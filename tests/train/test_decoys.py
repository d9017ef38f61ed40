"""Decoys: which boxes of a finder count as no face, and that a run goes on with those it began with."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.errors import DataError
from maskwatch.finder import Detection
from maskwatch.images import write_image
from maskwatch.types import Box, Frame
from maskwatch_train.decoys import LEAST_SCORE, MOST_OVERLAP, MOST_SCORE, SMALLEST_DECOY_PX, find_decoys, kept_decoys
from maskwatch_train.index import CLASSIFICATION, DETECTION, LabelledBox, Sample

FACE = Box(100, 40, 140, 80)
BACKGROUND = Box(10.04, 10.06, 40.25, 50)
MIDDLING = (LEAST_SCORE + MOST_SCORE) / 2
MADE_FROM = {"train": "ab", "finder": "cd"}


@dataclass
class StubFinder:
    """Finds the same in every frame, and keeps the frames it was shown."""

    sees: list[Detection]
    shown: list[Frame] = field(default_factory=list)

    def find(self, frame: Frame, min_score: float) -> tuple[Detection, ...]:
        self.shown.append(frame)
        return tuple(found for found in self.sees if found.score >= min_score)


def scene(folder: Path, name: str = "scene", *faces: Box, label: int | None = None) -> Sample:
    path = folder / f"{name}.png"
    write_image(path, np.full((120, 160, 3), 90, np.uint8))
    boxes = tuple(LabelledBox(face, label) for face in faces)
    return Sample(path, DETECTION, None, boxes, f"set/images/{name}.png", 160, 120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("scenes")


def taken(sample: Sample, box: Box, score: float = MIDDLING) -> bool:
    return len(find_decoys([sample], StubFinder([Detection(box, score)]))) == 1


# Which are found


def test_a_decoy_is_a_box_in_its_photograph_with_no_face_in_it(folder):
    one, other = scene(folder, "one", FACE), scene(folder, "other")
    finder = StubFinder([Detection(FACE, 0.9), Detection(BACKGROUND, MIDDLING), Detection(FACE, MIDDLING)])
    decoys = find_decoys([one, other], finder)
    to_a_tenth = Box(10.0, 10.1, 40.2, 50)
    assert [(crop.sample, crop.label, crop.rare) for crop in decoys] == [
        (one, None, False), (other, None, False), (other, None, False),
    ]  # fmt: skip
    assert [crop.box for crop in decoys] == [to_a_tenth, to_a_tenth, FACE]
    assert [(frame.height_px, frame.width_px) for frame in finder.shown] == [(120, 160)] * 2


@pytest.mark.parametrize(
    ("score", "is_one"),
    [(LEAST_SCORE - 0.01, False), (LEAST_SCORE, True), (MOST_SCORE - 0.01, True), (MOST_SCORE, False), (0.99, False)],
)
def test_only_what_is_half_believed_counts(folder, score, is_one):
    assert taken(scene(folder), BACKGROUND, score) == is_one


@pytest.mark.parametrize(
    ("width_px", "height_px", "is_one"),
    [(SMALLEST_DECOY_PX, SMALLEST_DECOY_PX, True), (SMALLEST_DECOY_PX - 0.2, 60, False),
     (60, SMALLEST_DECOY_PX - 0.2, False)],
)  # fmt: skip
def test_a_decoy_too_small_to_tell_is_none(folder, width_px, height_px, is_one):
    assert taken(scene(folder), Box(20, 20, 20 + width_px, 20 + height_px)) == is_one


@settings(max_examples=60, deadline=None)
@given(
    faces=st.lists(st.tuples(st.integers(0, 110), st.integers(0, 70), st.integers(8, 50)), max_size=4),
    label=st.sampled_from([None, 0, 1]),
    left=st.integers(0, 110),
    top=st.integers(0, 70),
)
def test_a_decoy_overlaps_no_face_much_whatever_the_face_wears(folder, faces, label, left, top):
    true = [Box(x, y, x + side, y + side) for x, y, side in faces]
    box = Box(left, top, left + 40, top + 40)
    expected = all(box.iou(face) < MOST_OVERLAP for face in true)
    assert taken(scene(folder, "any", *true, label=label), box) == expected


def test_portraits_without_boxes_give_no_decoys(folder):
    """Faces that nobody had boxed were learnt as none: each of these pictures shows one."""
    unboxed = replace(scene(folder), source=CLASSIFICATION, label=1)
    assert not taken(unboxed, BACKGROUND)
    assert taken(replace(unboxed, boxes=(LabelledBox(FACE, 1),)), BACKGROUND)


# The file


def with_rows(text: str, change) -> str:
    kept = json.loads(text)
    return json.dumps(kept | {"boxes": [change(row) for row in kept["boxes"]]})


@pytest.fixture
def kept(tmp_path):
    """Two photographs with two decoys each, found and kept."""
    samples = [scene(tmp_path, name, FACE) for name in ("one", "other")]
    path = tmp_path / "run" / "masknet" / "decoys.json"
    finder = StubFinder([Detection(BACKGROUND, 0.4), Detection(Box(0, 60, 33.37, 90.01), 0.3)])
    return path, samples, kept_decoys(path, MADE_FROM, samples, finder)


def test_what_was_found_once_is_read_again(kept):
    path, samples, decoys = kept
    assert len(decoys) == 4
    never = StubFinder([Detection(Box(0, 0, 60, 60), MIDDLING)])
    assert kept_decoys(path, MADE_FROM, samples, never) == decoys
    assert kept_decoys(path, MADE_FROM, samples[::-1], never) == decoys, "in whatever order the photographs are listed"
    assert never.shown == []
    assert [each.name for each in path.parent.iterdir()] == ["decoys.json"]


def test_that_nothing_was_found_is_kept_too(tmp_path):
    finder, samples = StubFinder([]), [scene(tmp_path)]
    assert kept_decoys(tmp_path / "decoys.json", MADE_FROM, samples, finder) == []
    assert kept_decoys(tmp_path / "decoys.json", MADE_FROM, samples, finder) == []
    assert len(finder.shown) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "7",
        lambda text: with_rows(text, lambda row: row[:-1]),
        lambda text: with_rows(text, lambda row: [*row, 1.0]),
        lambda text: with_rows(text, lambda row: [*row[:-1], "low"]),
        lambda text: with_rows(text, lambda row: [None, *row[1:]]),
    ],
    ids=["cut off", "empty", "a number", "an edge short", "an edge too many", "a word for an edge", "no name"],
)
def test_a_damaged_file_is_one_line_with_a_remedy(kept, damage):
    path, samples, _ = kept
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=r"decoys\.json is damaged.*: delete it") as refused:
        kept_decoys(path, MADE_FROM, samples, StubFinder([]))
    assert len(str(refused.value).splitlines()) == 1


def test_bytes_that_are_no_text_are_damage(kept):
    path, samples, _ = kept
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="damaged"):
        kept_decoys(path, MADE_FROM, samples, StubFinder([]))


@pytest.mark.parametrize("changed", ["train", "finder"])
def test_decoys_of_other_photographs_or_another_finder_are_refused(kept, changed):
    path, samples, _ = kept
    finder = StubFinder([])
    with pytest.raises(DataError, match=r"decoys\.json is of other photographs or of another finder: delete it"):
        kept_decoys(path, MADE_FROM | {changed: "other"}, samples, finder)
    assert finder.shown == []


def test_finding_that_was_broken_off_leaves_no_file(tmp_path):
    samples, path = [scene(tmp_path, name) for name in ("one", "other")], tmp_path / "run" / "decoys.json"
    finder = StubFinder([Detection(BACKGROUND, MIDDLING)])

    def breaks(items):
        yield items[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_decoys(path, MADE_FROM, samples, finder, breaks)
    assert len(finder.shown) == 1
    assert not path.exists()
    assert len(kept_decoys(path, MADE_FROM, samples, finder)) == 2
    assert [each.name for each in path.parent.iterdir()] == ["decoys.json"]


def test_writing_that_was_broken_off_leaves_no_half_file(tmp_path, monkeypatch):
    samples, path = [scene(tmp_path)], tmp_path / "decoys.json"
    finder = StubFinder([Detection(BACKGROUND, MIDDLING)])
    whole = Path.write_text

    def breaks(self, text, *more, **named):
        whole(self, text[: len(text) // 2], *more, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", breaks)
        with pytest.raises(KeyboardInterrupt):
            kept_decoys(path, MADE_FROM, samples, finder)
    assert not path.exists()
    assert len(kept_decoys(path, MADE_FROM, samples, finder)) == 1
