"""Probabilities that a pipeline gave, beside what was true: what calibration is measured and fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from maskwatch_train.average_precision import UNKNOWN, FloatArray, IntArray, PictureBoxes, match
from maskwatch_train.metrics import calibration_bins, expected_calibration_error

CALIBRATED_FACE_PX: Final = 20
"""Calibration is measured on faces from this height up: of a smaller one, not even people are sure."""


@dataclass(frozen=True, slots=True, eq=False)
class Claims:
    """N probabilities beside the truth: three arrays of shape (N,).

    `probability` is float64, 0 to 1; `truth` int64, 1 where the claim came true and else 0; `height_px` float64, the
    true face's height, or the claimed one's where there is no true face, or the whole picture's.
    """

    probability: FloatArray
    truth: IntArray
    height_px: FloatArray

    @property
    def calibration_error(self) -> float:
        """The expected calibration error; NaN where nothing was claimed."""
        return expected_calibration_error(calibration_bins(self.truth, self.probability))

    def from_height(self, height_px: float) -> Claims:
        """Those of at least this height."""
        tall = self.height_px >= height_px
        return Claims(self.probability[tall], self.truth[tall], self.height_px[tall])

    def joined(self, other: Claims) -> Claims:
        """These and then the other ones."""
        return Claims(
            np.concatenate([self.probability, other.probability]),
            np.concatenate([self.truth, other.truth]),
            np.concatenate([self.height_px, other.height_px]),
        )


NOTHING: Final = Claims(np.empty(0), np.empty(0, np.int64), np.empty(0))


def matched(picture: PictureBoxes) -> tuple[IntArray, FloatArray]:
    """The true face of each detection (−1: none) and its height in pixels, or the detection's own: two arrays (N,).

    Faces under CALIBRATED_FACE_PX are given away last.
    """
    true_heights_px = picture.true_boxes[:, 3] - picture.true_boxes[:, 1]
    places = match(picture.boxes, picture.scores, picture.true_boxes, true_heights_px < CALIBRATED_FACE_PX)
    # Nothing matched reads the appended last one, which is replaced.
    known_px = np.append(true_heights_px, 0.0)[places]
    return places, np.where(places >= 0, known_px, picture.boxes[:, 3] - picture.boxes[:, 1])


def scene_claims(pictures: Sequence[PictureBoxes], masks: Sequence[FloatArray]) -> tuple[Claims, Claims]:
    """What a pipeline claimed in pictures with known faces: P(mask) of labelled faces, and how surely each is one.

    `masks` holds P(mask) of each picture's detections, shape (N,). A score's claim is true where the detection is
    matched to a face. As in average precision at this height, scores are left out where the detection is matched to a
    face under CALIBRATED_FACE_PX, or to none and is lower itself. P(mask) is there at every height.
    """
    faces, scores = NOTHING, NOTHING
    for picture, mask in zip(pictures, masks, strict=True):
        places, heights_px = matched(picture)
        labels = np.append(picture.true_labels, UNKNOWN)[places]  # nothing matched reads the appended last one
        known = labels != UNKNOWN
        faces = faces.joined(Claims(mask[known], labels[known], heights_px[known]))
        every = Claims(picture.scores, (places >= 0).astype(np.int64), heights_px)
        scores = scores.joined(every.from_height(CALIBRATED_FACE_PX))
    return faces, scores
