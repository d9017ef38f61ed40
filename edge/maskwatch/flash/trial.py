"""A trial as it is seen from here: how many frames were judged, and when there is no more to hope for. Pure."""

from __future__ import annotations

from maskwatch.flash.answers import DoorState

TAKE_UP_S = 45.0
"""A daemon looks for a new model each second, and a small Pi loads one in some seconds."""

OWN_BUNDLE = (
    "the daemon runs another model all the same: its settings name one (model.bundle), "
    "or it left this one because it failed: see maskwatch status there"
)

MOST = 2
"""So many times the frames that confirm a trial may be judged before its window is not prolonged any more."""


class Trial:
    """One trial, from `began_s` on. It is over after `window_s` without a newly judged frame."""

    def __init__(self, sha256: str, window_s: float, began_s: float) -> None:
        self._sha256 = sha256
        self._window_s = window_s
        self._began_s = self._alive_s = began_s
        self._seen: int | None = None
        self.judged = 0
        """Frames that were judged while somebody looked; the first ones nobody can tell from those before."""
        self.wanted = 0
        """Frames that confirm it; 0 where the door does not say."""

    def look(self, state: DoorState, now_s: float) -> str:
        """What the door says now; why the trial is over, or nothing."""
        self.wanted = state.healthy_frames
        daemon = state.daemon
        if daemon is not None and daemon.sha256 == self._sha256 and daemon.frames is not None:
            self._count(daemon.frames, now_s)
        if now_s - self._alive_s >= self._window_s:
            return ": ".join(filter(None, (self._not_confirmed(), state.complaint)))
        if now_s - self._began_s >= TAKE_UP_S and runs_another(state, self._sha256):
            return OWN_BUNDLE
        return ""

    def _count(self, frames: int, now_s: float) -> None:
        if self._seen is not None:
            new = frames - self._seen if frames >= self._seen else frames  # fewer: it was started anew
            if new and self.judged < MOST * self.wanted:
                self._alive_s = now_s
            self.judged += new
        self._seen = frames

    def _not_confirmed(self) -> str:
        words = f"not confirmed within {self._window_s:g} s"
        return f"{words}, after {self.judged} judged frames" if self.judged else words


def runs_another(state: DoorState, sha256: str) -> bool:
    """Whether the daemon has another model in memory."""
    return state.daemon is not None and state.daemon.sha256 not in (None, sha256)
