"""`maskwatch run` from the outside: real processes, real signals; and how settings and flags go together."""

from __future__ import annotations

import argparse
import logging
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from drawn import draw_background
from maskwatch.cli import main
from maskwatch.config import Settings
from maskwatch.errors import ConfigError, ExitCode
from maskwatch.images import write_image
from maskwatch.verbs import run as verb

LIMIT_S = 60.0

STOP_LIMIT_S = 5.0
"""The contract is 2 s; these tests share their cores with others."""


@pytest.fixture(autouse=True)
def _own_level() -> Iterator[None]:
    logger = logging.getLogger("maskwatch")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of one picture under so many names that no run gets to its end before it is told to stop."""
    import numpy as np

    folder = tmp_path / "pictures"
    folder.mkdir()
    first = folder / "00000.png"
    write_image(first, draw_background(96, 128, np.random.default_rng(3)))
    for index in range(1, 8_000):
        os.link(first, folder / f"{index:05}.png")
    return folder


class Child:
    """A running `maskwatch`; its lines on stderr are read as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_for(self, words: str) -> None:
        while True:
            line = self._queue.get(timeout=LIMIT_S)
            assert line is not None, f"it ended without {words!r}: {self.lines}"
            self.lines.append(line)
            if words in line:
                return

    def end(self, limit_s: float) -> int:
        code = self.process.wait(limit_s)
        self._reader.join(LIMIT_S)
        while (line := self._queue.get(timeout=LIMIT_S)) is not None:
            self.lines.append(line)
        return code


@contextmanager
def maskwatch(*words: str | Path, program: tuple[str, ...] = ("-m", "maskwatch.cli")) -> Iterator[Child]:
    command = [sys.executable, *program, "run", *(str(word) for word in words)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield Child(process)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: signal.Signals, pictures: Path, tiny_bundle_path: Path) -> None:
    words = ("--source", pictures, "--indicator", "console", "--config", os.devnull, "--bundle", tiny_bundle_path)
    with maskwatch(*words) as child:
        child.wait_for("the door shows")
        child.process.send_signal(number)
        assert child.end(STOP_LIMIT_S) == 0
    assert "stopped after" in child.lines[-1]
    assert not any("Traceback" in line for line in child.lines)
    lamps = [line for line in child.lines if line.startswith(("●", "○"))]
    assert not lamps or "●" not in lamps[-1]


def test_a_hang_up_loads_the_settings_again(tmp_path: Path, pictures: Path, tiny_bundle_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[indicator]\nkind = 'none'\n")
    with maskwatch("--source", pictures, "--config", config, "--bundle", tiny_bundle_path) as child:
        child.wait_for("the door shows")
        config.write_text("[indicator]\nkindd = 'none'\n")
        child.process.send_signal(signal.SIGHUP)
        child.wait_for("the old settings stay in force")
        assert child.lines[-1].startswith(f"maskwatch: {config}: unknown key indicator.kindd")
        config.write_text("[indicator]\nkind = 'console'\n")
        child.process.send_signal(signal.SIGHUP)
        child.wait_for("settings loaded again")
        child.process.send_signal(signal.SIGTERM)
        assert child.end(STOP_LIMIT_S) == 0


class Manager:
    """A service manager's ear, named in the environment of whatever the test starts."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ear.bind(str(folder / "notify"))
        self.ear.settimeout(LIMIT_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "180000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)

    def hears(self) -> list[str]:
        return self.ear.recv(4096).decode().split("\n")

    def wait_for(self, word: str) -> None:
        while word not in self.hears():
            pass


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    manager = Manager(tmp_path, monkeypatch)
    yield manager
    manager.ear.close()


def test_a_service_manager_hears_of_its_whole_life(pictures: Path, tiny_bundle_path: Path, manager: Manager) -> None:
    words = ("--source", pictures, "--indicator", "none", "--config", os.devnull, "--bundle", tiny_bundle_path)
    with maskwatch(*words) as child:
        first = manager.hears()
        assert first[:2] == ["READY=1", "WATCHDOG=1"]
        assert re.fullmatch(r"STATUS=\w+: \d+ seen, \d+ unmasked", first[2])
        child.process.send_signal(signal.SIGHUP)
        manager.wait_for("RELOADING=1")
        manager.wait_for("READY=1")
        child.process.send_signal(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        assert child.end(STOP_LIMIT_S) == 0


def test_a_missing_camera_is_waited_for_when_asked_and_never_called_ready(
    tiny_bundle_path: Path, manager: Manager
) -> None:
    words = ("--source", "v4l2:99", "--indicator", "none", "--config", os.devnull, "--bundle", tiny_bundle_path)
    with maskwatch("--wait-for-camera", *words) as child:
        (status,) = manager.hears()
        assert status.startswith("STATUS=no_camera: /dev/video99 is not there")
        child.process.send_signal(signal.SIGTERM)
        assert manager.hears() == ["STOPPING=1"]
        assert child.end(STOP_LIMIT_S) == 0


FROZEN = """
import ctypes, sys
from maskwatch.cameras.demo import DemoCamera

read, reads = DemoCamera.read, []

def freeze(self, timeout_s):
    reads.append(1)
    if len(reads) > 3:
        print("frozen now", file=sys.stderr, flush=True)
        ctypes.CDLL(None).sleep(600)
    return read(self, timeout_s)

DemoCamera.read = freeze
from maskwatch.cli import main
sys.exit(main())
"""


def test_a_camera_frozen_inside_its_driver_does_not_hold_it_up(tiny_bundle_path: Path) -> None:
    words = ("--source", "demo", "--indicator", "console", "--config", os.devnull, "--bundle", tiny_bundle_path)
    with maskwatch(*words, program=("-c", FROZEN)) as child:
        child.wait_for("frozen now")
        child.process.send_signal(signal.SIGTERM)
        assert child.end(STOP_LIMIT_S) == 0
    assert "maskwatch: the camera is still inside its driver; left behind" in child.lines


def test_files_end_the_run_and_a_picture_is_written_only_when_asked_for(
    tmp_path: Path, tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    folder.mkdir()
    picture = draw_background(480, 640, np.random.default_rng(3))
    for index in range(12):
        write_image(folder / f"{index}.png", picture)
    words = ["run", "--source", "in", "--indicator", "none", "--config", os.devnull, "--bundle", str(tiny_bundle_path)]
    before = set(tmp_path.rglob("*"))
    assert main(words) == ExitCode.DONE
    assert set(tmp_path.rglob("*")) == before
    assert main([*words, "--picture", "seen.jpg"]) == ExitCode.DONE
    assert {path.name for path in set(tmp_path.rglob("*")) - before} == {"seen.jpg"}  # the tiny finder sees faces


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--source", "v4l2:99"], "/dev/video99 is not there"),
        (["--source", "absent.jpg"], "absent.jpg is not there"),
        (["--source", "empty"], "holds no picture or video"),
        (["--source", "v4l2:front"], "v4l2:front"),
        (["--source", "demo", "--bundle", "absent.maskwatch"], "absent.maskwatch: cannot be read"),
        (["--source", "demo", "--config", "absent.toml"], "absent.toml: cannot be read"),
        (["--source", "demo", "--picture", "seen.txt"], "names no picture format"),
    ],
)
def test_bad_input_gets_one_line_and_exit_3(
    flags: list[str],
    words: str,
    tmp_path: Path,
    tiny_bundle_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    defaults = ["--config", os.devnull, "--bundle", str(tiny_bundle_path)]
    assert main(["run", *defaults, "--indicator", "none", *flags]) == ExitCode.OPERATOR
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not caplog.messages


def test_a_bundle_without_a_finder_cannot_watch_a_door(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from maskwatch_convert.pack import write_bundle
    from tiny_models import tiny_manifest, tiny_members

    members = {"classifier.tflite": tiny_members()["classifier.tflite"]}
    path = write_bundle(tmp_path, tiny_manifest(finder=None), members).path
    words = ["--source", "demo", "--indicator", "none", "--config", os.devnull, "--bundle", str(path)]
    assert main(["run", *words]) == ExitCode.OPERATOR
    assert "holds no face finder: `run` needs one" in capsys.readouterr().err


def settings_of(*words: str | Path) -> Settings:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.chosen_settings(parser.parse_args([str(word) for word in words]))


def test_flags_go_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[camera]\nsource = "v4l2:3"\nframes_per_second = 5\n[indicator]\nkind = "none"\nred_pin = 5\n')
    settings = settings_of("--config", config)
    assert (settings.camera.source, settings.camera.frames_per_second, settings.model.bundle) == ("v4l2:3", 5.0, "")
    settings = settings_of("--config", config, "--source", "demo", "--indicator", "console", "--bundle", "a.maskwatch")
    assert (settings.camera.source, settings.camera.frames_per_second) == ("demo", 5.0)
    assert (settings.indicator.kind, settings.indicator.red_pin) == ("console", 5)
    assert settings.model.bundle == "a.maskwatch"


def test_the_file_in_etc_is_the_default_where_it_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config.toml"
    monkeypatch.setattr(verb, "DEFAULT_CONFIG", config)
    assert settings_of() == Settings()
    config.write_text("[model]\nthreads = 1\n")
    assert settings_of().model.threads == 1
    config.unlink()
    config.mkdir()  # there, but not to be read: never silently the defaults
    with pytest.raises(ConfigError, match="cannot be read"):
        settings_of()


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon"])
def test_seconds_must_be_a_time(text: str) -> None:
    with pytest.raises(SystemExit) as caught:
        settings_of("--seconds", text)
    assert caught.value.code == ExitCode.USAGE
