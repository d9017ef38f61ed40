"""How long the pipeline takes for a frame, stage by stage, on one thread; its networks beside another one."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from maskwatch.alert import Alert
from maskwatch.bundle import Bundle
from maskwatch.classifier import MaskClassifier
from maskwatch.complexity import multiply_accumulates
from maskwatch.config import Settings
from maskwatch.errors import BundleError, OperatorError, RuntimeMissingError
from maskwatch.finder import FaceFinder
from maskwatch.interpreter import Network, PictureModel, TFLiteNetwork
from maskwatch.manifest import FinderSpec
from maskwatch.pipeline import Pipeline
from maskwatch.preprocess import crop_face, letterbox, resize, whole_picture
from maskwatch.tracker import Tracker
from maskwatch.types import Frame, Image

WIDTH_PX, HEIGHT_PX = 1280, 960
"""What a camera gives by default; a frame of one stream, so that the finder shrinks all of it itself."""

WARM_UP_ROUNDS = 5

WHOLE = "whole frame"
STAGES = ("letterbox", "finder network", "decode", "crop", "classifier network", "tracker and alert")
"""In the order of the data; they add up to `WHOLE`. Decoding is what is left of the pipeline's time."""

MAX_MODEL_BYTES = 256 * 1024 * 1024
"""More than any network that is meant for a small device; it bounds the memory that opening one takes."""


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


@dataclass(frozen=True, slots=True)
class Cost:
    """What one network is: the bytes of its TFLite file, and the multiply-accumulates of one pass."""

    file_bytes: int
    multiply_accumulates: int


@dataclass(frozen=True, slots=True)
class OtherModel:
    """A TFLite file that is no part of a bundle, ready to be timed."""

    path: Path
    model: PictureModel
    cost: Cost


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of many rounds' ratios: the median, and what one in ten stays below and above."""

    median_ratio: float
    p10_ratio: float
    p90_ratio: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Each network once a round: `both` is finder and classifier, `ratio` is `both` / `other`, of each round."""

    both: Spread
    finder: Spread
    classifier: Spread
    other: Spread
    ratio: Ratio


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
    finder_spec, classifier_spec = _finder_spec(bundle), bundle.manifest.classifier
    finder_network = TimedNetwork(TFLiteNetwork(bundle.member(finder_spec.file)), clock)
    classifier_network = TimedNetwork(TFLiteNetwork(bundle.member(classifier_spec.file)), clock)
    pipeline = Pipeline(FaceFinder(finder_network, finder_spec), MaskClassifier(classifier_network, classifier_spec))
    settings = Settings()
    tracker, alert = Tracker(settings.tracker), Alert(settings.alert)
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


def open_model(path: Path) -> OtherModel:
    """Read any TFLite file that takes one picture of a fixed size; its outputs may be anything.

    Raises BundleError, with the file and the reason, for other files, and RuntimeMissingError as `PictureModel` does.
    """
    try:
        if not path.is_file() and path.exists():  # a pipe or a device could go on for ever
            raise BundleError("not a file")
        with path.open("rb") as file:
            data = file.read(MAX_MODEL_BYTES + 1)
        if len(data) > MAX_MODEL_BYTES:
            raise BundleError(f"larger than {MAX_MODEL_BYTES // 1024**2} MiB, too large to be compared")
        model = PictureModel(data)
        model.set_picture(np.zeros(model.input_shape[1:], np.uint8))
        model.invoke()  # a model that fails shall do so here, before anything is timed
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    except (BundleError, RuntimeMissingError) as error:
        raise type(error)(f"{path}: {error}") from error
    return OtherModel(path, model, _cost(data, model))


def network_costs(bundle: Bundle) -> dict[str, Cost]:
    """Finder and classifier by their files' names, in this order. Raises as `time_pipeline` does."""
    files = (_finder_spec(bundle).file, bundle.manifest.classifier.file)
    return {file: _cost(bundle.member(file), PictureModel(bundle.member(file))) for file in files}


def compare(
    bundle: Bundle, other: OtherModel, frame: Frame, rounds: int, clock: Callable[[], float] = time.perf_counter
) -> Comparison:
    """Time the bundle's networks and another one in turns, one thread each, so that a busy machine troubles both alike.

    Only the networks count, no picture's way into them: one finder pass on the frame, one classifier pass on its surest
    face (on the whole frame where it has none), one pass of the other on the frame, stretched to its size. A network of
    floats gets bytes from 0 to 255, whatever range it was trained on: its time is the same. Raises as `time_pipeline`
    does, and BundleError where the other fails on this picture.
    """
    finder_spec, classifier_spec = _finder_spec(bundle), bundle.manifest.classifier
    finder = TFLiteNetwork(bundle.member(finder_spec.file))
    found = FaceFinder(finder, finder_spec).find(frame)
    size_px, margin_ratio = classifier_spec.size_px, classifier_spec.margin_ratio
    inputs = (
        (finder, letterbox(frame.image, finder_spec.height_px, finder_spec.width_px)[0]),
        (
            TFLiteNetwork(bundle.member(classifier_spec.file)),
            crop_face(frame.image, found[0].box, size_px, margin_ratio)
            if found
            else whole_picture(frame.image, size_px),
        ),
        (other.model, resize(frame.image, *other.model.input_shape[1:3])),
    )
    taken_s = np.empty((WARM_UP_ROUNDS + rounds, len(inputs)))
    for row in taken_s:
        for column, (model, picture) in enumerate(inputs):
            model.set_picture(picture)
            began_s = clock()
            model.invoke()
            row[column] = clock() - began_s
    finder_s, classifier_s, other_s = taken_s[WARM_UP_ROUNDS:].T
    both_s = finder_s + classifier_s
    p10, median, p90 = np.percentile(both_s / other_s, (10, 50, 90))
    ratio = Ratio(float(median), float(p10), float(p90))
    return Comparison(spread(both_s), spread(finder_s), spread(classifier_s), spread(other_s), ratio)


def spread(seconds: list[float] | npt.NDArray[np.float64]) -> Spread:
    """The spread of some durations, in milliseconds."""
    p10_s, median_s, p90_s = np.percentile(seconds, (10, 50, 90))
    return Spread(float(median_s) * 1000, float(p10_s) * 1000, float(p90_s) * 1000)


def _cost(data: bytes, model: PictureModel) -> Cost:
    return Cost(len(data), multiply_accumulates(model.operators()))


def _finder_spec(bundle: Bundle) -> FinderSpec:
    spec = bundle.manifest.finder
    if spec is None:
        raise OperatorError(f"{bundle.path} holds no face finder: `bench` times the whole pipeline")
    return spec


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep OpenCV to one thread, as the networks are."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
