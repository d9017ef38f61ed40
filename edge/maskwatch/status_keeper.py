"""Keeps what the daemon tells its observer, for a status at any moment and from any thread."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import version

from maskwatch.observer import RunningModel
from maskwatch.status import PersonStatus, State, Status
from maskwatch.types import Label, Situation, Verdict

FPS_SECONDS = 20.0
FPS_FRAMES = 64
"""Frames a second are counted over the last so many seconds, or judged frames where those are fewer.

The seconds are twice the longest `idle.look_every_seconds`: resting networks judge a frame within them.
"""


def local_now() -> datetime.datetime:
    """The wall's date and time, with its offset from UTC."""
    return datetime.datetime.now().astimezone()


@dataclass(frozen=True, slots=True)
class _Look:
    """A frame that was judged, and how many had been looked at by then: judged or passed over."""

    time_s: float
    frames: int


@dataclass(frozen=True, slots=True)
class _Seen:
    """All that was told so far. Times are the clock's."""

    state_since_s: float
    verdict: Verdict | None = None
    frames: int = 0
    looks: tuple[_Look, ...] = ()
    latency_s: float | None = None
    source: str | None = None
    model: str | None = None
    runs: RunningModel | None = None
    takeovers: int = 0
    resting: bool = False
    lost_since_s: float | None = None
    lost_reason: str | None = None

    @property
    def state(self) -> State:
        if self.lost_since_s is not None:
            return Situation.NO_CAMERA.value
        return "starting" if self.verdict is None else self.verdict.situation.value


class StatusKeeper:
    """An Observer that can be asked for a Status by any thread, without ever making the daemon's own wait.

    The daemon's thread replaces one frozen record by the next; there is no lock. `clock` is the frames' clock.
    `passed_frames` gives the daemon's own count of frames that it watched for motion alone, to any thread.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall_time: Callable[[], datetime.datetime] = local_now,
        passed_frames: Callable[[], int] = lambda: 0,
    ) -> None:
        self._clock = clock
        self._wall_time = wall_time
        self._passed_frames = passed_frames
        self._began_s = clock()
        self._seen = _Seen(self._began_s)
        self._version = version("maskwatch")

    def watching(self, source: str, model: str) -> None:
        """Note what is watched, and with what; each time after the first is a reload."""
        seen = self._seen
        looks = seen.looks if source == seen.source else ()
        self._seen = replace(seen, source=source, model=model, takeovers=seen.takeovers + 1, looks=looks)

    def runs(self, model: RunningModel, why: str) -> None:
        """Note which model runs, and how its trial stands; that is no reload."""
        self._seen = replace(self._seen, model=model.name, runs=model)

    def judged(self, verdict: Verdict) -> None:
        """Note a frame."""
        now_s, seen = self._clock(), self._seen
        latency_s = now_s - verdict.captured_s
        look = _Look(now_s, seen.frames + 1 + self._passed_frames())
        self._change(
            replace(
                seen,
                verdict=verdict,
                frames=seen.frames + 1,
                looks=(*seen.looks[1 - FPS_FRAMES :], look),
                latency_s=latency_s if latency_s >= 0 else None,
                lost_since_s=None,
                lost_reason=None,
            ),
            now_s,
        )

    def resting(self, resting: bool) -> None:
        """Note whether the networks rest."""
        self._seen = replace(self._seen, resting=resting)

    def lost_camera(self, reason: str) -> None:
        """Note the newest reason; the loss began with the first."""
        now_s, seen = self._clock(), self._seen
        lost_since_s = now_s if seen.lost_since_s is None else seen.lost_since_s
        self._change(
            replace(seen, verdict=None, looks=(), latency_s=None, lost_since_s=lost_since_s, lost_reason=reason),
            now_s,
        )

    def reloading(self) -> AbstractContextManager[None]:
        """Pass over it: what comes of it is told by `watching`."""
        return nullcontext()

    def stopping(self) -> None:
        """Pass over it: who asks afterwards finds nobody."""

    def status(self, dropped_frames: int = 0) -> Status:
        """The present. `dropped_frames` is the daemon's own count."""
        now_s, seen = self._clock(), self._seen
        passed_frames = self._passed_frames()  # after what was seen: never fewer than that counts
        uptime_s = max(0.0, now_s - self._began_s)
        # Counted back from now: a Pi without a clock learns the time after its start.
        since = self._wall_time() - datetime.timedelta(seconds=uptime_s)
        people = () if seen.verdict is None else seen.verdict.people
        return Status(
            state=seen.state,
            state_seconds=round(max(0.0, now_s - seen.state_since_s), 1),
            alarm=seen.verdict is not None and seen.verdict.alarm,
            dark=seen.verdict is not None and seen.verdict.dark,
            resting=seen.resting,
            people_count=len(people),
            unmasked_count=sum(person.label is Label.WITHOUT_MASK for person in people),
            people=tuple(
                PersonStatus(None if person.label is None else person.label.value, round(person.face.mask, 4))
                for person in people
            ),
            frames=seen.frames,
            passed_frames=passed_frames,
            dropped_frames=dropped_frames,
            fps=round(_rate(seen.looks, seen.frames + passed_frames, now_s), 2),
            latency_seconds=None if seen.latency_s is None else round(seen.latency_s, 4),
            camera_source=seen.source,
            camera_lost_seconds=None if seen.lost_since_s is None else round(max(0.0, now_s - seen.lost_since_s), 1),
            camera_lost_reason=seen.lost_reason,
            model=seen.model,
            model_sha256=None if seen.runs is None else seen.runs.sha256,
            slot=None if seen.runs is None else seen.runs.slot,
            trial=None if seen.runs is None else seen.runs.trial,
            reloads=max(0, seen.takeovers - 1),
            since=since.isoformat(timespec="seconds"),
            uptime_seconds=round(uptime_s, 1),
            version=self._version,
            pid=os.getpid(),
        )

    def _change(self, seen: _Seen, now_s: float) -> None:
        self._seen = seen if seen.state == self._seen.state else replace(seen, state_since_s=now_s)


def _rate(looks: tuple[_Look, ...], frames: int, now_s: float) -> float:
    """Frames a second that were looked at since the oldest recent look: it sinks while none comes."""
    recent = [look for look in looks if now_s - look.time_s <= FPS_SECONDS]
    seconds = now_s - recent[0].time_s if recent else 0.0
    return (frames - recent[0].frames) / seconds if seconds > 0 else 0.0
