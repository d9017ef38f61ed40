"""`maskwatch data inspect`: the numbers a person expects, as text, JSON and a sheet."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from drawn import DrawnFace, voc, write_classification_set, write_detection_set
from maskwatch.cli import main
from maskwatch.types import Box
from maskwatch_train.index import LabelledBox
from maskwatch_train.inspect_data import height_band
from maskwatch_train.split import default_cache
from PIL import Image as PILImage


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """20 + 6 pictures, two of them copies of a third; the cache lies beside them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "data"
    write_classification_set(root / "faces", 18, 1, faces_csv=True)
    original = root / "faces/data/with_mask/with_mask_1.jpg"
    for copy in (50, 51):
        shutil.copy(original, original.with_name(f"with_mask_{copy}.jpg"))
    write_detection_set(root / "scenes", 6, 2)
    faces = [DrawnFace(10, 20, 50, 60, "with_mask"), DrawnFace(60, 20, 90, 39, "mask_weared_incorrect")]
    for annotation in (root / "scenes" / "annotations").iterdir():
        annotation.write_text(voc(annotation.stem, 300, 200, faces))
    return root


def test_json_has_the_numbers_a_person_expects(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", "--json", str(data)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out)
    assert out.count("\n") == 1
    assert found["root"] == str(data)
    faces, scenes = found["sets"]["faces"], found["sets"]["scenes"]
    assert (faces["pictures"], faces["labels"]) == (20, {"with_mask": 11, "without_mask": 9})
    assert sum(faces["size_bands"].values()) == 20
    assert faces["faces"] == {"with_mask": 9, "without_mask": 9}
    assert (scenes["pictures"], scenes["labels"]) == (6, {"labelled by face": 6})
    assert scenes["faces"] == {"mask_weared_incorrect": 6, "with_mask": 6}
    assert scenes["face_heights"] == {
        "under 20 px": 6, "20-31 px": 0, "32-47 px": 6, "48-95 px": 0, "96 px and over": 0
    }  # fmt: skip
    twins = found["near_duplicates"]
    assert twins["sizes"]["3"] == 1
    assert twins["pictures"] >= 3
    assert sum(part["pictures"] for part in found["split"].values()) == 26
    assert list(found["split"]) == ["train", "validation", "test"]
    assert default_cache() == data.parent / "cache" / "maskwatch" / "hashes.npz"
    assert default_cache().is_file()


def test_the_seed_changes_the_split_but_not_the_identity(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = []
    for seed in ("1", "1", "2"):
        assert main(["data", "inspect", "--json", "--seed", seed, str(data)]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]
    assert answers[0]["identity"] == answers[2]["identity"]


def test_text_says_the_same_for_people(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", str(data)]) == 0
    out = capsys.readouterr().out
    for words in (
        "faces: 20 pictures (11 with_mask, 9 without_mask)",
        "scenes: 6 pictures (6 labelled by face)",
        "faces: 6 mask_weared_incorrect, 6 with_mask",
        "1 groups of 3",
        "split by group, seed 2020:",
    ):
        assert words in out


def test_the_sheet_shows_boxes_and_labels(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    assert main(["data", "inspect", str(data), "--sheet", str(sheet)]) == 0
    assert f"wrote {sheet}" in capsys.readouterr().err
    with PILImage.open(sheet) as picture:
        assert picture.format == "PNG"
        assert picture.size == (8 * 200, 4 * 200)  # 26 samples, eight a row
        colours = {colour for _, colour in picture.getcolors(picture.width * picture.height)}
    assert {(0, 200, 0), (230, 30, 30)} <= colours


def test_a_sheet_that_cannot_be_written_is_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", str(data), "--sheet", str(data / "nowhere" / "sheet.png")]) == 3
    assert "sheet.png cannot be written" in capsys.readouterr().err


def test_no_data_is_one_line_and_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", str(tmp_path / "nothing")]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "maskwatch data fetch" in err


def test_help_and_a_missing_action(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["data", "--help"])
    assert "maskwatch data fetch --to data" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["data"])


@pytest.mark.parametrize(
    ("height_px", "band"),
    [(19.9, "under 20 px"), (20, "20-31 px"), (32, "32-47 px"), (48, "48-95 px"), (96, "96 px and over")],
)
def test_height_bands_are_those_of_the_reports(height_px: float, band: str) -> None:
    assert height_band(LabelledBox(Box(0, 5, 10, 5 + height_px), 1)) == band
