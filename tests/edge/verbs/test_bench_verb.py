from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn import draw_background
from maskwatch import footprint, idle_bench
from maskwatch.bench import STAGES, Spread
from maskwatch.errors import ExitCode
from maskwatch.footprint import Footprint
from maskwatch.idle_bench import Resting
from maskwatch.images import write_image
from maskwatch.verbs import bench as verb
from real_command import maskwatch
from tiny_models import DATA, tiny_model

OTHER = DATA / "tiny_operators.tflite"


def call(*words: str | Path) -> ExitCode:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture(autouse=True)
def _no_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "measure_daemon", lambda bundle: Footprint(0.51, 0.03, 40 * 1024**2, 45 * 1024**2))
    resting = Resting(0.2, 0.05, Spread(0.25, 0.2, 0.3), 5, 1, 0.112)
    monkeypatch.setattr(idle_bench, "measure_resting", lambda bundle: resting)


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
    assert record["network_multiply_accumulates"] == {"finder.tflite": 5_184, "classifier.tflite": 13_832}
    assert record["faces"] > 1
    assert record["frame_multiply_accumulates"] == 5_184 + record["faces"] * 13_832
    assert "against" not in record
    assert record["daemon"] == {
        "first_verdict_seconds": 0.51,
        "stop_seconds": 0.03,
        "resident_bytes": 41943040,
        "peak_bytes": 47185920,
    }
    assert record["resting"] == {
        "awake_cpu_ratio": 0.2,
        "resting_cpu_ratio": 0.05,
        "saved_cpu_ratio": 0.75,
        "look": {"median_ms": 0.25, "p10_ms": 0.2, "p90_ms": 0.3},
        "look_to_frame_ratio": pytest.approx(0.25 / record["stages"]["whole_frame"]["median_ms"]),
        "wakes": 5,
        "wake_frames": 1,
        "wake_seconds": 0.112,
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
    assert lines[-5:-2] == [
        "daemon before a still room, 10 frames a second",
        "  CPU, awake              20.0% of a core",
        "  CPU, at rest             5.0% of a core, 75% saved",
    ]
    assert lines[-2].startswith("  look for motion          0.25 ms, ")
    assert lines[-1] == "  to wake                   112 ms, 1 frames; the worst of 5"


def test_json_holds_the_other_file_beside_ours(tiny_bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--bundle", tiny_bundle_path, "--repeat", "3", "--against", OTHER, "--json") is ExitCode.DONE
    (line,) = capsys.readouterr().out.splitlines()
    against = json.loads(line)["against"]
    spread = {"median_ms", "p10_ms", "p90_ms"}
    for name in ("finder_network", "classifier_network", "finder_and_classifier", "other_network"):
        assert set(against[name]) == spread
        assert 0 < against[name]["p10_ms"] <= against[name]["median_ms"] <= against[name]["p90_ms"]
    assert set(against["time_ratio"]) == {"median_ratio", "p10_ratio", "p90_ratio"}
    assert {key: value for key, value in against.items() if not isinstance(value, dict)} == {
        "path": str(OTHER),
        "width_px": 8,
        "height_px": 8,
        "network_bytes": OTHER.stat().st_size,
        "network_multiply_accumulates": 6_112,
    }


def test_the_table_sets_the_other_file_beside_ours(
    tmp_path: Path, tiny_bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "a-detector-with-a-longer-name.tflite"
    other.write_bytes(tiny_model("operators"))
    assert call("--bundle", tiny_bundle_path, "--repeat", "1", "--against", other) is ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    began = lines.index(f"in turns with {other.name}, 8×8")
    timed, networks = lines[began + 1 : began + 6], lines[began + 6 : began + 12]
    assert [line[:22].strip() for line in timed] == [
        "finder + classifier",
        "finder network",
        "classifier network",
        "the other network",
        "ratio to the other",
    ]
    assert {len(line) for line in timed} == {22 + 3 * 9}
    assert networks[0].split() == ["networks", "bytes", "multiply-accumulates"]
    assert networks[1].split()[2] == "5,184"
    assert networks[-1].split() == [other.name, f"{OTHER.stat().st_size:,}", "6,112"]
    assert {len(line) for line in networks if "tiny 1.2.3" not in line} == {2 + len(other.name) + 9 + 22}


NOT_COMPARED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "cannot be read: No such file or directory"),
    "a folder": (Path.mkdir, "not a file"),
    "a pipe": (os.mkfifo, "not a file"),
    "0 bytes": (Path.touch, "not a TFLite model that this runtime can run: "),
    "text": (lambda path: path.write_text("no model"), "not a TFLite model that this runtime can run: "),
    "cut off": (lambda path: path.write_bytes(OTHER.read_bytes()[:2000]), "not a TFLite model that this runtime can "),
    "two inputs": (lambda path: path.write_bytes(tiny_model("two_inputs")), "the model has 2 inputs, must have one"),
    "any size": (lambda path: path.write_bytes(tiny_model("any_size")), "the model's input has no fixed size; "),
    "failing": (lambda path: path.write_bytes(tiny_model("failing")), "the model fails while it runs: "),
}


@pytest.mark.parametrize("kind", NOT_COMPARED)
def test_a_file_that_cannot_be_compared_gets_one_line(kind: str, tmp_path: Path, tiny_bundle_path: Path) -> None:
    make, words = NOT_COMPARED[kind]
    path = tmp_path / "other.tflite"
    make(path)
    answer = maskwatch("bench", "--bundle", tiny_bundle_path, "--against", path)
    assert (answer.code, answer.out) == (3, "")
    assert answer.fault().startswith(f"{path}: {words}")


def test_a_second_file_to_compare_is_a_usage_error() -> None:
    answer = maskwatch("bench", "--against", OTHER, "--against", OTHER)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.endswith("error: argument --against: give it once\n")


def test_help_shows_a_comparison() -> None:
    answer = maskwatch("bench", "--help")
    assert answer.code == 0
    assert "maskwatch bench --against " in answer.out.partition("example:")[2]


@pytest.mark.parametrize("count", ["0", "-3", "many"])
def test_a_count_that_makes_no_sense_is_a_usage_error(count: str) -> None:
    with pytest.raises(SystemExit) as caught:
        call("--repeat", count)
    assert caught.value.code == ExitCode.USAGE
