"""The second stage: P(mask worn properly) of one face, or of a whole picture, and a second look at what is a face."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskwatch.errors import BundleError
from maskwatch.interpreter import Network
from maskwatch.manifest import ClassifierSpec
from maskwatch.preprocess import crop_face, whole_picture
from maskwatch.types import Box, Image, Label

_OUTPUTS = {"logit": 1, "mask_and_face_logits": 2, "probabilities": 2}
"""Numbers a crop, by the manifest's `output`."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the classifier sees in one crop: P(mask worn properly), 0 to 1, and the log-odds that a face is there.

    `face_logit` is 0, which says nothing, where the network does not tell.
    """

    mask: float
    face_logit: float = 0.0


class MaskClassifier:
    """Classifies crops with a network whose output is of one of the kinds of `ClassifierSpec.output`.

    `faces` and `picture` raise BundleError where it is of another.
    """

    def __init__(self, network: Network, spec: ClassifierSpec) -> None:
        self.spec = spec
        self._network = network

    def faces(self, image: Image, boxes: Sequence[Box]) -> tuple[Look, ...]:
        """A look at each face, in the order of the boxes (pixels of the image)."""
        if not boxes:
            return ()
        crops = [crop_face(image, box, self.spec.size_px, self.spec.margin_ratio) for box in boxes]
        return self._looks(np.stack(crops))

    def picture(self, image: Image) -> float:
        """P(mask worn properly) of a whole picture, 0 to 1, as the original method classifies it."""
        return self._looks(whole_picture(image, self.spec.size_px)[None])[0].mask

    def face_score(self, found: float, look: Look) -> float:
        """How surely this is a face, 0 to 1, by the finder's score and this look together."""
        if self.spec.second_look is None:
            return found
        return _sigmoid(_log_odds(found) + self.spec.second_look.weight * look.face_logit + self.spec.second_look.bias)

    def label(self, mask: float) -> Label:
        """The word for a probability: at the bundle's threshold and above, the mask counts as worn."""
        return Label.WITH_MASK if mask >= self.spec.threshold else Label.WITHOUT_MASK

    def confidence(self, mask: float) -> float:
        """How sure the label of this probability is, 0 to 1."""
        return mask if self.label(mask) is Label.WITH_MASK else 1 - mask

    def _looks(self, batch: Image) -> tuple[Look, ...]:
        (outputs,) = self._network(batch)
        wanted = (len(batch), _OUTPUTS[self.spec.output])
        if outputs.shape != wanted:
            raise BundleError(f"the classifier's output is {outputs.shape}, not {wanted}; convert the network again")
        if not np.isfinite(outputs).all():
            raise BundleError("the classifier's output is not a finite number; convert the network again")
        if self.spec.output == "probabilities":
            masked = self.spec.labels.index(Label.WITH_MASK.value)
            total = outputs.sum(axis=1)  # int8 probabilities need not add up to exactly one
            return tuple(
                Look(float(row[masked] / max(float(whole), 1e-6))) for row, whole in zip(outputs, total, strict=True)
            )
        return tuple(Look(_sigmoid(float(row[0]) / self.spec.temperature), *map(float, row[1:])) for row in outputs)


def _sigmoid(logit: float) -> float:
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    grown = math.exp(logit)
    return grown / (1 + grown)


def _log_odds(probability: float) -> float:
    """The inverse of `_sigmoid`; what float32 rounded to certainty counts as nearly certain."""
    sure = min(max(probability, 1e-7), 1 - 1e-7)
    return math.log(sure / (1 - sure))
