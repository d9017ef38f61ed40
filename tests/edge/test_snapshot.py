"""The one picture that an owner may ask for: the surest of each, and never a face where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from maskwatch.errors import OperatorError
from maskwatch.images import read_image
from maskwatch.snapshot import Snapshot, check_picture_path
from maskwatch.types import Box, Face, Frame, Label, Person, Situation, Verdict


def seen(
    level: int,
    mask: float,
    frames_seen: int,
    voted: Label | None = None,
    shown: Situation | None = None,
    height_px: int = 480,
) -> tuple[Frame, Verdict]:
    """A frame of one grey level in which one person stands, and its verdict."""
    frame = Frame(np.full((height_px, 640, 3), level, np.uint8), 0.0)
    label = Label.WITH_MASK if mask >= 0.5 else Label.WITHOUT_MASK
    person = Person(1, Face(Box(200, 100, 300, 230), 0.9, mask, label), voted or label, frames_seen)
    natural = Situation.ALL_MASKED if label is Label.WITH_MASK else Situation.UNMASKED
    return frame, Verdict(shown or natural, False, (person,), 0.0)


def corners(snapshot: Snapshot) -> list[int]:
    """The grey level of each panel's top left corner, where nothing is drawn."""
    picture = snapshot.picture()
    assert picture is not None
    return [int(picture[0, left, 0]) for left in range(0, picture.shape[1], 640)]


def test_the_surest_frame_of_each_is_shown_bare_to_the_left() -> None:
    snapshot = Snapshot()
    for index, (level, mask) in enumerate([(10, 0.7), (20, 0.99), (30, 0.8), (40, 0.2), (50, 0.01), (60, 0.3)]):
        snapshot.keep(*seen(level, mask, index))
    assert corners(snapshot) == [50, 20]


def test_one_kind_alone_makes_a_picture_and_nobody_makes_none(tmp_path: Path) -> None:
    snapshot = Snapshot()
    snapshot.keep(Frame(np.zeros((480, 640, 3), np.uint8), 0.0), Verdict(Situation.NOBODY, False, (), 0.0))
    assert snapshot.picture() is None
    assert not snapshot.write(tmp_path / "seen.png")
    assert list(tmp_path.iterdir()) == []
    snapshot.keep(*seen(80, 0.9, 1))
    assert snapshot.write(tmp_path / "seen.png")
    assert read_image(tmp_path / "seen.png").shape == (480, 640, 3)


def test_frames_that_show_something_else_than_their_words_are_passed_over() -> None:
    snapshot = Snapshot()
    snapshot.keep(*seen(10, 0.6, 1))
    snapshot.keep(*seen(20, 0.99, 1))  # only remembered: the face is not in this frame
    snapshot.keep(*seen(30, 0.99, 2, voted=Label.WITHOUT_MASK))  # outvoted
    snapshot.keep(*seen(40, 0.99, 3, shown=Situation.UNMASKED))  # a light that is held
    assert corners(snapshot) == [10]


def test_panels_of_different_sizes_stand_side_by_side() -> None:
    snapshot = Snapshot()
    snapshot.keep(*seen(10, 0.9, 1, height_px=960))
    snapshot.keep(*seen(20, 0.1, 2, height_px=480))
    picture = snapshot.picture()
    assert picture is not None
    assert picture.shape == (480, 640 + 320, 3)


def test_a_path_that_no_picture_can_have_is_refused_before_the_run(tmp_path: Path) -> None:
    check_picture_path(tmp_path / "seen.jpg")
    with pytest.raises(OperatorError, match="names no picture format"):
        check_picture_path(tmp_path / "seen.txt")
    with pytest.raises(OperatorError, match="is no folder"):
        check_picture_path(tmp_path / "absent" / "seen.jpg")
