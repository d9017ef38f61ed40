from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.types import Box, Face, Frame, Label, Situation, Verdict

PIXELS = st.floats(-5000, 5000, width=32).map(lambda edge: round(edge, 2))
BOXES = st.builds(Box, PIXELS, PIXELS, PIXELS, PIXELS)


@st.composite
def upright_boxes(draw: st.DrawFn) -> Box:
    """Boxes of at least a hundredth of a pixel a side."""
    xmin, ymin = draw(PIXELS), draw(PIXELS)
    sides = st.floats(0.01, 3000)
    return Box(xmin, ymin, xmin + draw(sides), ymin + draw(sides))


def test_a_box_knows_its_sides_area_and_centre() -> None:
    box = Box(10, 20, 40, 30)
    assert (box.width, box.height, box.area, box.centre) == (30, 10, 300, (25, 25))


def test_a_box_turned_inside_out_is_empty() -> None:
    assert (Box(5, 5, 1, 9).width, Box(5, 5, 9, 1).height, Box(5, 5, 1, 1).area) == (0, 0, 0)


@pytest.mark.parametrize(
    ("other", "iou"),
    [
        (Box(0, 0, 10, 10), 1.0),
        (Box(5, 0, 15, 10), 50 / 150),
        (Box(2, 2, 8, 8), 36 / 100),
        (Box(10, 0, 20, 10), 0.0),  # they touch: max edges are exclusive
        (Box(20, 20, 30, 30), 0.0),
        (Box(5, 5, 5, 5), 0.0),
    ],
)
def test_iou(other: Box, iou: float) -> None:
    assert Box(0, 0, 10, 10).iou(other) == pytest.approx(iou)


@settings(deadline=None)
@given(upright_boxes(), upright_boxes())
def test_iou_is_a_symmetric_ratio(first: Box, second: Box) -> None:
    assert 0 <= first.iou(second) <= 1 + 1e-9
    assert first.iou(second) == pytest.approx(second.iou(first))
    assert first.iou(first) == pytest.approx(1)


@settings(deadline=None)
@given(BOXES, st.integers(1, 4000), st.integers(1, 4000))
def test_a_clipped_box_lies_inside_and_stays_so(box: Box, width_px: int, height_px: int) -> None:
    inside = box.clipped(width_px, height_px)
    assert 0 <= inside.xmin <= width_px
    assert 0 <= inside.xmax <= width_px
    assert 0 <= inside.ymin <= height_px
    assert 0 <= inside.ymax <= height_px
    assert inside.clipped(width_px, height_px) == inside
    assert inside.area <= box.area


def test_a_box_inside_is_not_changed_by_clipping() -> None:
    assert Box(1, 2, 3, 4).clipped(10, 10) == Box(1, 2, 3, 4)


def test_a_frame_is_as_large_as_its_high_resolution_image() -> None:
    frame = Frame(np.zeros((30, 40, 3), np.uint8), captured_s=1.0, lores=np.zeros((15, 20, 3), np.uint8))
    assert (frame.width_px, frame.height_px) == (40, 30)


def test_values_cannot_be_changed() -> None:
    face = Face(Box(0, 0, 1, 1), 0.5, 0.5, Label.WITH_MASK)
    verdict = Verdict(Situation.NOBODY, False, (), 0.0)
    for value, name in ((face.box, "xmin"), (face, "mask"), (verdict, "alarm")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, 1)


def test_labels_are_the_command_lines_words() -> None:
    assert {label.value for label in Label} == {"with_mask", "without_mask"}
