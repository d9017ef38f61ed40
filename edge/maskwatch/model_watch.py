"""The daemon's model over time: what became active is loaded beside the frames, tried, and left where it fails."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from maskwatch.background import Job
from maskwatch.errors import MaskwatchError, TryAgainError
from maskwatch.model_source import NETWORK_FAULTS, LoadModel, ModelSlots, Sourced, bring, in_words
from maskwatch.observer import RunningModel
from maskwatch.slots.choice import Choice
from maskwatch.slots.states import State

if TYPE_CHECKING:
    from maskwatch.config import ModelSettings
    from maskwatch.door import Model

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often to look whether the slots have changed: one `stat` each time."""

RETRY_SECONDS = 10.0
"""How long to wait for the next try: to write a confirmation, to note a start, to tell what is to run."""

LONGEST_RETRY_SECONDS = 300.0
"""As long at most: each try after the same reason waits twice as long as the one before, as it may cost seconds."""


class ModelWatch:
    """Knows which model runs, and which is to. For the daemon's own thread, between two frames.

    Nothing here waits for a disk or for a bundle but `open`, `give_up`, and `for_settings` where they ask for another
    model. `announce` is called, from another thread, when there is something to `take`. `tell` hears of what runs at
    each change, and why. `clock` is monotonic. Without `slots` the settings alone count.

    Where nobody can tell what is to run, what runs goes on, and it looks again after `RETRY_SECONDS`, then after ever
    longer pauses, until it is sure.
    """

    def __init__(
        self,
        load: LoadModel,
        slots: ModelSlots | None,
        announce: Callable[[], object],
        tell: Callable[[RunningModel, str], object],
        clock: Callable[[], float],
    ) -> None:
        self._load = load
        self._slots = slots
        self._announce = announce
        self._tell = tell
        self._clock = clock
        self._now: Sourced | None = None
        self._before: Sourced | None = None  # what the trial that runs has replaced
        self._healthy_frames = 0
        self._confirm_from_s = math.inf  # when to confirm; infinite: not yet
        self._unconfirmed_because = ""
        self._stamp: object = None
        self._looked_s = -math.inf
        self._again_from_s = math.inf  # when to look again though nothing has changed; infinite: it is sure
        self._again_because: object = None
        self._pause_s = RETRY_SECONDS
        self._told_faults: frozenset[str] = frozenset()
        self._loading: Job[Sourced] | None = None
        self._outdated = False  # whether `_loading` began before a change of ours
        self._confirming: Job[State] | None = None
        self._said_who_wins = False

    @property
    def running(self) -> RunningModel:
        """What runs, once it is open."""
        return self._current.running()

    def open(self, settings: ModelSettings) -> Model:
        """Load the first model; a trial spends one of its tries on it. Raises as `bring` does."""
        if self._slots is not None and not settings.bundle:
            self._slots.starting()
            self._stamp = self._present_stamp()
        self._say_who_wins(settings)
        self._now = bring(self._load, self._slots, settings)
        self._note(self._now)
        if self._now.faults:
            logger.warning("%s; the door runs %s", "; ".join(self._now.faults), self.running)
        self._tell(self.running, "; ".join(self._now.faults))
        return self._now.model

    def look(self, settings: ModelSettings) -> None:
        """Begin what is due: to load what became active, to confirm what is healthy. Once each `LOOK_SECONDS`."""
        if self._slots is None or settings.bundle:
            return
        now_s = self._clock()
        if now_s - self._looked_s < LOOK_SECONDS:
            return
        self._looked_s = now_s
        if now_s >= self._confirm_from_s and self._confirming is None:
            self._confirm_from_s = now_s + RETRY_SECONDS
            confirm = partial(self._slots.confirm, self._current.choice.sha256 or "")
            self._confirming = Job("confirm", confirm, self._announce)
        stamp = self._present_stamp()
        if self._loading is None and (stamp != self._stamp or now_s >= self._again_from_s):
            self._stamp, self._outdated = stamp, False  # looked at before they are read: no change is missed
            work = partial(self._bring_anew, self._slots, settings, self._in_memory(), self._current.choice)
            self._loading = Job("model", work, self._announce)

    def take(self) -> Model | None:
        """Take over what was announced: the model to go on with, where it is another one than before.

        Raises what is a bug of ours.
        """
        if self._confirming is not None and self._confirming.done:
            confirming, self._confirming = self._confirming, None
            self._take_confirmation(confirming)
        if self._loading is None or not self._loading.done:
            return None
        loading, self._loading = self._loading, None
        if self._outdated:  # what was chosen since then is newer
            return None
        try:
            sourced = loading.take()
        except NETWORK_FAULTS as error:
            self._look_again(in_words(error))
            if in_words(error) not in self._told_faults:
                self._told_faults |= {in_words(error)}
                logger.error("%s; the door goes on with %s", in_words(error), self.running)
            return None
        if sourced.kept:  # its trial may have ended meanwhile
            sourced = replace(sourced, choice=self._current.choice)
        return self._go_on_with(sourced)

    def judged(self) -> None:
        """The networks have done their work on a frame: enough of these confirm a trial."""
        choice = self._current.choice
        if choice.trying and self._confirm_from_s == math.inf:
            self._healthy_frames += 1
            if self._healthy_frames >= choice.healthy_frames:
                self._confirm_from_s = -math.inf

    def give_up(self, settings: ModelSettings, error: Exception) -> Model | None:
        """The networks failed on a frame: leave a slot's model, and return what goes on; None where it is no slot's.

        A trial is rolled back; what is confirmed is left by this process alone. Raises as `bring` does.
        """
        failed = self._current
        if self._slots is None or failed.choice.sha256 is None:
            return None
        rolled_back = self._slots.abandon(failed.choice.sha256, in_words(error))
        self._outdated = True
        known = () if self._before is None else (self._before,)
        sourced = bring(self._load, self._slots, settings, known)
        if rolled_back:
            fault = f"{failed.running()} is rolled back: {in_words(error)}"
            sourced = replace(sourced, faults=(fault, *sourced.faults))
        self._go_on_with(sourced)
        return sourced.model

    def for_settings(self, settings: ModelSettings, old: ModelSettings) -> Sourced:
        """The model for new settings, which counts once it is given to `adopt`.

        What became active in the slots meanwhile is left to `look`, which loads it beside the frames, at once.
        """
        if self._slots is not None and not settings.bundle and not old.bundle and settings.threads == old.threads:
            self._looked_s = -math.inf
            if self._again_because is not None:
                self._again_from_s = -math.inf
            return self._current
        keep = None if old.bundle else self._current.choice
        try:
            return bring(self._load, self._slots, settings, self._in_memory(), keep)
        except MemoryError as error:
            raise TryAgainError(in_words(error)) from error

    def adopt(self, sourced: Sourced, settings: ModelSettings) -> None:
        """Go on with what `for_settings` has found for these settings."""
        self._say_who_wins(settings)
        if sourced is not self._current:
            self._outdated = True
            self._go_on_with(sourced)

    def close(self, timeout_s: float) -> None:
        """Wait for what is under way, for so long at most."""
        for job in (self._loading, self._confirming):
            if job is not None and not job.join(max(0.0, timeout_s)):
                logger.warning("a model is still being loaded or confirmed; left behind")

    @property
    def _current(self) -> Sourced:
        assert self._now is not None, "no model is open"
        return self._now

    def _bring_anew(
        self, slots: ModelSlots, settings: ModelSettings, loaded: tuple[Sourced, ...], keep: Choice
    ) -> Sourced:
        """For another thread: what is to run now, once what is owed to the disk has been tried again."""
        slots.settle()
        return bring(self._load, slots, settings, loaded, keep)

    def _in_memory(self) -> tuple[Sourced, ...]:
        return tuple(sourced for sourced in (self._now, self._before) if sourced is not None)

    def _present_stamp(self) -> object:
        """Another value after each change of the slots; None where they cannot be seen."""
        assert self._slots is not None
        try:
            seen = self._slots.state_path.stat()
        except OSError:
            return None
        return seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns

    def _go_on_with(self, sourced: Sourced) -> Model | None:
        """Let this, which has just been looked for, be what runs; its model, where that is another."""
        model = self._change_to(sourced)
        self._note(sourced)
        return model

    def _change_to(self, sourced: Sourced) -> Model | None:
        """Let this be what runs, and say so; its model, where that is another."""
        old, self._now = self._current, sourced
        before, after = old.running(), sourced.running()
        if not sourced.choice.trying:
            self._before, self._confirm_from_s = None, math.inf
        elif not old.choice.trying or before.sha256 != after.sha256:
            self._before, self._healthy_frames, self._confirm_from_s = old, 0, math.inf
        if before != after or not self._told_faults.issuperset(sourced.faults):
            self._say(sourced, before, after)
        return sourced.model if sourced.model is not old.model else None

    def _note(self, sourced: Sourced) -> None:
        """When to look again; and each reason is told once, until there is none."""
        if sourced.again:
            self._look_again(sourced.faults)
        else:
            self._again_from_s, self._again_because = math.inf, None
        self._told_faults = self._told_faults.union(sourced.faults) if sourced.faults else frozenset()

    def _look_again(self, because: object) -> None:
        """In a while, which grows for as long as neither the reason nor the slots are others."""
        reason = (because, self._stamp)
        same = reason == self._again_because
        self._pause_s = min(2 * self._pause_s, LONGEST_RETRY_SECONDS) if same else RETRY_SECONDS
        self._again_because, self._again_from_s = reason, self._clock() + self._pause_s

    def _say(self, sourced: Sourced, before: RunningModel, after: RunningModel) -> None:
        if sourced.faults:
            why = f"{'; '.join(sourced.faults)}; the door runs {after}"
        elif (before.sha256, before.slot) == (after.sha256, after.slot):
            why = f"{after} is {after.trial}"
        else:
            why = f"the model is now {after}, instead of {before}"
        logger.log(logging.WARNING if sourced.faults else logging.INFO, "%s", why)
        self._tell(after, why)

    def _take_confirmation(self, confirming: Job[State]) -> None:
        try:
            state = confirming.take()
        except MaskwatchError as error:
            if str(error) != self._unconfirmed_because:
                self._unconfirmed_because = str(error)
                logger.warning("%s is healthy, which cannot be noted: %s", self.running, error)
            return
        now, confirmed = self._current, state.active_slot
        if confirmed is not None and (confirmed.state, confirmed.sha256) == ("confirmed", now.choice.sha256):
            self._change_to(replace(now, choice=replace(now.choice, trying=False), faults=()))

    def _say_who_wins(self, settings: ModelSettings) -> None:
        """Once: slots in use count for nothing where the settings name a bundle."""
        if self._slots is None or not settings.bundle or self._said_who_wins:
            return
        active = self._slots.read().active
        if active is not None:
            self._said_who_wins = True
            logger.info("model.bundle = %s is named, so slot %s is ignored", settings.bundle, active)
