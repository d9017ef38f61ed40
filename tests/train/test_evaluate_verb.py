"""`maskwatch evaluate` from the command line: data on stdout, words on stderr, one line and exit 3 for a fault."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from maskwatch.cli import main
from maskwatch.images import write_image
from maskwatch.types import Label


class BrightIsMasked:
    """A pipeline without a finder."""

    finder = None

    def classify(self, image):
        mask = float(image.mean()) / 255
        label = Label.WITH_MASK if mask >= 0.5 else Label.WITHOUT_MASK
        return SimpleNamespace(label=label, score=max(mask, 1 - mask), mask=mask, faces=())


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Bright noise wears a mask, dark noise does not; and a stand-in for float networks."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stand_in = SimpleNamespace(load_keras_pipeline=lambda _folder: BrightIsMasked())
    monkeypatch.setitem(sys.modules, "maskwatch_train.keras_network", stand_in)
    rng = np.random.default_rng(5)
    for word, low in (("with_mask", 156), ("without_mask", 0)):
        folder = tmp_path / "data" / "face-mask-dataset" / "data" / word
        folder.mkdir(parents=True)
        for number in range(20):
            coarse = rng.integers(low, low + 100, (8, 8, 3), np.uint8)
            write_image(folder / f"{number}.png", np.kron(coarse, np.ones((10, 10, 1), np.uint8)))
    return tmp_path / "data"


def test_prints_the_text_and_writes_the_folder(data, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["evaluate", "--data", str(data), "--keras", "first", "--keras", "second/first", "--out", str(out)]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "first float (2)" in printed.out
    assert printed.out == (out / "report.txt").read_text()
    assert f"the report is in {out}" in printed.err
    assert sorted(path.name for path in out.iterdir()) == ["mistakes.png", "report.json", "report.png", "report.txt"]


def test_json_is_one_object_on_one_line(data, capsys):
    words = ["evaluate", "--data", str(data), "--keras", "first", "--split", "train", "--seed", "3", "--json"]
    assert main(words) == 0
    (line,) = capsys.readouterr().out.splitlines()
    report = json.loads(line)
    assert (report["context"]["split"], report["context"]["seed"]) == ("train", 3)
    figures = report["pipelines"]["first float"]["classification"]
    assert figures["accuracy"] == 1
    assert figures["pictures"] == 28


@pytest.mark.parametrize(
    "words", [["--data", "nowhere", "--keras", "first"], ["--bundle", "nowhere.maskwatch"], ["--faces", "nowhere.csv"]]
)
def test_a_missing_file_is_one_line_and_exit_3(data, words, capsys):
    assert main(["evaluate", "--data", str(data), *words]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert "nowhere" in printed.err
