"""The first stage: boxes of all faces in a frame, masked or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maskwatch.errors import BundleError
from maskwatch.interpreter import Network
from maskwatch.manifest import FinderSpec
from maskwatch.preprocess import letterbox
from maskwatch.types import Box, Frame

Floats = npt.NDArray[np.float32]

MOST_CANDIDATES = 400
"""Cells that suppression looks at, best first: more than any frame has faces, few enough to bound its time."""


VOTING_OVERLAP, VOTING_SHARE = 0.7, 0.5
"""Which boxes have a say in where a face is: those that overlap its best one by this much and score at least this share
of what it scores."""

LOG_DISTANCE_LIMIT = 6.0
"""Log distances count up to ± this much, in training as here: e^6, some 400 cells, spans any input."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One face found: its box in pixels of the frame's high-resolution image, and the finder's confidence, 0 to 1."""

    box: Box
    score: float


def cell_grid(height_px: int, width_px: int, strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Centres N×2 (x, y) in input pixels and strides N of a finder's cells, in the order of its outputs."""
    centres, sizes = [], []
    for stride in strides:
        ys, xs = np.mgrid[0 : height_px // stride, 0 : width_px // stride]
        centres.append((np.stack([xs, ys], axis=-1).reshape(-1, 2) + 0.5) * stride)
        sizes.append(np.full(len(centres[-1]), stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(sizes).astype(np.float32)


def suppress(boxes: Floats, scores: Floats, iou_threshold: float) -> npt.NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of the boxes N×4 that stay, best score first."""
    order = np.argsort(-scores, kind="stable")
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        sides = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        shared = sides.clip(0).prod(axis=1)
        union = areas[best] + areas[rest] - shared
        order = rest[shared <= iou_threshold * union]
    return np.array(kept, np.intp)


def vote(best: Floats, score: float, boxes: Floats, scores: Floats) -> Floats:
    """The mean, weighted by score, of the boxes N×4 that nearly coincide with a best one (Gidaris & Komodakis 2015).

    A cell's edges are off by some pixels here and there; several cells see the same face, and their mean is off by
    less.
    """
    sides = (np.minimum(best[2:], boxes[:, 2:]) - np.maximum(best[:2], boxes[:, :2])).clip(0)
    shared = sides.prod(axis=1)
    union = (best[2:] - best[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - shared
    voting = (shared >= VOTING_OVERLAP * union) & (scores >= VOTING_SHARE * score)
    weights = scores[voting].clip(1e-9)  # a score may be 0, where a threshold is
    return np.average(boxes[voting], axis=0, weights=weights).astype(np.float32)


class FaceFinder:
    """Finds faces with an anchor-free network: outputs are scores 1×N×1 (logits) and boxes 1×N×4 (log distances)."""

    def __init__(self, network: Network, spec: FinderSpec) -> None:
        self.spec = spec
        self._network = network
        self._centres, self._strides = cell_grid(spec.height_px, spec.width_px, spec.strides)

    def find(self, frame: Frame, min_score: float | None = None) -> tuple[Detection, ...]:
        """All faces of a frame, best score first, clipped to the picture.

        `min_score` takes the place of the bundle's own threshold.

        Raises:
            BundleError: the network's outputs do not have the cells that the manifest promises.
        """
        threshold = self.spec.score_threshold if min_score is None else min_score
        looked_at = frame.image if frame.lores is None else frame.lores
        picture, mapping = letterbox(looked_at, self.spec.height_px, self.spec.width_px)
        logits, log_distances = self._heads(self._network(picture[None]))
        scores = np.exp(-np.logaddexp(np.float32(0), -logits / np.float32(self.spec.temperature)))  # sigmoid
        likely = np.flatnonzero(scores >= threshold * VOTING_SHARE)
        if likely.size > MOST_CANDIDATES:
            likely = likely[np.argpartition(-scores[likely], MOST_CANDIDATES)[:MOST_CANDIDATES]]
        scores = scores[likely]
        cells = np.exp(log_distances[likely].clip(-LOG_DISTANCE_LIMIT, LOG_DISTANCE_LIMIT))
        distances = cells * self._strides[likely, None]
        centres = self._centres[likely]
        boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
        standing = np.flatnonzero(scores >= threshold)
        kept = standing[suppress(boxes[standing], scores[standing], self.spec.iou_threshold)]
        voted = np.array([vote(boxes[place], scores[place], boxes, scores) for place in kept]).reshape(-1, 4)
        to_high_resolution = np.array(
            [frame.width_px / looked_at.shape[1], frame.height_px / looked_at.shape[0]] * 2, np.float32
        )
        found = []
        for edges, score in zip(mapping.boxes_to_picture(voted) * to_high_resolution, scores[kept], strict=True):
            box = Box(*(float(edge) for edge in edges)).clipped(frame.width_px, frame.height_px)
            if min(box.width, box.height) >= 1:  # less is no face, and no box once printed
                found.append(Detection(box, float(score)))
        return tuple(found)

    def _heads(self, outputs: tuple[Floats, ...]) -> tuple[Floats, Floats]:
        """Logits N and log distances N×4: a TFLite file does not keep the order of outputs, so their shapes tell."""
        heads = {output.shape[-1]: output.reshape(-1, output.shape[-1]) for output in outputs}
        cells = len(self._centres)
        if len(outputs) != 2 or set(heads) != {1, 4} or any(len(head) != cells for head in heads.values()):
            shapes = ", ".join(str(output.shape) for output in outputs)
            raise BundleError(f"the finder's outputs are {shapes}, not {cells} scores and boxes; convert it again")
        return heads[1][:, 0], heads[4]
