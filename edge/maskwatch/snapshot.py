"""One annotated picture of what a run has seen; only for an owner who asks for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maskwatch.alert import situation_of
from maskwatch.drawing import annotate
from maskwatch.errors import OperatorError
from maskwatch.images import IMAGE_SUFFIXES, write_image
from maskwatch.preprocess import resize
from maskwatch.types import Frame, Image, Situation, Verdict

SITUATIONS = (Situation.UNMASKED, Situation.ALL_MASKED)
"""What the picture shows, from left to right."""


def check_picture_path(path: Path) -> None:
    """Raise OperatorError where a picture could not be written there, before a run rather than after it."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise OperatorError(f"{path} names no picture format: end it in .jpg or .png")
    if not path.parent.is_dir():
        raise OperatorError(f"{path.parent} is no folder: make it first")


class Snapshot:
    """Keeps in memory the surest frame with somebody unmasked, and the surest where all are masked."""

    def __init__(self) -> None:
        self._best: dict[Situation, tuple[float, Frame, Verdict]] = {}
        self._frames_seen: dict[int, int] = {}

    def keep(self, frame: Frame, verdict: Verdict) -> None:
        """Look at one frame and its verdict."""
        before = self._frames_seen
        self._frames_seen = {person.track_id: person.frames_seen for person in verdict.people}
        # A held light outlasts its reason: such a frame would show something else than its words say.
        if verdict.situation not in SITUATIONS or situation_of(verdict.people) is not verdict.situation:
            return
        if any(person.face.label is not person.label for person in verdict.people):
            return
        # The tracker remembers people for a while; a face that is not in this frame must not be drawn on it.
        if any(before.get(person.track_id) == person.frames_seen for person in verdict.people):
            return
        sureness = min(person.face.score * abs(2 * person.face.mask - 1) for person in verdict.people)
        if verdict.situation not in self._best or sureness >= self._best[verdict.situation][0]:
            self._best[verdict.situation] = (sureness, frame, verdict)

    def picture(self) -> Image | None:
        """What was kept, annotated, side by side (H×W×3 RGB); None where there was nobody."""
        kept = [self._best[situation] for situation in SITUATIONS if situation in self._best]
        if not kept:
            return None
        panels = [
            annotate(frame.image, [person.face for person in verdict.people], verdict.situation)
            for _, frame, verdict in kept
        ]
        height_px = min(panel.shape[0] for panel in panels)
        return np.hstack([resize(panel, height_px, _width_px(panel, height_px)) for panel in panels])

    def write(self, path: Path) -> bool:
        """Write the picture; False where there was nobody to show. Raises OperatorError where it cannot be written."""
        picture = self.picture()
        if picture is not None:
            write_image(path, picture)
        return picture is not None


def _width_px(panel: Image, height_px: int) -> int:
    height, width = panel.shape[:2]
    return max(1, int(width * height_px / height))
