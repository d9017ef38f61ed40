"""One door: from whatever state it is in to the new model confirmed, or to the old one and the reason why.

Each round looks at the door's state and does the next thing; so a connection that breaks costs a round and no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from maskwatch.errors import MaskwatchError, OperatorError, TryAgainError
from maskwatch.flash.answers import DoorState, read_busy, read_bytes, read_state
from maskwatch.flash.line import Line, Stopper
from maskwatch.flash.parcel import Parcel
from maskwatch.flash.protocol import Request
from maskwatch.flash.result import Outcome, Progress, Result, Step
from maskwatch.flash.ssh import INSTALL_S, UPLOAD_S, UnreachableError
from maskwatch.incoming import BUSY

WINDOW_S = 180.0
"""A daemon confirms after 50 judged frames: five seconds at ten frames a second, a minute at a door at rest."""

PAUSES_S = (0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 2.0)
"""Between two looks at a trial; the last one for ever. A look costs a small Pi half a second of one core."""

RECONNECT_PAUSES_S = (0.5, 2.0, 4.0, 8.0, 8.0, 8.0)
"""Before each new try where a connection broke; with these a part is given up by a sender who is gone."""

DAEMON_S = 15.0
"""So long a daemon may be away before a flash: systemd starts one again after ten."""

TAKE_UP_S = 45.0
"""A daemon looks for a new model each second, and a small Pi loads one in some seconds."""

OWN_BUNDLE = "the daemon runs another model all the same: do its settings name one (model.bundle)?"


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every door: `force` allows a lower version, `window_s` is how long a trial may take."""

    force: bool = False
    window_s: float = WINDOW_S


class Door:
    """One door's flash, to be run once, by one thread.

    `connect` gives the line, not open yet; `clock` is monotonic, and `wait` lets so many seconds pass, or fewer where
    all is broken off.
    """

    def __init__(
        self,
        host: str,
        parcel: Parcel,
        terms: Terms,
        connect: Callable[[str], AbstractContextManager[Line]],
        progress: Progress,
        stopper: Stopper,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._host = host
        self._parcel = parcel
        self._terms = terms
        self._connect = connect
        self._progress = progress
        self._stopper = stopper
        self._clock = clock
        self._wait = stopper.event.wait if wait is None else wait
        self._line: Line
        self._model = ""
        self._sent_bytes = self._resumed_bytes = 0
        self._installed = False
        self._activated_s: float | None = None
        self._patience_s: float | None = None
        self._breaks = self._looks = 0
        self._fresh: dict[str, object] | None = None  # the state that a change has just answered with

    def flash(self) -> Result:
        """Bring the model there, and see it confirmed or rolled back. Raises nothing of ours."""
        began_s = self._clock()
        try:
            with self._connect(self._host) as self._line:
                self._stopper.watch(self._line)
                try:
                    outcome, reason = self._flash()
                finally:
                    self._stopper.forget(self._line)
        except UnreachableError as error:
            outcome, reason = Outcome.UNREACHABLE, str(error)
        except MaskwatchError as error:
            outcome, reason = Outcome.REFUSED, str(error)
        if self._stopper.event.is_set() and not outcome.good:
            outcome, reason = Outcome.INTERRUPTED, "broken off"
        if outcome in (Outcome.UNREACHABLE, Outcome.INTERRUPTED) and self._activated_s is not None:
            reason += "; it tries the new model, and confirms it or rolls back by itself"
        seconds = self._clock() - began_s
        return Result(self._host, outcome, reason, self._model, seconds, self._sent_bytes, self._resumed_bytes)

    def _flash(self) -> tuple[Outcome, str]:
        self._progress(Step.CONNECTING, 0, 0)
        self._line.open()
        while True:
            try:
                end = self._round()
                if end is not None:
                    return end
                self._breaks = 0
            except UnreachableError as error:
                self._reconnect(error)

    def _round(self) -> tuple[Outcome, str] | None:
        """Look at the door, and do the next thing; the end, where that is it."""
        state = self._state()
        if state.sha256 == self._parcel.sha256:
            return self._watch(state) if state.trying else self._settle(state)
        if self._activated_s is not None:
            slot = state.slot_with(self._parcel.sha256)
            if slot is None:
                return Outcome.ROLLED_BACK, "another bundle has taken its place"
            if slot.state != "verified":
                return Outcome.ROLLED_BACK, slot.reason or "the door does not say why"
            self._activated_s = None  # the connection broke before that was heard there
        if not self._daemon_is_there(state):
            return None
        if not self._installed:
            self._bring()
        else:
            self._activated_s = self._clock()
            self._fresh = self._line.ask(Request("activate", self._parcel.sha256))
        return None

    def _state(self) -> DoorState:
        answer, self._fresh = self._fresh or self._line.ask(Request("state")), None
        state = read_state(answer)
        if not state.may_change:
            if self._line.sudo:
                raise OperatorError("not even root may change models there: is its disk read-only?")
            self._line.sudo = True
            try:
                state = read_state(self._line.ask(Request("state")))
            except UnreachableError:
                raise
            except (OperatorError, TryAgainError) as error:
                raise OperatorError(
                    "this login may not change models: log in as root or as maskwatch-flash, or there: "
                    'sudo usermod -aG maskwatch "$USER"'
                ) from error
        self._model = state.model
        return state

    def _bring(self) -> None:
        """Upload what is not there yet, and have it verified."""
        parcel = self._parcel
        found = self._line.ask(Request("offset", parcel.sha256, parcel.size_bytes))
        have_bytes = read_bytes(found, parcel.size_bytes)
        if read_busy(found):  # somebody else's, or ours that broke off and that the door has not given up yet
            raise UnreachableError(BUSY)
        if have_bytes < parcel.size_bytes:
            if have_bytes > self._resumed_bytes:  # it went on since the connection broke
                self._breaks = 0
            self._resumed_bytes = max(self._resumed_bytes, have_bytes)
            self._upload(have_bytes)
        self._progress(Step.VERIFYING, 0, 0)
        install = Request("install", parcel.sha256, force=self._terms.force)
        self._fresh = self._line.ask(install, parcel.signature, INSTALL_S)
        self._installed = True

    def _upload(self, have_bytes: int) -> None:
        parcel = self._parcel
        before_bytes = self._sent_bytes

        def report(sent_bytes: int, _: int) -> None:
            self._sent_bytes = before_bytes + sent_bytes
            self._progress(Step.UPLOADING, have_bytes + sent_bytes, parcel.size_bytes)

        self._progress(Step.UPLOADING, have_bytes, parcel.size_bytes)
        upload = Request("upload", parcel.sha256, parcel.size_bytes, have_bytes)
        try:
            answer = self._line.ask(upload, parcel.data[have_bytes:], UPLOAD_S, report)
        except TryAgainError as error:
            if isinstance(error, UnreachableError) or self._breaks >= len(RECONNECT_PAUSES_S):
                raise
            # it arrived damaged, or another was quicker
            raise UnreachableError(str(error)) from error
        if read_bytes(answer, parcel.size_bytes) != parcel.size_bytes:
            raise UnreachableError("the upload ended early")

    def _daemon_is_there(self, state: DoorState) -> bool:
        """Whether something would try the model. Raises TryAgainError where it stays away."""
        if state.runs is False:
            if self._is_over(DAEMON_S):
                raise TryAgainError(f"nothing there would try the model: {state.complaint}")
            return False
        self._patience_s = None
        return True

    def _settle(self, state: DoorState) -> tuple[Outcome, str] | None:
        """The slots are as they should be; and what runs, too?"""
        if self._runs_another(state):
            return (Outcome.REFUSED, OWN_BUNDLE) if self._is_over(TAKE_UP_S) else None
        done = Outcome.ALREADY if self._activated_s is None else Outcome.CONFIRMED
        return done, state.complaint if state.runs is False else ""

    def _runs_another(self, state: DoorState) -> bool:
        """Whether the daemon has another model in memory."""
        return state.daemon is not None and state.daemon.sha256 not in (None, self._parcel.sha256)

    def _is_over(self, limit_s: float) -> bool:
        """Whether what we wait for has been waited for that long; where not, wait a little more."""
        now_s = self._clock()
        if self._patience_s is None:
            self._patience_s = now_s + limit_s
        if now_s >= self._patience_s:
            return True
        self._pause()
        return False

    def _pause(self) -> None:
        self._wait(PAUSES_S[min(self._looks, len(PAUSES_S) - 1)])
        self._looks += 1
        self._check_stop()

    def _watch(self, state: DoorState) -> tuple[Outcome, str] | None:
        """One look at a trial; at the end of its window it is rolled back."""
        now_s = self._clock()
        if self._activated_s is None:  # by a flash before this one
            self._activated_s = now_s
        tried_s = now_s - self._activated_s
        self._progress(Step.TRYING, 0, 0)
        end = None
        if tried_s >= self._terms.window_s:
            end = ": ".join(filter(None, (f"not confirmed within {self._terms.window_s:.0f} s", state.complaint)))
        elif tried_s >= TAKE_UP_S and self._runs_another(state):
            end = OWN_BUNDLE
        if end is None:
            self._pause()
            return None
        self._progress(Step.ROLLING_BACK, 0, 0)
        after = read_state(self._line.ask(Request("rollback", self._parcel.sha256)))
        self._model = after.model
        if after.sha256 == self._parcel.sha256:  # confirmed just now
            return Outcome.CONFIRMED, ""
        return Outcome.ROLLED_BACK, end

    def _reconnect(self, why: UnreachableError) -> None:
        """Connect again after a pause. Raises the last fault where that was tried often enough."""
        while self._breaks < len(RECONNECT_PAUSES_S):
            self._wait(RECONNECT_PAUSES_S[self._breaks])
            self._breaks += 1
            self._check_stop()
            self._progress(Step.CONNECTING, 0, 0)
            try:
                self._line.close()
                self._line.open()
            except UnreachableError as error:
                why = error
            else:
                return
        raise why

    def _check_stop(self) -> None:
        if self._stopper.event.is_set():
            raise UnreachableError("broken off")
