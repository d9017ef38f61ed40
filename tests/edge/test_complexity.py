"""Multiply-accumulates against counts made by hand from the layers in tiny_models.py."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.complexity import multiply_accumulates
from maskwatch.interpreter import Operator, PictureModel
from tiny_models import tiny_model

CLASSIFIER = (8 * 8 * 8) * (3 * 3 * 3) + 8  # one convolution to 8×8×8 pixels, one logit of 8 means
FINDER = (3 * 4 * 6) * (3 * 3 * 3) + (3 * 4 * 1) * (3 * 3 * 6) + (3 * 4 * 4) * (3 * 3 * 6)

side = st.integers(1, 9)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("finder", FINDER),
        ("classifier_int8", CLASSIFIER),
        ("classifier_uint8", CLASSIFIER),
        ("classifier_float32", CLASSIFIER),
    ],
)
def test_a_networks_count_is_its_layers_whatever_its_numbers_are(name: str, expected: int) -> None:
    assert multiply_accumulates(PictureModel(tiny_model(name)).operators()) == expected


def test_each_kind_of_operator_counts_what_its_weights_do() -> None:
    operators = PictureModel(tiny_model("operators")).operators()
    assert [(name, multiply_accumulates([(name, *shapes)])) for name, *shapes in operators] == [
        ("DEPTHWISE_CONV_2D", (4 * 4 * 6) * (3 * 3)),
        ("CONV_2D", (4 * 4 * 4) * (3 * 3 * 3)),  # of 6 channels each output sees 3: two groups
        ("TRANSPOSE_CONV", (4 * 4 * 4) * (2 * 2 * 5)),  # every input pixel is spread over 2×2×5
        ("FULLY_CONNECTED", 64 * 7 * 5),
        ("ARG_MAX", 0),
    ]
    assert multiply_accumulates(operators) == 864 + 1_728 + 1_280 + 2_240


def test_operators_are_the_files_own_in_order_with_all_their_shapes() -> None:
    """The runtime appends its delegate, which stands for operators that it lists as well."""
    assert PictureModel(tiny_model("classifier_float32")).operators() == (
        ("MUL", ((1, 16, 16, 3), ()), ((1, 16, 16, 3),)),
        ("ADD", ((1, 16, 16, 3), ()), ((1, 16, 16, 3),)),
        ("CONV_2D", ((1, 16, 16, 3), (8, 3, 3, 3), (8,)), ((1, 8, 8, 8),)),
        ("MEAN", ((1, 8, 8, 8), (2,)), ((1, 8),)),
        ("FULLY_CONNECTED", ((1, 8), (1, 8), ()), ((1, 1),)),  # without a bias
    )


def test_nothing_that_multiplies_is_nothing_to_count() -> None:
    pooled: Operator = ("MAX_POOL_2D", ((1, 8, 8, 3),), ((1, 4, 4, 3),))
    assert multiply_accumulates([]) == multiply_accumulates([pooled]) == 0


@given(st.tuples(side, side, side), st.tuples(side, side), side)
def test_kinds_of_convolution_agree_where_they_are_the_same(
    small: tuple[int, int, int], kernel: tuple[int, int], channels: int
) -> None:
    height, width, depth = small
    picture, grown = (1, *small), (1, 2 * height, 2 * width, channels)
    down: Operator = ("CONV_2D", (grown, (depth, *kernel, channels)), (picture,))
    up: Operator = ("TRANSPOSE_CONV", ((4,), (channels, *kernel, depth), picture), (grown,))
    assert multiply_accumulates([down]) == multiply_accumulates([up])  # each is the other's transpose
    alone: Operator = ("CONV_2D", (picture, (depth, *kernel, 1)), (picture,))
    depthwise: Operator = ("DEPTHWISE_CONV_2D", (picture, (1, *kernel, depth)), (picture,))
    assert multiply_accumulates([alone]) == multiply_accumulates([depthwise])  # one channel a group
    pointwise: Operator = ("CONV_2D", (picture, (channels, 1, 1, depth)), ((1, height, width, channels),))
    dense: Operator = ("FULLY_CONNECTED", (picture, (channels, depth)), ((height * width, channels),))
    assert multiply_accumulates([pointwise]) == multiply_accumulates([dense]) == prod(small) * channels
