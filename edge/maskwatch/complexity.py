"""How much arithmetic a network is: the multiply-accumulates of its convolutions and fully connected layers."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from maskwatch.interpreter import Operator


def multiply_accumulates(operators: Iterable[Operator]) -> int:
    """Multiply-accumulates of one run, from the shapes in the file; the same on every machine.

    Counted are CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV and FULLY_CONNECTED: one for each weight that an output's
    pixel is made with. As is usual, products with padding count, while biases, activations, additions, pooling and
    resizing do not.
    """
    return sum(_of_one(operator) for operator in operators)


def _of_one(operator: Operator) -> int:
    """Layouts as in TFLite's `schema.fbs` and kernels; pictures are batch, height, width, channels."""
    name, inputs, outputs = operator
    if name == "CONV_2D":  # weights: out, height, width, in (of one group, where the convolution is grouped)
        return prod(outputs[0]) * prod(inputs[1][1:])
    if name == "DEPTHWISE_CONV_2D":  # weights: 1, height, width, out
        return prod(outputs[0]) * prod(inputs[1][1:3])
    if name == "TRANSPOSE_CONV":  # inputs: the output's shape, weights (out, height, width, in), the picture
        return prod(inputs[2]) * prod(inputs[1][:3])
    if name == "FULLY_CONNECTED":  # weights: out, in
        return prod(outputs[0]) * inputs[1][1]
    return 0
