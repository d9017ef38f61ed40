"""Frame in, faces out: the one way from a picture to a decision, for the daemon, `detect`, evaluation and benchmark."""

from __future__ import annotations

from dataclasses import dataclass

from maskwatch.bundle import Bundle
from maskwatch.classifier import MaskClassifier
from maskwatch.errors import BundleError
from maskwatch.finder import FaceFinder
from maskwatch.interpreter import TFLiteNetwork
from maskwatch.types import Face, Frame, Image, Label


@dataclass(frozen=True, slots=True)
class Classification:
    """The verdict on one picture. `faces` is empty where no face was found and the whole picture was classified.

    `mask` is P(mask worn properly) and `score` the confidence in the label; both 0 to 1.
    """

    label: Label
    score: float
    mask: float
    faces: tuple[Face, ...]


class Pipeline:
    """Finds the faces of a frame and classifies each. Without a finder it only classifies whole pictures."""

    def __init__(self, finder: FaceFinder | None, classifier: MaskClassifier) -> None:
        self.finder = finder
        self.classifier = classifier

    def faces(self, frame: Frame, min_score: float | None = None) -> tuple[Face, ...]:
        """All faces of a frame, the most prominent (score × area) first; `min_score` replaces the bundle's own."""
        if self.finder is None:
            return ()
        worth_a_look = self.finder.spec.score_threshold
        second_look = self.classifier.spec.second_look
        lowest = worth_a_look if second_look is None else second_look.score_threshold
        if min_score is not None:
            lowest = min_score
        found = self.finder.find(frame, min(worth_a_look, lowest))
        looks = self.classifier.faces(frame.image, [detection.box for detection in found])
        faces = [
            Face(
                detection.box,
                self.classifier.face_score(detection.score, look),
                look.mask,
                self.classifier.label(look.mask),
            )
            for detection, look in zip(found, looks, strict=True)
        ]
        return tuple(sorted((face for face in faces if face.score >= lowest), key=prominence, reverse=True))

    def classify(self, image: Image) -> Classification:
        """One verdict on a picture: its most prominent face's, or the whole picture's where no face is found."""
        faces = self.faces(Frame(image, captured_s=0.0))
        mask = faces[0].mask if faces else self.classifier.picture(image)
        return Classification(self.classifier.label(mask), self.classifier.confidence(mask), mask, faces)


def prominence(face: Face) -> float:
    """What makes a face the picture's subject: its area, weighted by how surely it is a face."""
    return face.score * face.box.area


def load_pipeline(bundle: Bundle, threads: int = 1) -> Pipeline:
    """The pipeline of a bundle's two networks, on this machine's TFLite runtime.

    Raises:
        BundleError: a network that the runtime cannot load, or of another input than the manifest says.
        RuntimeMissingError: no TFLite runtime, or one without XNNPACK.
    """
    manifest = bundle.manifest
    finder = None
    if manifest.finder is not None:
        spec = manifest.finder
        finder = FaceFinder(_network(bundle, spec.file, spec.height_px, spec.width_px, threads), spec)
    size_px = manifest.classifier.size_px
    network = _network(bundle, manifest.classifier.file, size_px, size_px, threads)
    return Pipeline(finder, MaskClassifier(network, manifest.classifier))


def _network(bundle: Bundle, file: str, height_px: int, width_px: int, threads: int) -> TFLiteNetwork:
    try:
        network = TFLiteNetwork(bundle.member(file), threads)
    except BundleError as error:
        raise BundleError(f"{bundle.path}: {file}: {error}") from error
    _, height, width, _ = network.input_shape
    if (height, width) != (height_px, width_px):
        raise BundleError(
            f"{bundle.path}: {file} takes {width}×{height} pixels, not the manifest's {width_px}×{height_px}; "
            "convert the network again"
        )
    return network
