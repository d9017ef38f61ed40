"""How the face finder learns: cells are assigned to faces by task alignment, scored by overlap, boxed by GIoU.

Task-aligned assignment is from TOOD (Feng et al. 2021), generalised IoU from Rezatofighi et al. 2019. All on
`keras.ops`, so that any Keras backend runs it.
"""

from __future__ import annotations

import keras
from keras import ops
from maskwatch.finder import LOG_DISTANCE_LIMIT, cell_grid

from maskwatch_train.networks import FINDER_STRIDES

CELLS_PER_FACE = 9
"""How many cells may learn one face at the most; more only where several are exactly as good as the last."""

BOX_WEIGHT = 2.0


def _edges(boxes):
    return [boxes[..., i] for i in range(4)]


def overlaps(first, second):
    """IoU and generalised IoU of boxes that broadcast against each other (…×4)."""
    x0, y0, x1, y1 = _edges(first)
    u0, v0, u1, v1 = _edges(second)
    width = ops.maximum(ops.minimum(x1, u1) - ops.maximum(x0, u0), 0.0)
    height = ops.maximum(ops.minimum(y1, v1) - ops.maximum(y0, v0), 0.0)
    intersection = width * height
    union = (x1 - x0) * (y1 - y0) + (u1 - u0) * (v1 - v0) - intersection + 1e-6
    hull = (ops.maximum(x1, u1) - ops.minimum(x0, u0)) * (ops.maximum(y1, v1) - ops.minimum(y0, v0)) + 1e-6
    iou = intersection / union
    return iou, iou - (hull - union) / hull


def assign(scores, predicted, faces, valid, centres, strides):
    """Which face each cell learns, and how strongly.

    Takes scores B×N (probabilities), predicted boxes B×N×4, faces B×M×4 with their mask B×M, and the cell grid.
    Alignment of a cell with a face = score^0.5 × IoU^4: overlap decides, score breaks ties.
    Returns the face's index B×N and the target score B×N: 0 for background, else the alignment, scaled so that a face's
    best cell has the IoU that the face's best cell reaches.
    """
    iou, _ = overlaps(faces[:, :, None, :], predicted[:, None, :, :])
    middle = (faces[..., :2] + faces[..., 2:]) / 2
    half = (faces[..., 2:] - faces[..., :2]) / 2
    away = ops.abs(centres[None, None] - middle[:, :, None, :])
    # A cell may learn a face when its centre lies in the face, or next to it where the face is smaller than the cell.
    reach = ops.maximum(half[:, :, None, :], 0.75 * strides[None, None, :, None])
    candidate = ops.cast(ops.all(away < reach, axis=-1), "float32") * ops.cast(valid[:, :, None], "float32")
    alignment = candidate * (ops.sqrt(scores)[:, None, :] * ops.square(ops.square(iou)) + 1e-9)
    weakest = ops.top_k(alignment, CELLS_PER_FACE)[0][..., -1:]
    alignment = ops.where((alignment >= weakest) & (alignment > 0), alignment, 0.0)
    # A cell that several faces want goes to the one it overlaps most.
    owner = ops.argmax(iou * ops.cast(alignment > 0, "float32") + 1e-9 * alignment, axis=1)
    owned = ops.one_hot(owner, ops.shape(faces)[1], axis=1, dtype="float32")
    alignment = alignment * owned
    best_alignment = ops.max(alignment, axis=-1, keepdims=True)
    best_iou = ops.max(iou * ops.cast(alignment > 0, "float32"), axis=-1, keepdims=True)
    target = ops.max(alignment / (best_alignment + 1e-12) * best_iou, axis=1)
    return owner, ops.stop_gradient(target)


class FinderTrainer(keras.Model):
    """The finder with its loss, for one size of input. Targets are {"boxes": B×M×4 pixels, "valid": B×M}."""

    def __init__(self, network: keras.Model, height_px: int, width_px: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.network = network
        self._centres, self._strides = cell_grid(height_px, width_px, FINDER_STRIDES)
        self.score_loss = keras.metrics.Mean(name="score_loss")
        self.box_loss = keras.metrics.Mean(name="box_loss")

    def call(self, x, training=None):
        """Logits and log distances of every cell; see `networks.finder`."""
        return self.network(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Cross-entropy against the assigned overlap, plus 1 − GIoU of the assigned cells; both per unit of target."""
        del x, sample_weight, training
        centres, strides = ops.convert_to_tensor(self._centres), ops.convert_to_tensor(self._strides)
        logits = y_pred["scores"][..., 0]
        distances = ops.exp(ops.clip(y_pred["boxes"], -LOG_DISTANCE_LIMIT, LOG_DISTANCE_LIMIT)) * strides[None, :, None]
        predicted = ops.concatenate([centres - distances[..., :2], centres + distances[..., 2:]], axis=-1)
        scores = ops.sigmoid(logits)
        owner, target = assign(
            ops.stop_gradient(scores), ops.stop_gradient(predicted), y["boxes"], y["valid"], centres, strides
        )
        total = ops.maximum(ops.sum(target), 1.0)
        # Varifocal weights (Zhang et al. 2021): background counts less the surer the network already is of it.
        weight = ops.where(target > 0, target, 0.75 * ops.stop_gradient(scores) ** 2)
        entropy = ops.maximum(logits, 0.0) - logits * target + ops.log1p(ops.exp(-ops.abs(logits)))
        score_loss = ops.sum(weight * entropy) / total
        faces = ops.take_along_axis(y["boxes"], owner[..., None], axis=1)
        _, giou = overlaps(predicted, faces)
        box_loss = ops.sum(target * (1.0 - giou)) / total
        self.score_loss.update_state(score_loss)
        self.box_loss.update_state(box_loss)
        return score_loss + BOX_WEIGHT * box_loss
