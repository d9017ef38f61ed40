"""Tells a lens that is covered, or a door without light, from a moment's blackness. Pure; frames are its clock."""

from __future__ import annotations

from maskwatch.types import Frame

BLACK_LEVEL = 12.0
"""A mean of fewer of 255 levels is what a covered lens or a dark room gives."""

LIGHT_LEVEL = 18.0
"""Darkness ends at this mean, not at the one where it begins: dusk shall not come and go from frame to frame."""

DARK_SECONDS = 30.0
"""Blackness that lasts so long is no lamp that fails for a moment, and nobody who walks into the lens."""

_SAMPLE_STEP_PX = 16  # a mean over the whole picture needs few of its pixels


class Darkness:
    """Whether the pictures have been black for long: then nobody can be judged, whoever stands there."""

    def __init__(self) -> None:
        self._lasts = False
        self._since_s: float | None = None

    def update(self, frame: Frame) -> bool:
        """Whether it is dark after one more frame. It takes `DARK_SECONDS` to become so, and one frame to end."""
        level = float(frame.image[::_SAMPLE_STEP_PX, ::_SAMPLE_STEP_PX].mean())
        if level >= (LIGHT_LEVEL if self._lasts else BLACK_LEVEL):
            self._since_s = None
        elif self._since_s is None:
            self._since_s = frame.captured_s
        self._lasts = self._since_s is not None and (self._lasts or frame.captured_s - self._since_s >= DARK_SECONDS)
        return self._lasts
