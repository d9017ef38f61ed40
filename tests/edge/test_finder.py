"""The finder against networks made by hand, whose faces are known, and against a naive suppression."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.errors import BundleError
from maskwatch.finder import LOG_DISTANCE_LIMIT, MOST_CANDIDATES, FaceFinder, cell_grid, suppress
from maskwatch.manifest import FinderSpec
from maskwatch.types import Box, Frame

SPEC = FinderSpec("finder.tflite", 64, 96, (8, 16, 32), 1.0, 0.5, 0.5)
CENTRES, STRIDES = cell_grid(SPEC.height_px, SPEC.width_px, SPEC.strides)
Floats = npt.NDArray[np.float32]


@dataclass
class StubNetwork:
    """Gives the outputs it was made with, and keeps the batch it was asked about."""

    outputs: tuple[Floats, ...]
    asked: list[npt.NDArray[np.uint8]] = field(default_factory=list)

    def __call__(self, batch: npt.NDArray[np.uint8]) -> tuple[Floats, ...]:
        self.asked.append(batch)
        return self.outputs


def network(*faces: tuple[int, Box, float], order: int = 1) -> StubNetwork:
    """A network that sees each (cell, box in input pixels, logit), and nothing elsewhere."""
    logits = np.full((1, len(CENTRES), 1), -20, np.float32)
    boxes = np.zeros((1, len(CENTRES), 4), np.float32)
    for cell, box, logit in faces:
        x, y = CENTRES[cell]
        distances = np.array([x - box.xmin, y - box.ymin, box.xmax - x, box.ymax - y])
        boxes[0, cell] = np.log(distances / STRIDES[cell])
        logits[0, cell] = logit
    return StubNetwork((logits, boxes)[::order])


def frame(height_px: int = 64, width_px: int = 96) -> Frame:
    return Frame(np.zeros((height_px, width_px, 3), np.uint8), captured_s=0.0)


def cell_at(stride: int, row: int, column: int) -> int:
    first = int(np.flatnonzero(stride == STRIDES)[0])
    return first + row * (SPEC.width_px // stride) + column


def edges(box: Box) -> tuple[float, float, float, float]:
    return box.xmin, box.ymin, box.xmax, box.ymax


# The cells


def test_cells_lie_row_by_row_finest_stride_first() -> None:
    centres, strides = cell_grid(16, 32, (8, 16))
    expected = [(4, 4), (12, 4), (20, 4), (28, 4), (4, 12), (12, 12), (20, 12), (28, 12), (8, 8), (24, 8)]
    assert centres.tolist() == [list(centre) for centre in expected]
    assert strides.tolist() == [8] * 8 + [16] * 2
    assert centres.dtype == strides.dtype == np.float32


# Decoding


@pytest.mark.parametrize("order", [1, -1], ids=["scores first", "boxes first"])
@pytest.mark.parametrize(("stride", "row", "column"), [(8, 3, 5), (16, 2, 1), (32, 1, 2)])
def test_a_face_of_each_stride_is_where_the_network_put_it(stride: int, row: int, column: int, order: int) -> None:
    cell = cell_at(stride, row, column)
    x, y = ((column + 0.5) * stride, (row + 0.5) * stride)
    box = Box(x - 6, y - 10, x + 3, y + 7)
    (found,) = FaceFinder(network((cell, box, 1.0), order=order), SPEC).find(frame())
    assert edges(found.box) == pytest.approx(edges(box), abs=1e-3)
    assert found.score == pytest.approx(1 / (1 + math.exp(-1)))


def test_the_network_sees_the_letterboxed_frame_once() -> None:
    stub = network()
    picture = np.full((64, 48, 3), 200, np.uint8)
    assert FaceFinder(stub, SPEC).find(Frame(picture, 0.0)) == ()
    (batch,) = stub.asked
    assert batch.shape == (1, 64, 96, 3)
    assert batch.dtype == np.uint8
    assert (batch[0, :, 24:72] == 200).all()
    assert (batch[0, :, :24] != 200).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(16, 400), st.integers(16, 400))
def test_boxes_are_in_pixels_of_the_picture_whatever_its_size(height_px: int, width_px: int) -> None:
    scale = min(64 / height_px, 96 / width_px)
    left, top = (96 - width_px * scale) / 2, (64 - height_px * scale) / 2
    stub = network((cell_at(8, 4, 6), Box(46, 30, 54, 40), 3.0))
    (found,) = FaceFinder(stub, SPEC).find(frame(height_px, width_px))
    expected = Box((46 - left) / scale, (30 - top) / scale, (54 - left) / scale, (40 - top) / scale)
    clipped = expected.clipped(width_px, height_px)
    # Bars and the fitted picture are whole pixels, so that half an input pixel may go either way.
    assert edges(found.box) == pytest.approx(edges(clipped), abs=1.1 / scale + 1e-3)


def test_the_low_resolution_stream_is_looked_at_and_boxes_are_of_the_high_one() -> None:
    stub = network((cell_at(16, 1, 2), Box(30, 16, 50, 40), 2.0))
    lores = np.full((64, 96, 3), 7, np.uint8)
    both = Frame(np.zeros((640, 1440, 3), np.uint8), captured_s=0.0, lores=lores)  # other pixels than square ones
    (found,) = FaceFinder(stub, SPEC).find(both)
    assert (stub.asked[0] == 7).all()
    assert edges(found.box) == pytest.approx((450, 160, 750, 400), abs=0.05)


def test_boxes_are_clipped_to_the_picture_and_dropped_outside_it() -> None:
    over_the_corner = (cell_at(8, 0, 0), Box(-30, -30, 10, 12), 2.0)
    stub = network(over_the_corner)
    (found,) = FaceFinder(stub, SPEC).find(frame())
    assert edges(found.box) == pytest.approx((0, 0, 10, 12), abs=1e-3)
    in_the_bar = (cell_at(8, 3, 0), Box(0, 24, 8, 32), 2.0)  # a picture 64×64 has bars of 16 pixels
    assert FaceFinder(network(in_the_bar), SPEC).find(frame(64, 64)) == ()


def test_wild_distances_stay_finite() -> None:
    stub = network((cell_at(8, 2, 2), Box(10, 10, 30, 30), 2.0))
    stub.outputs[1][0, cell_at(8, 2, 2)] = (1e9, -1e9, 200, 100)
    with np.errstate(all="raise", under="ignore"):
        (found,) = FaceFinder(stub, SPEC).find(frame())
    assert edges(found.box) == pytest.approx((0, 20 - 8 * math.exp(-LOG_DISTANCE_LIMIT), 96, 64), abs=1e-3)


# Scores


def test_the_temperature_divides_the_logit() -> None:
    stub = network((cell_at(8, 1, 1), Box(8, 8, 18, 18), 3.0))
    (found,) = FaceFinder(stub, replace(SPEC, temperature=2.0)).find(frame())
    assert found.score == pytest.approx(1 / (1 + math.exp(-1.5)))


def test_the_threshold_is_the_bundles_unless_another_is_given() -> None:
    stub = network(
        (cell_at(8, 1, 1), Box(6, 6, 18, 18), 0.0),  # a score of exactly 0.5
        (cell_at(8, 5, 8), Box(60, 36, 76, 52), -0.5),
        (cell_at(8, 6, 2), Box(14, 44, 26, 60), 2.0),
    )
    finder = FaceFinder(stub, SPEC)
    assert [found.score for found in finder.find(frame())] == pytest.approx([0.8808, 0.5], abs=1e-4)
    assert len(finder.find(frame(), min_score=0.3)) == 3
    assert len(finder.find(frame(), min_score=0.6)) == 1
    assert finder.find(frame(), min_score=0.9) == ()


def test_extreme_logits_are_scores_and_no_warning() -> None:
    stub = network((cell_at(8, 1, 1), Box(6, 6, 18, 18), 1e6), (cell_at(8, 5, 8), Box(60, 36, 76, 52), -1e6))
    with np.errstate(all="raise", under="ignore"):
        scores = [found.score for found in FaceFinder(stub, SPEC).find(frame(), min_score=0.0)]
    assert scores[0] == 1
    assert min(scores) == 0


def test_the_best_face_comes_first_and_what_overlaps_it_is_dropped() -> None:
    stub = network(
        (cell_at(8, 1, 1), Box(2, 4, 22, 24), 1.0),
        (cell_at(8, 1, 2), Box(6, 5, 26, 25), 3.0),  # the same face, more surely
        (cell_at(8, 5, 9), Box(66, 34, 86, 54), 2.0),
    )
    found = FaceFinder(stub, SPEC).find(frame())
    assert [edges(face.box)[0] for face in found] == pytest.approx([6, 66], abs=1e-3)
    assert len(FaceFinder(stub, replace(SPEC, iou_threshold=0.9)).find(frame())) == 3


def test_boxes_that_nearly_coincide_are_averaged_by_score() -> None:
    stub = network(
        (cell_at(8, 1, 1), Box(5, 4, 25, 24), 1.0),
        (cell_at(8, 1, 2), Box(6, 5, 26, 25), 3.0),
        (cell_at(8, 2, 1), Box(0, 4, 26, 24), -2.0),  # too unsure to have a say
        (cell_at(8, 2, 2), Box(6, 12, 26, 32), 2.9),  # another place
    )
    (found,) = FaceFinder(stub, replace(SPEC, iou_threshold=0.3)).find(frame())
    low, high = (1 / (1 + math.exp(-logit)) for logit in (1.0, 3.0))
    expected = [
        (low * one + high * other) / (low + high) for one, other in zip((5, 4, 25, 24), (6, 5, 26, 25), strict=True)
    ]
    assert edges(found.box) == pytest.approx(expected, abs=1e-3)
    assert found.score == pytest.approx(high)


@settings(deadline=None)
@given(st.floats(0.05, 0.95), st.integers(0, 10_000))
def test_a_face_has_the_same_box_whatever_score_is_asked_for(min_score: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes = random.normal(0.3, 0.3, (1, len(CENTRES), 4)).astype(np.float32)
    finder = FaceFinder(StubNetwork((random.normal(0, 2, (1, len(CENTRES), 1)).astype(np.float32), boxes)), SPEC)
    found = finder.find(frame(), min_score)
    assert found == finder.find(frame(), 0.01)[: len(found)]


def test_suppression_looks_at_a_bounded_number_of_cells_the_best_ones() -> None:
    spec = FinderSpec("finder.tflite", 256, 256, (8,), 1.0, 0.5, 1.0)  # 1024 cells, and overlap drops none
    logits = np.random.default_rng(5).permutation(1024).astype(np.float32) / 1024
    stub = StubNetwork((logits.reshape(1, -1, 1), np.zeros((1, 1024, 4), np.float32)))
    found = FaceFinder(stub, spec).find(frame(256, 256))
    assert len(found) == MOST_CANDIDATES
    expected = np.sort(1 / (1 + np.exp(-logits)))[::-1][:MOST_CANDIDATES]
    assert [face.score for face in found] == pytest.approx(expected.tolist())


# Outputs that are none


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 10, 1), (1, 10, 4)],
        [(1, len(CENTRES), 1), (1, len(CENTRES) - 1, 4)],
        [(1, len(CENTRES), 1)],
        [(1, len(CENTRES), 5)],
        [(1, len(CENTRES), 4), (1, len(CENTRES), 4)],
        [(1, len(CENTRES), 1), (1, len(CENTRES), 4), (1, len(CENTRES), 4)],
        [(1, 1, len(CENTRES)), (1, 4, len(CENTRES))],
    ],
)
def test_outputs_of_another_shape_are_refused(shapes: list[tuple[int, ...]]) -> None:
    stub = StubNetwork(tuple(np.zeros(shape, np.float32) for shape in shapes))
    with pytest.raises(BundleError, match=rf"not {len(CENTRES)} scores and boxes; convert it again"):
        FaceFinder(stub, SPEC).find(frame())


# Suppression


def naive(boxes: list[Box], scores: list[float], threshold: float) -> list[int]:
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda index: -scores[index]):
        if all(boxes[index].iou(boxes[other]) <= threshold for other in kept):
            kept.append(index)
    return kept


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(*[st.integers(0, 24)] * 2, *[st.integers(1, 16)] * 2, st.sampled_from((0.1, 0.2, 0.5, 0.9))),
        max_size=25,
    ),
    st.sampled_from((0.1, 0.3, 0.45, 0.7, 1.0)),
)
def test_suppression_equals_the_naive_one(rows: list[tuple[int, int, int, int, float]], threshold: float) -> None:
    boxes = [Box(x, y, x + width, y + height) for x, y, width, height, _ in rows]
    scores = [row[-1] for row in rows]
    as_array = np.array([edges(box) for box in boxes], np.float32).reshape(-1, 4)
    kept = suppress(as_array, np.array(scores, np.float32), threshold)
    assert kept.tolist() == naive(boxes, scores, threshold)


def test_boxes_that_only_touch_stay() -> None:
    boxes = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [0, 10, 10, 20]], np.float32)
    assert suppress(boxes, np.array([0.5, 0.9, 0.7], np.float32), 0.0).tolist() == [1, 2, 0]
