"""How long the pipeline takes for a frame, stage by stage, on one thread of this machine."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from maskwatch.alert import Alert
from maskwatch.bundle import Bundle
from maskwatch.classifier import MaskClassifier
from maskwatch.config import Settings
from maskwatch.errors import OperatorError
from maskwatch.finder import FaceFinder
from maskwatch.interpreter import Network, TFLiteNetwork
from maskwatch.pipeline import Pipeline
from maskwatch.preprocess import crop_face, letterbox
from maskwatch.tracker import Tracker
from maskwatch.types import Frame, Image

WIDTH_PX, HEIGHT_PX = 1280, 960
"""What a camera gives by default; a frame of one stream, so that the finder shrinks all of it itself."""

WARM_UP_ROUNDS = 5

WHOLE = "whole frame"
STAGES = ("letterbox", "finder network", "decode", "crop", "classifier network", "tracker and alert")
"""In the order of the data; they add up to `WHOLE`. Decoding is what is left of the pipeline's time."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Of many rounds: the median, and what one in ten stays below and above."""

    median_ms: float
    p10_ms: float
    p90_ms: float


@dataclass(frozen=True, slots=True)
class Timing:
    """`spreads` holds `WHOLE` and each of `STAGES`; `faces` is how many the frame had."""

    spreads: dict[str, Spread]
    faces: int
    rounds: int


class TimedNetwork:
    """A network that adds up the seconds spent in it."""

    def __init__(self, network: Network, clock: Callable[[], float]) -> None:
        self.spent_s = 0.0
        self._network = network
        self._clock = clock

    def __call__(self, batch: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], ...]:
        """Run the network."""
        began_s = self._clock()
        outputs = self._network(batch)
        self.spent_s += self._clock() - began_s
        return outputs


def camera_frame(picture: Image) -> Frame:
    """A picture as a camera would give it: `HEIGHT_PX`×`WIDTH_PX`, aspect ratio kept."""
    return Frame(letterbox(picture, HEIGHT_PX, WIDTH_PX)[0], captured_s=0.0)


def time_pipeline(bundle: Bundle, frame: Frame, rounds: int, clock: Callable[[], float] = time.perf_counter) -> Timing:
    """Time the bundle's networks on a frame: all stages in every round, so that a busy machine troubles all alike.

    Raises:
        OperatorError: the bundle has no face finder.
        BundleError, RuntimeMissingError: as `load_pipeline` does.
    """
    manifest = bundle.manifest
    if manifest.finder is None:
        raise OperatorError(f"{bundle.path} holds no face finder: `bench` times the whole pipeline")
    finder_network = TimedNetwork(TFLiteNetwork(bundle.member(manifest.finder.file)), clock)
    classifier_network = TimedNetwork(TFLiteNetwork(bundle.member(manifest.classifier.file)), clock)
    pipeline = Pipeline(
        FaceFinder(finder_network, manifest.finder), MaskClassifier(classifier_network, manifest.classifier)
    )
    settings = Settings()
    tracker, alert = Tracker(settings.tracker), Alert(settings.alert)
    finder_spec, classifier_spec = manifest.finder, manifest.classifier
    taken_s: dict[str, list[float]] = {name: [] for name in (WHOLE, *STAGES)}
    faces = 0
    with _one_thread():
        for index in range(-WARM_UP_ROUNDS, rounds):
            captured_s = index / settings.camera.frames_per_second
            finder_network.spent_s = classifier_network.spent_s = 0.0
            began_s = clock()
            found = pipeline.faces(frame)
            found_s = clock()
            alert.update(tracker.update(found, captured_s), captured_s, datetime.time(12))
            judged_s = clock()
            letterbox(frame.image, finder_spec.height_px, finder_spec.width_px)
            boxed_s = clock()
            for face in found:
                crop_face(frame.image, face.box, classifier_spec.size_px, classifier_spec.margin_ratio)
            cropped_s = clock()
            if index < 0:
                continue
            apart_s = (boxed_s - judged_s, finder_network.spent_s, cropped_s - boxed_s, classifier_network.spent_s)
            boxing_s, finding_s, cropping_s, classifying_s = apart_s
            decoding_s = max(0.0, found_s - began_s - sum(apart_s))
            stages_s = (boxing_s, finding_s, decoding_s, cropping_s, classifying_s, judged_s - found_s)
            for name, seconds in zip((WHOLE, *STAGES), (judged_s - began_s, *stages_s), strict=True):
                taken_s[name].append(seconds)
            faces = len(found)
    return Timing({name: spread(seconds) for name, seconds in taken_s.items()}, faces, rounds)


def spread(seconds: list[float]) -> Spread:
    """The spread of some durations, in milliseconds."""
    p10_s, median_s, p90_s = np.percentile(seconds, (10, 50, 90))
    return Spread(float(median_s) * 1000, float(p10_s) * 1000, float(p90_s) * 1000)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep OpenCV to one thread, as the networks are."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
