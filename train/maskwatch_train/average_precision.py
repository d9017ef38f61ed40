"""Average precision of boxes at IoU 0.5, by class and by the height of the true face.

Matching and ignoring follow COCO (pycocotools, `COCOeval.evaluateImg`); the area under the curve is exact, as in
Pascal VOC since 2010, where COCO samples it at 101 recalls.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from maskwatch.types import Box

from maskwatch_train.metrics import Curve

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

IOU_THRESHOLD: Final = 0.5
HEIGHT_BANDS_PX: Final = (0, 20, 32, 48)
"""Smallest height of a true face that counts, in pixels of the picture as stored; 0 is all of them."""

TARGETS: Final[dict[str, int | None]] = {"face": None, "masked": 1, "unmasked": 0}
"""What is looked for, with its label; a face of either kind has None."""

UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class PictureBoxes:
    """True and detected faces of one picture.

    Boxes are float64, shape (N, 4): xmin, ymin, xmax, ymax in pixels. Labels are int64, shape (N,): 1 masked,
    0 unmasked, and among the true ones −1 where nobody knows. Scores are float64, shape (N,).
    """

    true_boxes: FloatArray
    true_labels: IntArray
    boxes: FloatArray
    scores: FloatArray
    labels: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class AveragePrecision:
    """Area under the interpolated curve, 0 to 1, NaN where no true face counts; `faces` is how many do."""

    value: float
    faces: int
    curve: Curve


def average_precision_table(pictures: Sequence[PictureBoxes]) -> dict[str, dict[int, AveragePrecision]]:
    """Average precision by target (keys of TARGETS) and by smallest height (HEIGHT_BANDS_PX)."""
    return {
        target: {height_px: average_precision(pictures, label, height_px) for height_px in HEIGHT_BANDS_PX}
        for target, label in TARGETS.items()
    }


def average_precision(
    pictures: Sequence[PictureBoxes], label: int | None = None, smallest_height_px: float = 0
) -> AveragePrecision:
    """Average precision over all pictures together, for one label (None: faces, whatever their label).

    True faces lower than the band, or of unknown label where a label is asked for, are ignored: what matches one is
    neither right nor wrong. Unmatched detections lower than the band are ignored too.
    """
    scores, hits, faces = [np.empty(0)], [np.empty(0, bool)], 0
    for picture in pictures:
        wanted = np.ones(len(picture.boxes), bool) if label is None else picture.labels == label
        present = np.ones(len(picture.true_boxes), bool)
        ignored = _heights(picture.true_boxes) < smallest_height_px
        if label is not None:
            present = (picture.true_labels == label) | (picture.true_labels == UNKNOWN)
            ignored |= picture.true_labels == UNKNOWN
        boxes, ignored = picture.boxes[wanted], ignored[present]
        matches = match(boxes, picture.scores[wanted], picture.true_boxes[present], ignored)
        matched = matches >= 0
        counted = np.where(matched, ~np.append(ignored, False)[matches], _heights(boxes) >= smallest_height_px)
        scores.append(picture.scores[wanted][counted])
        hits.append(matched[counted])
        faces += int((~ignored).sum())
    return _under_curve(np.concatenate(scores), np.concatenate(hits), faces)


def match(boxes: FloatArray, scores: FloatArray, true_boxes: FloatArray, ignored: npt.NDArray[np.bool_]) -> IntArray:
    """The index of the true box that each detection is given, or −1.

    By descending score (equal scores: first come, first served), each detection takes the free true box that it
    overlaps most, at IOU_THRESHOLD or more; one that is `ignored` only where no other will do.
    """
    matches = np.full(len(boxes), -1, np.int64)
    if not len(true_boxes):
        return matches
    overlaps = iou_matrix(boxes, true_boxes)
    overlaps[overlaps < IOU_THRESHOLD] = -1
    preference = np.where(overlaps > 0, overlaps + np.where(ignored, 0, 2), -1)
    for index in np.argsort(-scores, kind="stable"):
        best = int(preference[index].argmax())
        if preference[index, best] > 0:
            matches[index] = best
            preference[:, best] = -1
    return matches


def iou_matrix(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """Intersection over union of N boxes with M others, shape (N, M)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    intersection = sides[:, :, 0] * sides[:, :, 1]
    union = _areas(boxes)[:, None] + _areas(others)[None, :] - intersection
    overlaps: FloatArray = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return overlaps


def edges_of(boxes: Iterable[Box]) -> FloatArray:
    """Boxes as N×4 float64: xmin, ymin, xmax, ymax."""
    return np.array([(box.xmin, box.ymin, box.xmax, box.ymax) for box in boxes], np.float64).reshape(-1, 4)


def _areas(boxes: FloatArray) -> FloatArray:
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return sides[:, 0] * sides[:, 1]


def _heights(boxes: FloatArray) -> FloatArray:
    return np.subtract(boxes[:, 3], boxes[:, 1])


def _under_curve(scores: FloatArray, hits: npt.NDArray[np.bool_], faces: int) -> AveragePrecision:
    """The area under precision over recall, each precision raised to the best one at the same recall or beyond."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(hits[order])
    precision = right / np.arange(1, len(right) + 1)
    if faces == 0:
        return AveragePrecision(math.nan, 0, Curve(np.empty(0), np.empty(0), np.empty(0)))
    recall = right / faces
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    value = float((np.diff(recall, prepend=0.0) * envelope).sum())
    return AveragePrecision(value, faces, Curve(precision, recall, scores[order]))
