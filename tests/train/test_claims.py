"""Claims beside the truth: which detections count, at which height, and how far off they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from maskwatch_train.average_precision import UNKNOWN, PictureBoxes
from maskwatch_train.claims import CALIBRATED_FACE_PX, NOTHING, Claims, scene_claims

TALL, ELSEWHERE, LOW, EMPTY = (0, 0, 40, 40), (60, 0, 100, 50), (0, 60, 19, 79), (60, 60, 100, 90)
LOW_AND_EMPTY = (0, 100, 19, 119)


def picture(true, found) -> PictureBoxes:
    """From (box, label) of true faces and (box, score) of detections."""
    return PictureBoxes(
        true_boxes=np.array([box for box, _ in true], np.float64).reshape(-1, 4),
        true_labels=np.array([label for _, label in true], np.int64),
        boxes=np.array([box for box, _ in found], np.float64).reshape(-1, 4),
        scores=np.array([score for _, score in found], np.float64),
        labels=np.zeros(len(found), np.int64),
    )


def rows(claims: Claims) -> list[tuple[float, int, float]]:
    return list(zip(claims.probability.tolist(), claims.truth.tolist(), claims.height_px.tolist(), strict=True))


def test_hits_misses_and_labels_each_go_where_they_belong():
    seen = picture(
        [(TALL, 1), (ELSEWHERE, UNKNOWN), (LOW, 0)],
        [(EMPTY, 0.8), (TALL, 0.7), (ELSEWHERE, 0.6), (LOW, 0.5), (LOW_AND_EMPTY, 0.4), (TALL, 0.3)],
    )
    masks, scores = scene_claims([seen], [np.array([0.11, 0.22, 0.33, 0.44, 0.55, 0.66])])
    assert rows(masks) == [(0.22, 1, 40), (0.44, 0, 19)]
    assert rows(scores) == [(0.8, 0, 30), (0.7, 1, 40), (0.6, 1, 50), (0.3, 0, 40)]
    assert rows(masks.from_height(CALIBRATED_FACE_PX)) == [(0.22, 1, 40)]


def test_a_detection_would_rather_lie_on_a_face_that_counts():
    """The lower face overlaps it more, and yet it found the taller one."""
    seen = picture([((0, 0, 20, 19), 0), ((0, 0, 20, 22), 1)], [((0, 0, 20, 20), 0.9)])
    masks, scores = scene_claims([seen], [np.array([0.7])])
    assert rows(masks) == [(0.7, 1, 22)]
    assert rows(scores) == [(0.9, 1, 22)]


def test_pictures_without_faces_or_detections_claim_what_they_can():
    nothing, missed, invented = picture([], []), picture([(TALL, 1)], []), picture([], [(TALL, 0.9)])
    masks, scores = scene_claims([nothing, missed, invented], [np.empty(0), np.empty(0), np.array([0.5])])
    assert rows(masks) == []
    assert rows(scores) == [(0.9, 0, 40)]
    assert math.isnan(masks.calibration_error)
    assert math.isnan(NOTHING.calibration_error)


def test_the_calibration_error_is_the_gap_between_claimed_and_true():
    claims = Claims(np.array([0.9, 0.9, 0.9, 0.9, 0.1]), np.array([1, 1, 1, 0, 0]), np.full(5, 30.0))
    assert claims.calibration_error == pytest.approx((4 * 0.15 + 0.1) / 5)
