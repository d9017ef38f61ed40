from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from drawn import draw_background
from maskwatch import footprint
from maskwatch.bench import STAGES
from maskwatch.errors import ExitCode
from maskwatch.footprint import Footprint
from maskwatch.images import write_image
from maskwatch.verbs import bench as verb


def call(*words: str | Path) -> ExitCode:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture(autouse=True)
def _no_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "measure_daemon", lambda bundle: Footprint(0.51, 0.03, 40 * 1024**2, 45 * 1024**2))


def test_json_holds_every_figure_with_its_unit(
    tmp_path: Path, tiny_bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "door.png"
    write_image(picture, draw_background(480, 640, np.random.default_rng(3)))
    assert call("--bundle", tiny_bundle_path, "--picture", picture, "--repeat", "2", "--json") is ExitCode.DONE
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert set(record["stages"]) == {"whole_frame", *(name.replace(" ", "_") for name in STAGES)}
    assert set(record["stages"]["decode"]) == {"median_ms", "p10_ms", "p90_ms"}
    assert (record["picture"], record["width"], record["height"], record["rounds"]) == (str(picture), 1280, 960, 2)
    assert set(record["network_bytes"]) == {"finder.tflite", "classifier.tflite"}
    assert record["bundle_bytes"] == tiny_bundle_path.stat().st_size
    assert record["daemon"] == {
        "first_verdict_seconds": 0.51,
        "stop_seconds": 0.03,
        "resident_bytes": 41943040,
        "peak_bytes": 47185920,
    }


def test_the_table_is_aligned_and_about_the_demos_portrait(
    tiny_bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--bundle", tiny_bundle_path, "--repeat", "1") is ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("the demo's portrait, 1280×960, ")
    timed = lines[1 : 3 + len(STAGES)]
    assert {len(line) for line in timed} == {22 + 3 * 9}
    assert "  resident memory          40.0 MiB" in lines
    assert "  to first verdict         0.51 s" in lines


@pytest.mark.parametrize("count", ["0", "-3", "many"])
def test_a_count_that_makes_no_sense_is_a_usage_error(count: str) -> None:
    with pytest.raises(SystemExit) as caught:
        call("--repeat", count)
    assert caught.value.code == ExitCode.USAGE
