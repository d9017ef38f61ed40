"""The soak itself: a real daemon, a camera that dies and returns, a watchdog that waits, and samples of it all."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from maskwatch.capture import LONGEST_PAUSE_SECONDS
from maskwatch.errors import FindingError
from maskwatch.types import Situation
from soak_door import COUNTS
from soak_figures import FEWEST_SAMPLES, Outage, Plan, Result
from soak_parts import HERE, Camera, Ear, take_sample

DOOR = HERE / "soak_door.py"

START_LIMIT_SECONDS = 60.0
STOP_LIMIT_SECONDS = 5.0

RECOVERY_LIMIT_SECONDS = LONGEST_PAUSE_SECONDS + 15.0
"""After the camera's return: the daemon's longest pause, and time to open the camera and to judge a frame."""

AWAY_SECONDS = (0.0, 1.0, 3.0)
"""How long the camera stays away, in turn: over before the daemon's first pause is, its second, its third."""

TICK_SECONDS = 0.05

MOST_SAMPLES = 600
SHORTEST_INTERVAL_SECONDS = 0.1

NO_CAMERA = f"STATUS={Situation.NO_CAMERA.value}"


class Soak:
    """One soak, to be run once. `progress` is called with each sample; the daemon's own words go to `log`."""

    def __init__(self, plan: Plan, log: Path, progress: Callable[[Result], object], door: Path = DOOR) -> None:
        self._plan, self._log, self._progress, self._door_path = plan, log, progress, door
        self._result = Result()
        self._ready_s = 0.0
        self._next_sample_s = 0.0

    def run(self) -> Result:
        """Soak. Raises FindingError where the daemon does not even start, OperatorError where something is missing."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maskwatch-soak-")))
            ear = Ear(folder)
            stack.callback(ear.close)
            camera = Camera(folder, self._plan.frames_per_second)
            stack.callback(camera.kill)
            camera.start()
            counts = folder / "counts"
            counts.write_bytes(bytes(COUNTS.size))
            began_s = time.monotonic()
            door = stack.enter_context(self._started(camera, ear, counts))
            self._wait_until_ready(door, ear)
            self._result.start_seconds = self._ready_s - began_s
            while self._step(door, ear, camera, counts):
                pass
            if not self._result.faults:
                self._stop(door)
            self._result.frames, self._result.longest_pause_seconds = COUNTS.unpack(counts.read_bytes())
        return self._result

    @contextmanager
    def _started(self, camera: Camera, ear: Ear, counts: Path) -> Iterator[subprocess.Popen[bytes]]:
        words = [
            *(sys.executable, self._door_path, camera.path, counts, "run", "--source", "v4l2:0"),
            *("--wait-for-camera", "--indicator", "none", "--config", os.devnull, "--bundle", self._plan.bundle),
        ]
        runtime = counts.parent / "run"
        runtime.mkdir()
        service = {  # what systemd puts into a service's environment
            "NOTIFY_SOCKET": str(ear.path),
            "WATCHDOG_USEC": str(round(self._plan.watchdog_seconds * 1e6)),
            "RUNTIME_DIRECTORY": str(runtime),
        }
        with self._log.open("wb") as log:
            door = subprocess.Popen(words, env=os.environ | service, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield door
        finally:
            door.kill()
            door.wait()

    def _wait_until_ready(self, door: subprocess.Popen[bytes], ear: Ear) -> None:
        limit_s = time.monotonic() + START_LIMIT_SECONDS
        words: list[str] = []
        while "READY=1" not in words:
            if door.poll() is not None or time.monotonic() > limit_s:
                raise FindingError(f"the daemon gave no verdict: {self._last_words()}")
            words = list(ear.hear(0.2))
        self._ready_s = time.monotonic()
        self._listen(words)

    def _step(self, door: subprocess.Popen[bytes], ear: Ear, camera: Camera, counts: Path) -> bool:
        """Whatever is due now, then wait for a moment; False at the end, and where something has gone wrong."""
        result, plan, now_s = self._result, self._plan, self._now_s()
        self._listen(ear.hear(0.0))  # all that was said before now
        fed_s = result.feeds_s[-1] if result.feeds_s else 0.0
        result.seconds = now_s
        if door.poll() is not None:
            result.faults.append(f"the daemon ended by itself, exit code {door.returncode}: {self._last_words()}")
        elif now_s >= fed_s + plan.watchdog_seconds:
            result.faults.append(f"a watchdog deadline was missed: not fed for {now_s - fed_s:.1f} s")
        elif not self._away and now_s >= self._next_sample_s:
            self._next_sample_s = now_s + max(plan.seconds / MOST_SAMPLES, SHORTEST_INTERVAL_SECONDS)
            sample = take_sample(door.pid, now_s, COUNTS.unpack(counts.read_bytes())[0])
            if sample is not None:
                result.samples.append(sample)
                self._progress(result)
        pending = self._move(camera, now_s)
        if result.faults or (now_s >= plan.seconds and not pending and len(result.samples) >= FEWEST_SAMPLES):
            return False
        self._listen(ear.hear(TICK_SECONDS))
        return True

    @property
    def _away(self) -> bool:
        """Whether the camera, or the daemon's view of it, is away."""
        outages = self._result.outages
        return bool(outages) and outages[-1].seen_s is None

    def _move(self, camera: Camera, now_s: float) -> bool:
        """Kill the camera, or return it, where it is time to; whether anything of that is left to do."""
        plan, outages = self._plan, self._result.outages
        if not self._away:
            if len(outages) == plan.kills:
                return False
            worked_s = now_s - (outages[-1].seen_s or 0.0) if outages else math.inf
            spread_s = plan.seconds * (len(outages) + 1) / (plan.kills + 1)
            if now_s >= spread_s and worked_s >= plan.work_seconds:
                camera.kill()
                outages.append(Outage(self._now_s()))
            return True
        outage = outages[-1]
        if outage.returned_s is None:
            if now_s >= outage.killed_s + AWAY_SECONDS[(len(outages) - 1) % len(AWAY_SECONDS)]:
                camera.start()
                outage.returned_s = self._now_s()
        elif now_s >= outage.returned_s + RECOVERY_LIMIT_SECONDS:
            what = "return was not noticed" if outage.missed_s is not None else "death was not noticed"
            self._result.faults.append(f"the camera's {what} for {RECOVERY_LIMIT_SECONDS:g} s")
        return True

    def _listen(self, words: Iterable[str]) -> None:
        """Take in what the daemon says to its service manager."""
        for word in words:
            now_s = self._now_s()
            if word == "WATCHDOG=1":
                self._result.feeds_s.append(now_s)
            elif word.startswith("STATUS="):
                self._take_status(word, now_s)

    def _take_status(self, word: str, now_s: float) -> None:
        lost = word.startswith(NO_CAMERA)
        if not self._away:
            if lost:
                self._result.faults.append(f"the camera was lost though nobody had killed it: {word}")
            return
        outage = self._result.outages[-1]
        if lost:
            outage.missed_s = now_s if outage.missed_s is None else outage.missed_s
        elif outage.missed_s is not None:
            outage.seen_s = now_s

    def _stop(self, door: subprocess.Popen[bytes]) -> None:
        asked_s = time.monotonic()
        door.send_signal(signal.SIGTERM)
        try:
            code = door.wait(STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._result.faults.append(f"the daemon did not stop within {STOP_LIMIT_SECONDS:g} s of SIGTERM")
            return
        self._result.stop_seconds = time.monotonic() - asked_s
        if code != 0:
            self._result.faults.append(f"the daemon stopped with exit code {code}: {self._last_words()}")

    def _now_s(self) -> float:
        return time.monotonic() - self._ready_s

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1].removeprefix("maskwatch: ") if lines else "no word from it"
