"""The loop that runs a door: events of the camera's thread and commands of the operator, one after the other."""

from __future__ import annotations

import datetime
import logging
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass

from maskwatch.capture import Capture
from maskwatch.config import CameraSettings, Settings
from maskwatch.door import Door, Parts
from maskwatch.errors import CameraError, MaskwatchError
from maskwatch.mailbox import Ended, Item, Lost
from maskwatch.model_source import NETWORK_FAULTS, ModelSlots
from maskwatch.model_watch import ModelWatch
from maskwatch.observer import NoObserver, Observer, in_words
from maskwatch.signals import Command
from maskwatch.token_bucket import TokenBucket
from maskwatch.types import Face, Frame, Situation, Verdict

logger = logging.getLogger(__name__)

SHOWS = "the door shows "
"""How a line of the log begins that tells of a change of situation."""

CHANGES_AT_ONCE, SECONDS_A_CHANGE = 10, 600.0
"""So many changes are told one after the other, and in the long run one each ten minutes. A journal that lies on an SD
card costs it less than 100 kB a line that stands alone, as journald writes its index in pages: 0.6 MB an hour."""

FAULTS_AT_ONCE, SECONDS_A_FAULT = 3, 5400.0
"""The same for losses of the camera, and for pictures that turn black; what was told as wrong is told as right, too. So
in the long run each costs 0.13 MB an hour. One that was not told at once and lasts is told later."""

TICK_SECONDS = 1.0
"""How often to look after things while nothing happens."""

CAMERA_JOIN_SECONDS = 0.8
"""With the lights' `JOIN_SECONDS` it keeps the way down under 2 s. A model that is loaded gets what is left of it."""


def local_time() -> datetime.time:
    """The time of day on the wall, for quiet hours and nothing else."""
    return datetime.datetime.now().time()


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a line of the log can tell. `lost` is why there is no camera."""

    situation: Situation | None = None
    dark: bool = False
    lost: str | None = None


class Daemon:
    """Camera to lights, until told to stop. `run` may be called once.

    `load_settings` gives the settings, at the start and at each reload, and raises MaskwatchError for bad ones.
    `commands` may be put to from signal handlers and from other threads. `on_verdict` is called after each frame.
    `clock` is monotonic, and the cameras' own. `observer` is told how the daemon fares. A camera that is missing at the
    start ends the run, or with `wait_for_camera` is shown as lost and waited for, as one that is lost later always is.
    `slots` say which model to run where the settings name none; without them that is the built-in one.
    """

    def __init__(
        self,
        load_settings: Callable[[], Settings],
        parts: Parts | None = None,
        on_verdict: Callable[[Frame, Verdict], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_time: Callable[[], datetime.time] = local_time,
        observer: Observer | None = None,
        wait_for_camera: bool = False,
        slots: ModelSlots | None = None,
    ) -> None:
        self.frames = 0  # that were judged
        self.passed_frames = 0  # that were watched for motion alone
        self._dropped_before = 0  # by captures that a reload has replaced
        self._load_settings = load_settings
        self._parts = Parts() if parts is None else parts
        self._on_verdict = on_verdict
        self._clock = clock
        self._observer = NoObserver() if observer is None else observer
        self._door = Door(load_settings(), self._parts, wall_time)
        self._events: queue.SimpleQueue[Command | Capture | ModelWatch] = queue.SimpleQueue()
        self._models = ModelWatch(self._parts.model, slots, self._announce_model, self._observer.runs, clock)
        self._capture = self._new_capture(self._door.settings.camera, must_open=not wait_for_camera)
        self._shown = self._told = _Shown()
        self._untold_changes = 0
        self._change_bucket = TokenBucket(CHANGES_AT_ONCE, SECONDS_A_CHANGE)
        self._loss_bucket = TokenBucket(FAULTS_AT_ONCE, SECONDS_A_FAULT)
        self._dark_bucket = TokenBucket(FAULTS_AT_ONCE, SECONDS_A_FAULT)
        self._resting = False

    @property
    def dropped_frames(self) -> int:
        """How many frames have given way to newer ones so far. Any thread may ask."""
        return self._dropped_before + self._capture.mailbox.dropped_frames

    def command(self, command: Command) -> None:
        """Ask for something; it is done between two frames. Safe in signal handlers."""
        self._events.put(command)

    def run(self, seconds: float | None = None) -> None:
        """Watch until told to stop, the source has ended, or so many seconds have passed; all outputs are off after it.

        Raises:
            CameraError: no camera at the start (unless it is waited for), or one that hangs inside its driver.
            OperatorError: no lights, no bundle, no readable file.
        """
        deadline_s = None if seconds is None else self._clock() + seconds
        try:
            self._capture.start()  # the camera gets ready while the networks are loaded
            model = self._models.open(self._door.settings.model)
            self._door.open(model)
            self._observer.watching(self._door.settings.camera.source, model.name)
            self._loop(deadline_s)
        finally:
            self._observer.stopping()
            self._capture.stop()
            try:
                self._door.close()  # first: whatever hangs, the lights are off
            finally:
                self._join()
        # Not after a fault: that is told in one line of its own.
        passed = f", {self.passed_frames} were watched for motion alone" if self.passed_frames else ""
        logger.info(
            "stopped after %d frames; %d more gave way to newer ones%s", self.frames, self.dropped_frames, passed
        )

    def _join(self) -> None:
        began_s = time.monotonic()
        if not self._capture.join(CAMERA_JOIN_SECONDS):
            logger.warning("the camera is still inside its driver; left behind")
        self._models.close(CAMERA_JOIN_SECONDS - (time.monotonic() - began_s))

    def _loop(self, deadline_s: float | None) -> None:
        while True:
            self._note_rest()
            self._models.look(self._door.settings.model)
            wait_s = TICK_SECONDS if deadline_s is None else min(TICK_SECONDS, deadline_s - self._clock())
            if wait_s <= 0:
                return
            try:
                event = self._events.get(timeout=wait_s)
            except queue.Empty:
                self._look_after()
                continue
            if event is Command.STOP:
                return
            if event is Command.RELOAD:
                with self._observer.reloading():
                    self._reload()
            elif event is self._models:
                self._swap_model()
            elif event is self._capture and not self._take_in(self._capture.mailbox.take()):
                return

    def _take_in(self, item: Item | None) -> bool:
        """Do what the camera's thread has to say; False where that is the end. Raises the fault that ended it."""
        if isinstance(item, Ended):
            if item.fault is not None:
                raise item.fault
            return False
        if isinstance(item, Lost):
            self._lose_camera(item.reason)
        elif item is not None:
            if self._capture.live and not self._door.wants(item):
                self.passed_frames += 1
            else:
                self._judge(item)
        return True

    def _judge(self, frame: Frame) -> None:
        if self.frames == 0:
            logger.info("watching %s with %s", self._door.settings.camera.source, self._models.running)
        self.frames += 1
        verdict = self._door.see(frame, self._faces(frame))
        self._tell(verdict)
        if self._on_verdict is not None:
            self._on_verdict(frame, verdict)
        self._observer.judged(verdict)
        self._models.judged()

    def _faces(self, frame: Frame) -> list[Face]:
        """What the networks see; where a slot's model fails, what the next best sees."""
        while True:
            try:
                return self._door.faces(frame)
            except NETWORK_FAULTS as error:
                model = self._models.give_up(self._door.settings.model, error)
                if model is None:
                    raise
            self._door.adopt(self._door.settings, model)

    def _announce_model(self) -> None:
        self._events.put(self._models)

    def _swap_model(self) -> None:
        model = self._models.take()
        if model is not None:
            self._door.adopt(self._door.settings, model)

    def _note_rest(self) -> None:
        if self._door.resting is not self._resting:
            self._resting = self._door.resting
            self._observer.resting(self._resting)

    def _look_after(self) -> None:
        """While nothing comes: do the lights still work, is the camera stuck?"""
        self._door.check()
        if self._capture.hangs():
            fault = f"the camera hangs inside its driver: {self._door.settings.camera.source}"
            self._lose_camera(fault)
            if self._capture.hangs_for_good():
                raise CameraError(f"{fault}; only a restart of Maskwatch, or of the Pi, frees it")

    def _lose_camera(self, reason: str) -> None:
        self._tell(self._door.go_blind(self._clock()), lost=reason)
        self._observer.lost_camera(reason)

    def _tell(self, verdict: Verdict, lost: str | None = None) -> None:
        """One line a change; where changes come thick, one line now and then, with the number of the others."""
        shown = _Shown(verdict.situation, verdict.dark, lost)
        self._untold_changes += shown != self._shown
        self._shown = shown
        if shown == self._told or not self._may_tell(shown, verdict.captured_s):
            return
        words = in_words(verdict) if lost is None else f"{verdict.situation.value}: {lost}; trying again"
        more = f"; {self._untold_changes} changes since the last line" if self._untold_changes > 1 else ""
        fault = verdict.dark or lost is not None
        logger.log(logging.WARNING if fault else logging.INFO, "%s%s%s", SHOWS, words, more)
        self._told, self._untold_changes = shown, 0

    def _may_tell(self, shown: _Shown, now_s: float) -> bool:
        """Whether the log bears one more line. The end of a fault that it tells of is always told."""
        if shown.lost != self._told.lost:
            return shown.lost is None or self._loss_bucket.allows(now_s)
        if shown.dark is not self._told.dark:
            return not shown.dark or self._dark_bucket.allows(now_s)
        return self._change_bucket.allows(now_s)

    def _reload(self) -> None:
        """Take over new settings, all of them or none; what did not change goes on undisturbed."""
        old = self._door.settings
        try:
            settings = self._load_settings()
            sourced = self._models.for_settings(settings.model, old.model)
            capture = self._capture
            if settings.camera != old.camera:
                capture = self._new_capture(settings.camera, after=self._capture)
        except MaskwatchError as error:
            logger.error("%s; the old settings stay in force", error)
            return
        if not self._door.relight(settings.indicator):
            return
        self._models.adopt(sourced, settings.model)
        self._door.adopt(settings, sourced.model)
        if capture is not self._capture:
            self._capture.stop()
            self._dropped_before, self._capture = self.dropped_frames, capture
            capture.start()
        logger.info("settings loaded again: %s with %s", settings.camera.source, self._models.running)
        self._observer.watching(settings.camera.source, sourced.model.name)

    def _new_capture(self, settings: CameraSettings, must_open: bool = False, after: Capture | None = None) -> Capture:
        camera = self._parts.camera(settings)
        return Capture(camera, settings.timeout_seconds, self._events.put, must_open, after, self._clock)
