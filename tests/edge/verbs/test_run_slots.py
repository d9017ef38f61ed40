"""A real daemon takes up what the command line installs: swapped while it runs, tried, confirmed, in its status.

A run by hand does so too, and counts for nothing.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn import draw_background
from maskwatch.cli import main
from maskwatch.images import write_image
from maskwatch.slots import store
from maskwatch.slots.states import HEALTHY_FRAMES, TRIES
from maskwatch.slots.store import Slots
from nobody import NOBODY
from real_command import COMMAND, maskwatch, users_environment
from tiny_models import tiny_bundle

LIMIT_S = 60.0


class Daemon:
    """`maskwatch run` on the demo source; its lines on stderr are read as they come."""

    def __init__(self, slots: Path) -> None:
        words = ("run", "--source", "demo", "--indicator", "none", "--config", os.devnull, "--slots", str(slots))
        self.process = subprocess.Popen(
            [COMMAND, *words], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=users_environment()
        )
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.put(line)
        self.lines.put("")

    def wait_for(self, words: str) -> str:
        seen = []
        while words not in (line := self.lines.get(timeout=LIMIT_S)):
            seen.append(line)
            assert line, f"it ended without {words!r}: {seen}"
        return line.removeprefix("maskwatch: ").rstrip()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(LIMIT_S)
        self.reader.join(LIMIT_S)
        return code


@pytest.fixture
def slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RUNTIME_DIRECTORY", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "slots"


@pytest.fixture
def daemon(slots: Path) -> Iterator[Daemon]:
    daemon = Daemon(slots)
    yield daemon
    daemon.process.kill()
    daemon.process.wait()
    daemon.reader.join(LIMIT_S)
    daemon.process.stderr.close()  # type: ignore[union-attr]


def change(slots: Path, *words: str | Path) -> None:
    answer = maskwatch("slots", *words, "--slots", slots)
    assert answer.code == 0, answer.err


def status() -> dict[str, object]:
    answer = maskwatch("status", "--json")
    assert (answer.code, answer.err) == (0, "")
    return json.loads(answer.out)


def test_a_running_daemon_takes_up_tries_and_confirms_what_is_activated(
    slots: Path, daemon: Daemon, tmp_path: Path
) -> None:
    assert "slot" not in daemon.wait_for("watching demo with masknet")
    before = status()
    assert (before["slot"], before["trial"]) == (None, None)
    change(slots, "install", tiny_bundle(tmp_path))
    change(slots, "activate")
    assert daemon.wait_for("the model is now").startswith(
        "the model is now tiny 1.2.3 (slot a, on trial), instead of masknet "
    )
    assert daemon.wait_for("confirmed") == "tiny 1.2.3 (slot a) is confirmed"
    after = status()
    assert (after["model"], after["slot"], after["trial"], after["reloads"]) == ("tiny 1.2.3", "a", "confirmed", 0)
    assert after["pid"] == before["pid"]
    assert after["model_sha256"] not in (None, before["model_sha256"])
    assert "tiny 1.2.3" in maskwatch("status").out
    assert f"({str(after['model_sha256'])[:12]}), slot a, confirmed" in maskwatch("status").out
    assert daemon.end() == 0


def test_a_daemon_that_is_killed_on_trial_spends_its_tries(slots: Path, tmp_path: Path) -> None:
    change(slots, "install", tiny_bundle(tmp_path))
    change(slots, "activate")
    for words in (*["tiny 1.2.3 (slot a, on trial)"] * 3, "masknet"):
        daemon = Daemon(slots)
        try:
            if words == "masknet":
                assert daemon.wait_for("rolled back") == "slot a is rolled back: not confirmed in 3 starts"
            assert words in daemon.wait_for("watching demo with")
        finally:
            daemon.process.kill()
            daemon.process.wait()
            daemon.reader.join(LIMIT_S)
            daemon.process.stderr.close()  # type: ignore[union-attr]


# By hand


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Enough to confirm a trial."""
    import numpy as np

    folder = tmp_path / "pictures"
    folder.mkdir()
    first = folder / "00.png"
    write_image(first, draw_background(48, 64, np.random.default_rng(3)))
    for index in range(1, HEALTHY_FRAMES + 20):
        os.link(first, folder / f"{index:02}.png")
    return folder


@pytest.fixture
def on_trial(slots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slots:
    """The service's slots, with a bundle on trial."""
    monkeypatch.setattr(store, "SLOTS", slots)
    service = Slots(slots, NOBODY)
    service.install(tiny_bundle(tmp_path).read_bytes(), None)
    service.activate()
    return service


def run(pictures: Path, *words: str | Path) -> None:
    more = ("--indicator", "none", "--config", os.devnull, "--trust", str(pictures))
    assert main(["run", "--source", str(pictures), *more, *map(str, words)]) == 0


def test_a_run_by_hand_tries_what_the_service_would_and_counts_for_nothing(
    on_trial: Slots, pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A demo of a minute confirmed a trial, and three short ones spent it."""
    caplog.set_level("INFO", "maskwatch")
    before, written_ns = on_trial.read(), on_trial.state_path.stat().st_mtime_ns
    for _ in range(TRIES + 1):
        run(pictures)
    assert (on_trial.read(), on_trial.state_path.stat().st_mtime_ns) == (before, written_ns)
    watched = [message for message in caplog.messages if message.startswith("watching")]
    assert watched == [f"watching {pictures} with tiny 1.2.3 (slot a, on trial)"] * (TRIES + 1)


@pytest.mark.parametrize("how", ["service", "--slots"])
def test_a_run_of_the_service_and_one_that_names_the_slots_count(
    how: str, on_trial: Slots, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "service":
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    run(pictures, *(() if how == "service" else ("--slots", on_trial.folder)))
    state = on_trial.read()
    assert state.tries_left == TRIES - 1 or state.a.state == "confirmed"


def test_the_help_says_so() -> None:
    words = " ".join(maskwatch("run", "--help").out.split())
    assert "the model slots' folder (default: the service's, which a run by hand looks at only:" in words
