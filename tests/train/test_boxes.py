"""Face boxes for a classification set: what a finder sees becomes a faces.csv that the index reads."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from drawn import write_classification_set, write_detection_set
from maskwatch.cli import main
from maskwatch.errors import DataError, OperatorError
from maskwatch.finder import Detection
from maskwatch.types import Box, Frame
from maskwatch_train.boxes import MIN_SCORE, find_boxes, write_boxes
from maskwatch_train.index import FACES_COLUMNS, read_data


class Finder:
    """Finds as many faces as it is told, picture by picture, all inside the picture."""

    def __init__(self, *counts: int) -> None:
        self._counts = iter(counts)
        self.min_scores: list[float | None] = []

    def find(self, frame: Frame, min_score: float | None = None) -> tuple[Detection, ...]:
        assert frame.image.dtype == np.uint8
        self.min_scores.append(min_score)
        return tuple(Detection(Box(4 + n, 5, 44.25 + n, 60), 0.9 - n / 10) for n in range(next(self._counts)))


@pytest.fixture
def data(tmp_path):
    write_classification_set(tmp_path / "data" / "faces", 4, 1)
    write_detection_set(tmp_path / "data" / "scenes", 2, 2)
    return tmp_path / "data"


def test_a_face_alone_has_its_pictures_label_and_faces_together_have_none(data):
    finder = Finder(1, 2, 0, 1)
    rows = find_boxes(read_data(data), SimpleNamespace(finder=finder))
    path = data / "faces" / "faces.csv"
    write_boxes(path, rows)
    samples = [sample for sample in read_data(data) if sample.source == "classification"]
    assert [[(face.label, face.name) for face in sample.boxes] for sample in samples] == [
        [(1, "with_mask")],
        [(None, ""), (None, "")],
        [],
        [(0, "without_mask")],
    ]
    (face,) = samples[0].boxes
    assert face.box == Box(4.0, 5.0, 44.2, 60.0)
    assert face.score == 0.9
    assert finder.min_scores == [MIN_SCORE] * 4
    with path.open(newline="") as stream:
        assert tuple(next(csv.reader(stream))) == FACES_COLUMNS


def test_progress_passes_every_picture_through(data):
    seen = []

    def progress(samples):
        for sample in samples:
            seen.append(sample.name)
            yield sample

    find_boxes(read_data(data), SimpleNamespace(finder=Finder(0, 0, 0, 0)), progress)
    assert len(seen) == 4


def test_a_pipeline_without_a_finder_is_refused(data):
    with pytest.raises(OperatorError, match="--bundle"):
        find_boxes(read_data(data), SimpleNamespace(finder=None))


def test_data_without_a_classification_set_are_refused(data):
    with pytest.raises(DataError, match="data fetch"):
        find_boxes(read_data(data / "scenes"), SimpleNamespace(finder=Finder()))


def test_a_folder_that_is_not_there_is_one_fault(tmp_path):
    with pytest.raises(OperatorError, match="--out"):
        write_boxes(tmp_path / "nowhere" / "faces.csv", [])


def test_the_verb_writes_the_file_beside_the_set_but_never_over_another(data, tiny_bundle_path, capsys):
    """The tiny finder sees what it sees; the file must be there, whole and readable."""
    words = ["data", "boxes", str(data), "--bundle", str(tiny_bundle_path)]
    assert main(words) == 0
    out = capsys.readouterr().out
    path = data / "faces" / "faces.csv"
    assert out == f"{path}\n"
    read_data(data)
    before = path.read_bytes()
    assert main(words) == 3
    captured = capsys.readouterr()
    assert str(path) in captured.err
    assert captured.out == ""
    assert path.read_bytes() == before
    elsewhere = data.parent / "other.csv"
    assert main([*words, "--out", str(elsewhere)]) == 0
    assert elsewhere.read_bytes() == before
    assert {entry.name for entry in (data / "faces").iterdir()} == {"data", "faces.csv"}


@pytest.mark.parametrize("words", [["--out", "nowhere/faces.csv"], ["--bundle", "nowhere.maskwatch"]])
def test_the_verb_says_at_once_what_is_missing(data, words, capsys, monkeypatch, tmp_path, tiny_bundle_path):
    monkeypatch.chdir(tmp_path)
    defaults = [] if "--bundle" in words else ["--bundle", str(tiny_bundle_path)]
    assert main(["data", "boxes", str(data), *defaults, *words]) == 3
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "nowhere" in line


def test_the_verb_without_a_classification_set(data, tiny_bundle_path, capsys):
    assert main(["data", "boxes", str(data / "scenes"), "--bundle", str(tiny_bundle_path)]) == 3
    assert "data fetch" in capsys.readouterr().err
