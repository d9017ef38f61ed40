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
from maskwatch.flash.patience import Patience
from maskwatch.flash.protocol import Report, Request
from maskwatch.flash.result import Outcome, Progress, Result, Step
from maskwatch.flash.ssh import ASK_S, INSTALL_S, UPLOAD_S, UnreachableError
from maskwatch.flash.trial import OWN_BUNDLE, TAKE_UP_S, Trial, runs_another
from maskwatch.incoming import BUSY

WINDOW_S = 180.0
"""A daemon confirms after 50 judged frames, of which even a door at rest judges one each ten seconds or more often."""

DOOR_S = 7200.0
"""All of a door's flash, beside its trial's window: no door holds up a roll-out for longer, whatever it says."""

PARTS = 64
"""An upload gets on where a connection brought this fraction of it; with less, tries are spent."""

DAEMON_S = 15.0
"""So long a daemon may be away: systemd starts one again after ten."""

ACTIVATIONS = 2
"""How often a trial is begun: a second time where another operator's flash came between."""

GOES_ON = "; it tries the new model, and confirms it or rolls back by itself"

End = tuple[Outcome, str]


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every door: `force` allows a lower version; `window_s` is how long a trial may judge no frame."""

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
        self._patience = Patience(clock, stopper.event.wait if wait is None else wait)
        self._line: Line
        self._deadline_s = 0.0
        self._model = ""
        self._sent_bytes = self._resumed_bytes = 0
        self._installed = False
        self._activations = 0
        self._trial: Trial | None = None
        self._may_go_on = False  # the trial, as far as is known
        self._fresh: dict[str, object] | None = None  # the state that a change has just answered with

    def flash(self) -> Result:
        """Bring the model there, and see it confirmed or rolled back. Raises nothing of ours."""
        began_s = self._clock()
        self._deadline_s = began_s + DOOR_S + self._terms.window_s
        try:
            with self._connect(self._host) as self._line:
                self._stopper.watch(self._line)
                try:
                    outcome, reason = self._flash()
                finally:
                    self._stopper.forget(self._line)
        except MaskwatchError as error:
            outcome, reason = _end(error)
        if self._stopper.event.is_set() and not (outcome.good or outcome is Outcome.ROLLED_BACK):
            outcome, reason = Outcome.INTERRUPTED, "by a signal"
        if self._may_go_on and not outcome.good:
            reason += GOES_ON
        seconds = self._clock() - began_s
        return Result(self._host, outcome, reason, self._model, seconds, self._sent_bytes, self._resumed_bytes)

    def _flash(self) -> End:
        self._progress(Step.CONNECTING, 0, 0)
        self._line.open()
        while True:
            try:
                end = self._round()
            except TryAgainError as error:
                end = self._again(error)
            else:
                self._patience.renew_tries()
            if end is not None:
                return end
            if self._stopper.event.is_set():
                return Outcome.INTERRUPTED, ""
            if self._clock() >= self._deadline_s:
                return Outcome.REFUSED, f"it came to no end within {(DOOR_S + self._terms.window_s) / 60:.0f} minutes"

    def _round(self) -> End | None:
        """Look at the door, and do the next thing; the end, where that is it."""
        state = self._state()
        if state.sha256 == self._parcel.sha256:
            return self._watch(state) if state.trying else self._settle(state)
        self._may_go_on = False
        slot = state.slot_with(self._parcel.sha256)
        if self._trial is not None and slot is None:
            return Outcome.ROLLED_BACK, "another bundle has taken its place"
        if self._trial is not None and slot is not None and slot.state != "verified":
            return Outcome.ROLLED_BACK, slot.reason or "the door does not say why"
        if state.runs is False:
            why = f"nothing there would try the model: {state.complaint}"
            return self._wait_for("a daemon", DAEMON_S, (Outcome.REFUSED, why))
        if self._installed or (slot is not None and slot.state == "verified"):
            return self._activate()
        self._bring()
        return None

    def _ask(
        self, request: Request, data: bytes = b"", limit_s: float = ASK_S, report: Report | None = None
    ) -> dict[str, object]:
        left_s = max(1.0, self._deadline_s - self._clock())
        return self._line.ask(request, data, min(limit_s, left_s), report)

    def _state(self) -> DoorState:
        answer, self._fresh = self._fresh or self._ask(Request("state")), None
        state = read_state(answer)
        if not state.may_change:
            if self._line.sudo:
                raise OperatorError("not even root may change models there: is its disk read-only?")
            self._line.sudo = True
            try:
                state = read_state(self._ask(Request("state")))
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
        found = self._ask(Request("offset", parcel.sha256, parcel.size_bytes))
        have_bytes = read_bytes(found, parcel.size_bytes)
        if read_busy(found):  # somebody else's, or ours that broke off and that the door has not given up yet
            raise TryAgainError(BUSY)
        if have_bytes < parcel.size_bytes:
            if (have_bytes - self._resumed_bytes) * PARTS >= parcel.size_bytes:
                self._patience.renew_tries()
            self._resumed_bytes = max(self._resumed_bytes, have_bytes)
            self._upload(have_bytes)
        self._progress(Step.VERIFYING, 0, 0)
        install = Request("install", parcel.sha256, force=self._terms.force)
        self._fresh = self._ask(install, parcel.signature, INSTALL_S)
        self._installed = True
        self._patience.begin_anew()

    def _upload(self, have_bytes: int) -> None:
        parcel = self._parcel
        before_bytes = self._sent_bytes

        def report(sent_bytes: int, _: int) -> None:
            self._sent_bytes = before_bytes + sent_bytes
            self._progress(Step.UPLOADING, have_bytes + sent_bytes, parcel.size_bytes)

        self._progress(Step.UPLOADING, have_bytes, parcel.size_bytes)
        upload = Request("upload", parcel.sha256, parcel.size_bytes, have_bytes)
        answer = self._ask(upload, parcel.data[have_bytes:], UPLOAD_S, report)
        if read_bytes(answer, parcel.size_bytes) != parcel.size_bytes:
            raise UnreachableError("the upload ended early")

    def _activate(self) -> End | None:
        """Begin the trial of what is verified there."""
        if self._activations >= ACTIVATIONS:
            return Outcome.REFUSED, "it does not begin the trial, whatever it answers"
        self._trial = Trial(self._parcel.sha256, self._terms.window_s, self._clock())
        self._may_go_on = True
        try:
            self._fresh = self._ask(Request("activate", self._parcel.sha256))
        except UnreachableError:
            raise
        except (OperatorError, TryAgainError) as error:
            self._trial, self._may_go_on = None, False
            if self._installed or isinstance(error, TryAgainError):
                raise
            # what another flash had verified there is not fit any more: the next look shows it, and ours is brought
        self._activations += 1
        self._patience.begin_anew()
        return None

    def _settle(self, state: DoorState) -> End | None:
        """The slots are as they should be; and what runs, too?"""
        self._may_go_on = False
        if runs_another(state, self._parcel.sha256):
            return self._wait_for("the new model", TAKE_UP_S, (Outcome.REFUSED, OWN_BUNDLE))
        if state.runs is False:
            why = f"it has the model, and nothing runs it: {state.complaint}"
            return self._wait_for("a daemon", DAEMON_S, (Outcome.REFUSED, why))
        return Outcome.ALREADY if self._trial is None else Outcome.CONFIRMED, ""

    def _watch(self, state: DoorState) -> End | None:
        """One look at a trial; at the end of its window it is rolled back."""
        if self._trial is None:  # by a flash before this one
            self._trial = Trial(self._parcel.sha256, self._terms.window_s, self._clock())
        self._may_go_on = True
        over = self._trial.look(state, self._clock())
        wanted = self._trial.wanted
        self._progress(Step.TRYING, min(self._trial.judged, wanted), wanted)
        if not over:
            self._patience.pause()
            return None
        self._progress(Step.ROLLING_BACK, 0, 0)
        answer = self._ask(Request("rollback", self._parcel.sha256))
        after = read_state(answer)
        self._model = after.model
        if after.sha256 != self._parcel.sha256:
            self._may_go_on = False
            return Outcome.ROLLED_BACK, over
        if after.trying:
            return Outcome.REFUSED, f"{over}; it does not roll back, whatever it answers"
        self._fresh = answer  # confirmed just now
        return None

    def _wait_for(self, what: str, limit_s: float, end: End) -> End | None:
        """The end, once `what` has been waited for that long; before, a pause."""
        if self._patience.is_over(what, limit_s):
            return end
        self._patience.pause()
        return None

    def _again(self, why: TryAgainError) -> End | None:
        """After a pause, and over a new connection where the old one broke; the end, once that was tried often."""
        while not self._stopper.event.is_set() and self._patience.try_again():
            if not isinstance(why, UnreachableError):
                return None
            self._progress(Step.CONNECTING, 0, 0)
            try:
                self._line.close()
                self._line.open()
            except UnreachableError as error:
                why = error
            else:
                return None
        return _end(why)


def _end(error: MaskwatchError) -> End:
    return Outcome.UNREACHABLE if isinstance(error, UnreachableError) else Outcome.REFUSED, str(error)
