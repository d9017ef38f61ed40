"""The second stage: P(mask worn properly) of one face, or of a whole picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from maskwatch.errors import BundleError
from maskwatch.interpreter import Network
from maskwatch.manifest import ClassifierSpec
from maskwatch.preprocess import crop_face, whole_picture
from maskwatch.types import Box, Image, Label


class MaskClassifier:
    """Classifies crops with a network that gives one logit, or a probability a label.

    `faces` and `picture` raise BundleError where its output is neither.
    """

    def __init__(self, network: Network, spec: ClassifierSpec) -> None:
        self.spec = spec
        self._network = network

    def faces(self, image: Image, boxes: Sequence[Box]) -> tuple[float, ...]:
        """P(mask worn properly) of each face, 0 to 1, in the order of the boxes (pixels of the image)."""
        if not boxes:
            return ()
        crops = [crop_face(image, box, self.spec.size_px, self.spec.margin_ratio) for box in boxes]
        return self._probabilities(np.stack(crops))

    def picture(self, image: Image) -> float:
        """P(mask worn properly) of a whole picture, 0 to 1, as the original method classifies it."""
        return self._probabilities(whole_picture(image, self.spec.size_px)[None])[0]

    def label(self, mask: float) -> Label:
        """The word for a probability: at the bundle's threshold and above, the mask counts as worn."""
        return Label.WITH_MASK if mask >= self.spec.threshold else Label.WITHOUT_MASK

    def confidence(self, mask: float) -> float:
        """How sure the label of this probability is, 0 to 1."""
        return mask if self.label(mask) is Label.WITH_MASK else 1 - mask

    def _probabilities(self, batch: Image) -> tuple[float, ...]:
        (outputs,) = self._network(batch)
        wanted = 1 if self.spec.output == "logit" else len(self.spec.labels)
        if outputs.shape != (len(batch), wanted):
            raise BundleError(
                f"the classifier's output is {outputs.shape}, not {(len(batch), wanted)}; convert the network again"
            )
        if not np.isfinite(outputs).all():
            raise BundleError("the classifier's output is not a finite number; convert the network again")
        if self.spec.output == "logit":
            return tuple(_sigmoid(float(logit) / self.spec.temperature) for logit in outputs[:, 0])
        masked = self.spec.labels.index(Label.WITH_MASK.value)
        total = outputs.sum(axis=1)  # int8 probabilities need not add up to exactly one
        return tuple(float(row[masked] / max(float(whole), 1e-6)) for row, whole in zip(outputs, total, strict=True))


def _sigmoid(logit: float) -> float:
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    grown = math.exp(logit)
    return grown / (1 + grown)
