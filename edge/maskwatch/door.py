"""One door: what it sees in a frame, what it remembers of the people, and what its lights show."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from maskwatch.alert import Alert
from maskwatch.bundle import Bundle, default_bundle_path, open_bundle
from maskwatch.cameras import Camera, make_camera
from maskwatch.config import CameraSettings, IndicatorSettings, ModelSettings, Settings
from maskwatch.darkness import Darkness
from maskwatch.errors import BundleError, IndicatorError
from maskwatch.idle import Idle
from maskwatch.indicators import make_outputs
from maskwatch.indicators.base import Outputs
from maskwatch.indicators.player import Player
from maskwatch.motion import Motion
from maskwatch.tracker import Tracker
from maskwatch.types import Face, Frame, Verdict

logger = logging.getLogger(__name__)


class Eyes(Protocol):
    """Finds the faces of a frame: the pipeline, as the door knows it."""

    def faces(self, frame: Frame) -> tuple[Face, ...]:
        """All faces of a frame."""


@dataclass(frozen=True, slots=True)
class Model:
    """Networks in memory. `identity` is the same for the same file run in the same way."""

    eyes: Eyes
    identity: tuple[str, int]
    name: str


def load_model(settings: ModelSettings, loaded: Model | None = None) -> Model:
    """The model that the settings name, or the one that is loaded already where it is the very same.

    Raises:
        BundleError: a bundle that cannot be used, or that has no face finder.
        RuntimeMissingError: no TFLite runtime.
    """
    bundle = open_bundle(Path(settings.bundle) if settings.bundle else default_bundle_path())
    if loaded is not None and loaded.identity == (bundle.sha256, settings.threads):
        return loaded
    return _load(bundle, settings.threads)


def _load(bundle: Bundle, threads: int) -> Model:
    from maskwatch.pipeline import load_pipeline

    manifest = bundle.manifest
    if manifest.finder is None:
        raise BundleError(f"{bundle.path} holds no face finder: `run` needs one; `classify` does without")
    return Model(load_pipeline(bundle, threads), (bundle.sha256, threads), f"{manifest.name} {manifest.version}")


@dataclass(frozen=True, slots=True)
class Parts:
    """Where camera, lights and networks come from; tests put stand-ins here."""

    camera: Callable[[CameraSettings], Camera] = make_camera
    outputs: Callable[[IndicatorSettings], Outputs] = make_outputs
    model: Callable[[ModelSettings, Model | None], Model] = load_model


class Door:
    """From a frame to a verdict on the lights. One thread uses it; `close` leaves the lights off, always."""

    def __init__(self, settings: Settings, parts: Parts, local_time: Callable[[], datetime.time]) -> None:
        self.settings = settings
        self._model: Model | None = None
        self._parts = parts
        self._local_time = local_time
        self._tracker = Tracker(settings.tracker)
        self._alert = Alert(settings.alert)
        self._darkness = Darkness()
        self._motion = Motion()
        self._idle = Idle(settings.idle)
        self._player: Player | None = None
        self._verdict: Verdict | None = None

    @property
    def model(self) -> Model:
        """The networks in use, once the door is open."""
        assert self._model is not None, "the door is not open"
        return self._model

    def open(self, model: Model) -> None:
        """Claim the lights, which stay dark until the first verdict. Raises IndicatorError where they cannot be had."""
        self._model = model
        self._player = self._lit(self.settings.indicator)

    @property
    def resting(self) -> bool:
        """Whether the networks rest, because nothing goes on."""
        return self._idle.resting

    def wants(self, frame: Frame) -> bool:
        """Whether a live camera's frame is to be judged; where not, the lights stay as they are.

        Raises IndicatorError where the lights have failed.
        """
        if self._idle.wants(frame.captured_s, self._idle.possible and self._motion.look(frame)):
            return True
        self.check()
        return False

    def faces(self, frame: Frame) -> list[Face]:
        """The faces in a frame that are near enough to count. Raises what the networks raise."""
        smallest_px = self.settings.model.min_face_height_px
        return [face for face in self.model.eyes.faces(frame) if face.box.height >= smallest_px]

    def see(self, frame: Frame, faces: Sequence[Face]) -> Verdict:
        """Judge one frame by its faces, and show it. Raises IndicatorError where the lights have failed."""
        people = self._tracker.update(faces, frame.captured_s)
        verdict = self._alert.update(people, frame.captured_s, self._local_time(), frame.index)
        self._idle.judged(verdict)
        return self._show(replace(verdict, dark=self._darkness.update(frame)))

    def go_blind(self, now_s: float) -> Verdict:
        """Show that there is no camera; `now_s` is on the frames' clock. Raises as `see` does."""
        self._darkness, self._motion = Darkness(), Motion()
        verdict = self._alert.camera_lost(now_s, self._local_time())
        self._idle.judged(verdict)
        return self._show(verdict)

    def check(self) -> None:
        """Raise the IndicatorError of lights that have failed since the last verdict, should verdicts stop coming."""
        if self._verdict is not None:
            self._show(self._verdict)

    def relight(self, wanted: IndicatorSettings) -> bool:
        """Change to other lights, dark in between, which go on with the last verdict; True where that was done.

        Where they cannot be had, says so in the log and goes on with the old ones. Raises IndicatorError where these
        are gone too.
        """
        if wanted == self.settings.indicator:
            return True
        self.close()
        changed = True
        try:
            self._player = self._lit(wanted)
        except IndicatorError as error:
            logger.error("%s; the old settings stay in force", error)
            changed = False
            self._player = self._lit(self.settings.indicator)
        self.check()
        return changed

    def adopt(self, settings: Settings, model: Model) -> None:
        """Go on with these settings, whose lights `relight` has brought already. Nothing here can fail."""
        old, self.settings = self.settings, settings
        if model is not self.model or (settings.tracker, settings.camera) != (old.tracker, old.camera):
            self._tracker = Tracker(settings.tracker)
        if settings.alert != old.alert:
            self._alert = Alert(settings.alert)
        if settings.camera != old.camera:
            self._darkness, self._motion = Darkness(), Motion()
        self._idle = Idle(settings.idle)  # awake: what is new shall show itself
        self._model = model

    def close(self) -> None:
        """Switch the lights off; again is harmless. Raises IndicatorError where that fails."""
        if self._player is not None:
            self._player.close()

    def _lit(self, settings: IndicatorSettings) -> Player:
        player = Player(self._parts.outputs(settings))
        player.start()
        return player

    def _show(self, verdict: Verdict) -> Verdict:
        assert self._player is not None, "the door is not open"
        self._player.show(verdict)
        self._verdict = verdict
        return verdict
