"""The benchmark measures what it says it does; no test here cares how long anything takes."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from drawn import draw_background
from maskwatch.bench import HEIGHT_PX, STAGES, WHOLE, WIDTH_PX, TimedNetwork, camera_frame, spread, time_pipeline
from maskwatch.bundle import open_bundle
from maskwatch.errors import FindingError, OperatorError
from maskwatch.footprint import measure_command, measure_daemon
from maskwatch_convert.pack import write_bundle
from tiny_models import tiny_manifest, tiny_members


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
    with pytest.raises(OperatorError, match="no face finder"):
        time_pipeline(bundle, camera_frame(np.zeros((48, 64, 3), np.uint8)), 1)


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
