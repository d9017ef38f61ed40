"""What masknet learns from: its mask logit and its face logit, each only where the truth is known."""

from __future__ import annotations

import keras
from keras import ops

UNKNOWN = -1
"""In place of a target: a decoy has no mask to judge, and a whole picture is neither a face nor none."""

FACE_WEIGHT = 0.5
"""Of the face logit's loss, to once for the mask logit's: the mask is what the network is for."""


class MaskAndFaceLoss(keras.losses.Loss):
    """Binary cross-entropy of B×2 logits (mask, face) against B×2 targets 1, 0 or UNKNOWN."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__(name="mask_and_face")
        self._label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """Loss of each crop, shape B."""
        known = ops.cast(y_true >= 0, y_pred.dtype)
        target = ops.cast(y_true, y_pred.dtype) * (1 - self._label_smoothing) + self._label_smoothing / 2
        loss = ops.softplus(y_pred) - target * y_pred
        return ops.sum(known * loss * ops.convert_to_tensor([1.0, FACE_WEIGHT], y_pred.dtype), axis=1)


class KnownAccuracy(keras.metrics.Mean):
    """The share of right answers of one of the two logits, over the crops whose truth is known."""

    def __init__(self, column: int, name: str) -> None:
        super().__init__(name=name)
        self._column = column

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch of B×2 targets and logits."""
        truth = y_true[:, self._column]
        right = ops.equal(y_pred[:, self._column] > 0, truth == 1)
        super().update_state(ops.cast(right, "float32"), ops.cast(truth >= 0, "float32"))
