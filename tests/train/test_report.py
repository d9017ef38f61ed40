"""The report's text is aligned, its JSON is strict and stable, and its pictures show what they claim."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from maskwatch.errors import OperatorError
from maskwatch.images import write_image
from maskwatch.types import Box, Face, Label
from maskwatch_train.evaluate import PictureVerdict, SceneFaces, summarise
from maskwatch_train.index import LabelledBox, Sample
from maskwatch_train.report import ReportContext, report_json, report_text, summary, write_report

CONTEXT = ReportContext(data="0123456789abcdef" * 4, split="test", seed=7, code="0.1.0")
TALL, LOW = Box(10, 10, 60, 60), Box(70, 70, 90, 92)


@pytest.fixture
def sample(tmp_path):
    def make(name, truth, boxes=()):
        path = tmp_path / name
        write_image(path, np.full((100, 120, 3), 200, np.uint8))
        source = "detection" if truth is None else "classification"
        return Sample(path, source, truth, tuple(LabelledBox(*box) for box in boxes), f"set/{name}", 120, 100)

    return make


@pytest.fixture
def evaluation(sample):
    """Two of three pictures right; one face of two found and rightly labelled, one that is not there."""

    def verdict(name, truth, mask):
        said = Label.WITH_MASK if mask >= 0.5 else Label.WITHOUT_MASK
        return PictureVerdict(sample(name, truth), said, mask, (Face(TALL, 0.9, mask, said),), 0.5)

    verdicts = [verdict("a.png", 1, 0.9), verdict("b.png", 0, 0.2), verdict("c.png", 0, 0.8)]
    scene = sample("d.png", None, [(TALL, 1), (LOW, 0)])
    faces = (Face(TALL, 0.9, 0.9, Label.WITH_MASK), Face(Box(60, 0, 119, 50), 0.4, 0.1, Label.WITHOUT_MASK))
    return summarise(verdicts, [SceneFaces(scene, faces)], has_finder=True)


@pytest.fixture
def baseline(sample):
    verdict = PictureVerdict(sample("a.png", 1), Label.WITH_MASK, 0.6, (), 0.5)
    return summarise([verdict], [], has_finder=False)


def row(text, start):
    return next(line.split() for line in text.splitlines() if line.startswith(start))


def test_text_shows_pipelines_side_by_side(evaluation, baseline):
    text = report_text({"int8": evaluation, "baseline_cnn": baseline}, CONTEXT)
    assert "test split, seed 7 · data 0123456789ab · code 0.1.0" in text
    assert row(text, "pictures") == ["pictures", "3", "1"]
    assert row(text, "accuracy") == ["accuracy", "0.6667", "1.0000"]
    assert row(text, "without_mask  precision") == ["without_mask", "precision", "1.0000", "–"]
    assert row(text, "face      all") == ["face", "all", "2", "0.5000", "–"]
    assert row(text, "face      ≥ 48") == ["face", "≥", "48", "px", "high", "1", "1.0000", "–"]
    assert row(text, "unmasked  ≥ 48") == ["unmasked", "≥", "48", "px", "high", "0", "–", "–"]
    assert row(text, "score: is it") == ["score:", "is", "it", "a", "face?", "0.2500", "of", "2", "–"]
    assert row(text, "P(mask) of") == ["P(mask)", "of", "labelled", "faces", "0.1000", "of", "1", "–"]
    assert row(text, "set/c.png") == ["set/c.png", "without_mask", "with_mask", "0.8000", "0.8000"]


def test_every_table_is_aligned_to_the_right(evaluation, baseline):
    text = report_text({"int8": evaluation, "baseline_cnn": baseline}, CONTEXT)
    tables = text.rstrip("\n").split("\n\n")[1:]
    assert len(tables) == 7
    for table in tables:
        assert len({len(line) for line in table.splitlines()}) == 1, table


def test_json_is_strict_and_holds_the_figures(evaluation, baseline):
    text = json.dumps(report_json({"int8": evaluation, "baseline_cnn": baseline}, CONTEXT), allow_nan=False)
    report = json.loads(text)
    assert report["context"] == {"data": CONTEXT.data, "split": "test", "seed": 7, "code": "0.1.0"}
    int8 = report["pipelines"]["int8"]
    assert int8["classification"]["confusion"] == {
        "without_mask": {"said_without_mask": 1, "said_with_mask": 1},
        "with_mask": {"said_without_mask": 0, "said_with_mask": 1},
    }
    assert int8["classification"]["without_mask"] == {"precision": 1.0, "recall": 0.5, "f1": 0.666667, "support": 2}
    assert int8["detection"]["ap50"]["face"] == {
        "all": 0.5,
        "min_height_20_px": 0.5,
        "min_height_32_px": 1.0,
        "min_height_48_px": 1.0,
    }
    assert int8["detection"]["ap50"]["unmasked"]["min_height_48_px"] is None
    assert int8["detection"]["faces"]["unmasked"]["all"] == 1
    assert int8["detection"]["calibration"] == {
        "score": {"smallest_height_px": 20, "claims": 2, "expected_calibration_error": 0.25},
        "mask": {"smallest_height_px": 20, "claims": 1, "expected_calibration_error": 0.1},
    }
    assert set(int8["curves"]) == {
        "with_mask", "without_mask", "detection_face", "detection_masked", "detection_unmasked",
    }  # fmt: skip
    assert int8["mistakes"][0] == {
        "kind": "picture", "name": "set/c.png", "truth": "without_mask", "said": "with_mask", "mask": 0.8,
        "confidence": 0.8, "box": [10, 10, 60, 60],
    }  # fmt: skip
    assert report["pipelines"]["baseline_cnn"]["detection"] is None


def test_the_summary_for_a_manifest_has_figures_only(evaluation, tmp_path):
    figures = summary(evaluation)
    assert set(figures) == {"classification", "groups", "detection"}
    assert str(tmp_path) not in json.dumps(figures, allow_nan=False)


def test_the_folder_holds_four_readable_files(evaluation, baseline, tmp_path):
    folder = tmp_path / "new" / "report"
    write_report(folder, {"int8": evaluation, "baseline_cnn": baseline}, CONTEXT)
    assert sorted(path.name for path in folder.iterdir()) == ["mistakes.png", "report.json", "report.png", "report.txt"]
    assert json.loads((folder / "report.json").read_text())["schema_version"] == 1
    sheet = cv2.imread(str(folder / "mistakes.png"))
    assert (sheet == 200).all(axis=2).sum() > 20_000, "the grey pictures are missing from the sheet"
    page = cv2.imread(str(folder / "report.png"))
    assert page.shape[1] >= 1200
    blue_bgr = np.array([0xB2, 0x72, 0x00])  # the lines of with_mask
    assert (page == blue_bgr).all(axis=2).sum() > 500


def test_the_paths_of_this_machine_stay_out_of_the_report(evaluation, tmp_path):
    write_report(tmp_path / "out", {"int8": evaluation}, CONTEXT)
    for name in ("report.txt", "report.json"):
        assert str(tmp_path) not in (tmp_path / "out" / name).read_text()


def test_an_evaluation_without_scenes_or_mistakes_is_drawn_too(baseline, tmp_path):
    write_report(tmp_path / "out", {"baseline_cnn": baseline}, CONTEXT)
    text = (tmp_path / "out" / "report.txt").read_text()
    assert "AP at IoU" not in text
    assert "Faces" not in text
    assert cv2.imread(str(tmp_path / "out" / "mistakes.png")) is not None


def test_a_folder_that_is_a_file_is_one_clear_line(baseline, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("")
    with pytest.raises(OperatorError, match=r"taken.*[Ff]ile exists"):
        write_report(taken, {"baseline_cnn": baseline}, CONTEXT)
