"""The benchmark measures what it says it does; no test here cares how long anything takes."""

from __future__ import annotations

import itertools
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from drawn import draw_background
from maskwatch import bench
from maskwatch.bench import (
    HEIGHT_PX,
    STAGES,
    WARM_UP_ROUNDS,
    WHOLE,
    WIDTH_PX,
    Cost,
    TimedNetwork,
    camera_frame,
    compare,
    network_costs,
    open_model,
    spread,
    time_pipeline,
)
from maskwatch.bundle import open_bundle
from maskwatch.errors import BundleError, FindingError, OperatorError
from maskwatch.footprint import measure_command, measure_daemon
from maskwatch.interpreter import PictureModel
from maskwatch.pipeline import load_pipeline
from maskwatch.preprocess import crop_face, letterbox, resize, whole_picture
from maskwatch_convert.pack import write_bundle
from tiny_models import DATA, tiny_manifest, tiny_members


def test_a_spread_is_the_median_and_the_tenths_in_milliseconds() -> None:
    result = spread([index / 1000 for index in range(101)])
    assert (result.p10_ms, result.median_ms, result.p90_ms) == pytest.approx((10, 50, 90))


def test_a_timed_network_adds_up_and_answers_the_same() -> None:
    clock = itertools.count(0.0, 2.0)
    network = TimedNetwork(lambda batch: (batch.astype(np.float32),), lambda: next(clock))
    batch = np.ones((1, 2, 2, 3), np.uint8)
    for _ in range(3):
        (output,) = network(batch)
        assert (output == batch).all()
    assert network.spent_s == 6.0


def test_a_picture_becomes_a_frame_of_the_cameras_size() -> None:
    frame = camera_frame(draw_background(100, 80, np.random.default_rng(1)))
    assert (frame.width_px, frame.height_px) == (WIDTH_PX, HEIGHT_PX)
    assert frame.lores is None


def test_stages_are_timed_in_every_round_and_lie_within_the_whole(tiny_bundle_path: Path) -> None:
    @dataclass
    class Clock:
        """Each look at it takes a second: so each span counts the looks in between."""

        now_s: float = 0.0
        looks: int = 0

        def __call__(self) -> float:
            self.now_s, self.looks = self.now_s + 1, self.looks + 1
            return self.now_s

    clock = Clock()
    frame = camera_frame(draw_background(480, 640, np.random.default_rng(3)))
    timing = time_pipeline(open_bundle(tiny_bundle_path), frame, 4, clock)
    assert list(timing.spreads) == [WHOLE, *STAGES]
    assert (timing.rounds, timing.faces > 0) == (4, True)
    medians = {name: stage.median_ms for name, stage in timing.spreads.items()}
    assert medians["finder network"] == medians["classifier network"] == 1000
    assert medians[WHOLE] == 6000  # start, two looks for each network, end; then the tracker's
    assert clock.looks == (4 + 5) * 9


def test_without_a_finder_there_is_nothing_to_time(tmp_path: Path) -> None:
    members = {"classifier.tflite": tiny_members()["classifier.tflite"]}
    bundle = write_bundle(tmp_path, tiny_manifest(finder=None), members)
    frame = camera_frame(np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(OperatorError, match="no face finder"):
        time_pipeline(bundle, frame, 1)
    with pytest.raises(OperatorError, match="no face finder"):
        network_costs(bundle)
    with pytest.raises(OperatorError, match="no face finder"):
        compare(bundle, open_model(DATA / "tiny_operators.tflite"), frame, 1)


def test_costs_are_those_of_the_bundles_two_networks(tiny_bundle_path: Path) -> None:
    members = tiny_members()
    costs = network_costs(open_bundle(tiny_bundle_path))
    assert list(costs.items()) == [
        ("finder.tflite", Cost(len(members["finder.tflite"]), 5_184)),  # counted by hand in test_complexity.py
        ("classifier.tflite", Cost(len(members["classifier.tflite"]), 13_832)),
    ]


def test_ratios_are_taken_round_by_round_and_warm_up_does_not_count(tiny_bundle_path: Path) -> None:
    rounds_s = [(1, 1, 1), (1, 3, 8), (8, 1, 3)]  # finder, classifier, other: together 2, 4, 9 against 1, 8, 3
    durations_s = [duration for row in [(50, 60, 1)] * WARM_UP_ROUNDS + rounds_s for duration in row]
    looks = iter([moment for duration in durations_s for moment in (100.0, 100.0 + duration)])
    frame = camera_frame(draw_background(480, 640, np.random.default_rng(3)))
    other = open_model(DATA / "tiny_operators.tflite")
    result = compare(open_bundle(tiny_bundle_path), other, frame, len(rounds_s), lambda: next(looks))
    assert next(looks, None) is None
    assert asdict(result.ratio) == pytest.approx({"median_ratio": 2, "p10_ratio": 0.8, "p90_ratio": 2.8})
    assert asdict(result.both) == pytest.approx({"median_ms": 4_000, "p10_ms": 2_400, "p90_ms": 8_000})
    medians_ms = [timed.median_ms for timed in (result.finder, result.classifier, result.other)]
    assert medians_ms == [1_000, 1_000, 3_000]


class Recorder:
    """What every network was given, and when it ran, in order: a picture, or None for a run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[np.ndarray | None] = []
        set_picture, invoke = PictureModel.set_picture, PictureModel.invoke

        def recorded_picture(model: PictureModel, picture: np.ndarray) -> None:
            self.seen.append(picture)
            set_picture(model, picture)

        def recorded_run(model: PictureModel) -> None:
            self.seen.append(None)
            invoke(model)

        monkeypatch.setattr(PictureModel, "set_picture", recorded_picture)
        monkeypatch.setattr(PictureModel, "invoke", recorded_run)


@pytest.mark.parametrize("with_faces", [True, False])
def test_all_networks_take_turns_on_the_same_frame(
    with_faces: bool, tmp_path: Path, tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if with_faces:
        bundle = open_bundle(tiny_bundle_path)
    else:
        finder = tiny_manifest().finder
        assert finder is not None
        bundle = write_bundle(tmp_path, tiny_manifest(finder=replace(finder, score_threshold=0.999)), tiny_members())
    frame = camera_frame(draw_background(480, 640, np.random.default_rng(3)))
    surest = max(load_pipeline(bundle).faces(frame), key=lambda face: face.score, default=None)
    assert (surest is not None) is with_faces
    face = whole_picture(frame.image, 16) if surest is None else crop_face(frame.image, surest.box, 16, 0.25)
    other = open_model(DATA / "tiny_operators.tflite")
    recorder = Recorder(monkeypatch)
    compare(bundle, other, frame, 2)
    one_round = [letterbox(frame.image, 24, 32)[0], None, face, None, resize(frame.image, 8, 8), None]
    expected = [None, *one_round * (WARM_UP_ROUNDS + 2)]  # at first the finder looks for the face
    assert len(recorder.seen) == len(expected)
    for seen, wanted in zip(recorder.seen, expected, strict=True):
        np.testing.assert_array_equal(seen, wanted)  # None equals None alone


def test_any_outputs_will_do_for_another_model() -> None:
    """One output of this one has no leading 1, the other is of int64."""
    path = DATA / "tiny_operators.tflite"
    other = open_model(path)
    assert (other.path, other.model.input_shape) == (path, (1, 8, 8, 3))
    assert other.cost == Cost(path.stat().st_size, 6_112)  # counted by hand in test_complexity.py


def test_a_model_is_not_read_without_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "MAX_MODEL_BYTES", 2 * 1024**2)
    path = tmp_path / "large.tflite"
    path.write_bytes(b"\0" * (2 * 1024**2 + 1))
    with pytest.raises(BundleError, match=r"large.tflite: larger than 2 MiB"):
        open_model(path)


def test_the_daemon_is_measured_for_real(tiny_bundle_path: Path) -> None:
    footprint = measure_daemon(tiny_bundle_path, settle_seconds=0.2)
    assert 10 * 1024**2 < footprint.resident_bytes <= footprint.peak_bytes < 1024**3
    assert footprint.first_verdict_seconds > 0
    assert footprint.stop_seconds > 0


def test_a_daemon_that_does_not_start_is_a_finding(tmp_path: Path) -> None:
    with pytest.raises(FindingError, match=r"gave no verdict: .*absent.maskwatch: cannot be read"):
        measure_daemon(tmp_path / "absent.maskwatch")


def test_a_daemon_that_ends_by_itself_is_a_finding() -> None:
    script = "import sys; print('the door shows nobody', file=sys.stderr); sys.exit(5)"
    with pytest.raises(FindingError, match="ended by itself, with exit code 5"):
        measure_command([sys.executable, "-c", script], settle_seconds=30)
