"""Average precision, against cases worked by hand and a naive matcher that walks over the whole set."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.types import Box
from maskwatch_train.average_precision import (
    HEIGHT_BANDS_PX,
    PictureBoxes,
    average_precision,
    average_precision_table,
    iou_matrix,
)


def picture(true=(), found=()):
    """`true`: (box, label); `found`: (box, score, label)."""
    return PictureBoxes(
        np.array([box for box, _ in true], float).reshape(-1, 4),
        np.array([label for _, label in true], np.int64),
        np.array([box for box, _, _ in found], float).reshape(-1, 4),
        np.array([score for _, score, _ in found], float),
        np.array([label for _, _, label in found], np.int64),
    )


def tall(height, x=0):
    return (x, 0, x + height, height)


A, B, C = (0, 0, 40, 40), (100, 0, 140, 40), (200, 0, 240, 40)
NOWHERE = (300, 300, 340, 340)


def test_right_wrong_right_by_hand():
    # Precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3: area 1/3 · 1 + 1/3 · 2/3.
    found = average_precision(
        [
            picture([(A, 1), (B, 1)], [(A, 0.9, 1), (B, 0.7, 1)]),
            picture([(C, 0)], [(NOWHERE, 0.8, 0)]),
        ]
    )
    assert found.value == pytest.approx(5 / 9)
    assert found.faces == 3
    assert found.curve.precision == pytest.approx([1, 1 / 2, 2 / 3])
    assert found.curve.recall == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    assert found.curve.threshold == pytest.approx([0.9, 0.8, 0.7])


def test_the_envelope_lifts_a_dip():
    # Wrong, right, right: precision 0, 1/2, 2/3; the envelope is 2/3 all along.
    found = average_precision([picture([(A, 1), (B, 1)], [(NOWHERE, 0.9, 1), (A, 0.8, 1), (B, 0.7, 1)])])
    assert found.value == pytest.approx(2 / 3)


def test_a_second_detection_of_one_face_is_wrong():
    twice = picture([(A, 1), (B, 1)], [(A, 0.9, 1), (A, 0.8, 1), (B, 0.7, 1)])
    assert average_precision([twice]).value == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)


def test_the_wrong_label_is_wrong_for_both_classes_but_a_face_all_the_same():
    swapped = [picture([(A, 1), (B, 0)], [(A, 0.9, 0), (B, 0.8, 0)])]
    assert average_precision(swapped).value == 1
    assert average_precision(swapped, label=1).value == 0
    assert average_precision(swapped, label=0).value == pytest.approx(1 / 2)


def test_a_face_below_the_band_is_neither_missed_nor_found():
    low_and_high = picture([(tall(19), 1), (tall(20, 100), 1)], [(tall(19), 0.9, 1), (tall(20, 100), 0.8, 1)])
    found = average_precision([low_and_high], smallest_height_px=20)
    assert (found.value, found.faces) == (1, 1)
    assert len(found.curve.recall) == 1
    assert average_precision([picture([(tall(19), 1)])], smallest_height_px=20).faces == 0


def test_an_unmatched_detection_below_the_band_is_ignored_and_one_inside_is_wrong():
    def value(height):
        found = [(tall(height, 500), 0.95, 1), (tall(40), 0.9, 1)]
        return average_precision([picture([(tall(40), 1)], found)], smallest_height_px=32).value

    assert value(31.9) == 1
    assert value(32) == pytest.approx(1 / 2)


def test_a_low_detection_of_a_face_inside_the_band_counts():
    shorter = picture([((0, 0, 40, 40), 1)], [((0, 0, 40, 30), 0.9, 1)])
    assert average_precision([shorter], smallest_height_px=32).value == 1


def test_a_face_that_counts_is_preferred_to_an_ignored_one_that_overlaps_more():
    # COCO's order: the detection lies better on the low face, but the tall one still needs it.
    overlapping = picture([((0, 0, 40, 31), 1), ((0, 0, 40, 40), 1)], [((0, 0, 40, 33), 0.9, 1)])
    assert average_precision([overlapping], smallest_height_px=32).value == 1


def test_a_face_of_unknown_label_counts_as_face_only():
    unknown = [picture([(A, -1), (B, 1)], [(A, 0.9, 1), (B, 0.8, 1)])]
    assert average_precision(unknown).faces == 2
    masked = average_precision(unknown, label=1)
    assert (masked.value, masked.faces) == (1, 1)


@pytest.mark.parametrize(("width", "value"), [(20, 1), (19.9, 0)])
def test_iou_of_exactly_one_half_is_a_match(width, value):
    assert average_precision([picture([(A, 1)], [((0, 0, width, 40), 0.9, 1)])]).value == value


def test_nothing_to_find_has_no_average_precision():
    assert math.isnan(average_precision([picture(found=[(A, 0.9, 1)])]).value)
    assert math.isnan(average_precision([]).value)
    assert average_precision([picture([(A, 1)])]).value == 0


def test_the_table_holds_every_target_and_band():
    table = average_precision_table([picture([(A, 1), (B, 0)], [(A, 0.9, 1)])])
    assert {target: tuple(bands) for target, bands in table.items()} == dict.fromkeys(
        ("face", "masked", "unmasked"), HEIGHT_BANDS_PX
    )
    assert table["masked"][32].value == 1
    assert table["unmasked"][32].value == 0
    assert math.isnan(table["face"][48].value)


# Boxes on a coarse grid overlap, tie and straddle the bands often.
edges = st.integers(0, 6).map(lambda n: n * 8.0)
boxes = st.tuples(
    edges, edges, st.sampled_from([16.0, 24.0, 32.0, 40.0]), st.sampled_from([16.0, 24.0, 32.0, 40.0])
).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
true_faces = st.lists(st.tuples(boxes, st.integers(-1, 1)), max_size=5)
sets = st.lists(
    st.tuples(true_faces, st.lists(st.tuples(boxes, st.integers(0, 1)), max_size=8)), min_size=1, max_size=4
).flatmap(
    # Scores all differ: among equals, the order of matching is a convention.
    lambda pictures: st.permutations(range(sum(len(found) for _, found in pictures))).map(
        lambda ranks: with_scores(pictures, ranks)
    )
)


def with_scores(pictures, ranks):
    ranks = iter(ranks)
    return [(true, [(box, (1 + next(ranks)) / 64, label) for box, label in found]) for true, found in pictures]


def naive(pictures, label, smallest_px):
    """Walks down the whole set's ranking, then sums precision over each face's step of recall."""
    found = sorted(
        (
            (score, index, Box(*box))
            for index, (_, f) in enumerate(pictures)
            for box, score, said in f
            if label in (None, said)
        ),
        key=lambda row: -row[0],
    )
    truths = [[(Box(*box), t) for box, t in true if label is None or t in (label, -1)] for true, _ in pictures]
    taken, verdicts = set(), []

    def ignored(box, t):
        return box.height < smallest_px or (label is not None and t == -1)

    for _, index, box in found:
        free = [
            (ignored(*truth), -box.iou(truth[0]), place)
            for place, truth in enumerate(truths[index])
            if (index, place) not in taken and box.iou(truth[0]) >= 0.5
        ]
        if free:
            skip, _, place = min(free)
            taken.add((index, place))
            if not skip:
                verdicts.append(True)
        elif box.height >= smallest_px:
            verdicts.append(False)
    faces = sum(not ignored(*truth) for true in truths for truth in true)
    if not faces:
        return math.nan
    precisions = [sum(verdicts[: n + 1]) / (n + 1) for n in range(len(verdicts))]
    return sum(max(precisions[n:]) for n, right in enumerate(verdicts) if right) / faces


@given(sets, st.sampled_from([None, 0, 1]), st.sampled_from(HEIGHT_BANDS_PX))
def test_agrees_with_the_naive_definition(pictures, label, smallest_px):
    arrays = [picture(true, found) for true, found in pictures]
    value = average_precision(arrays, label, smallest_px).value
    assert value == pytest.approx(naive(pictures, label, smallest_px), nan_ok=True)


@given(sets, st.randoms())
def test_the_order_of_the_pictures_does_not_matter(pictures, random):
    arrays = [picture(true, found) for true, found in pictures]
    before = average_precision(arrays).value
    random.shuffle(arrays)
    assert average_precision(arrays).value == pytest.approx(before, nan_ok=True)


@given(st.lists(boxes, max_size=5), st.lists(boxes, max_size=5))
def test_iou_matrix_is_the_boxes_own_iou(some, others):
    matrix = iou_matrix(np.array(some, float).reshape(-1, 4), np.array(others, float).reshape(-1, 4))
    assert matrix.shape == (len(some), len(others))
    assert matrix.tolist() == [[Box(*a).iou(Box(*b)) for b in others] for a in some]
