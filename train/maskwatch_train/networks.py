"""The networks. Each takes raw bytes (0 to 255) as floats and scales them itself, so that the edge feeds bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
from keras import layers

FINDER_STRIDES = (8, 16, 32)
"""Feature maps the finder's heads look at: a face of 8 to 300 px spans at least one cell of one of them."""

PRIOR_FACE_PROBABILITY = 0.01
"""Initial score of every cell, so that training does not begin with unlearning half a face a cell (Lin et al. 2017)."""


def _scaled(inputs: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Rescaling(1 / 127.5, offset=-1.0, name="scale_pixels")(inputs)


def _conv(x: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=0.97, name=f"{name}_norm")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def _separable(x: keras.KerasTensor, filters: int, stride: int, name: str, kernel: int = 3) -> keras.KerasTensor:
    """Depthwise then pointwise convolution (Howard et al. 2017); a residual sum where the shape allows it."""
    shortcut = x
    x = layers.DepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = layers.BatchNormalization(momentum=0.97, name=f"{name}_depthwise_norm")(x)
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_pointwise")(x)
    x = layers.BatchNormalization(momentum=0.97, name=f"{name}_pointwise_norm")(x)
    if stride == 1 and shortcut.shape[-1] == filters:
        x = layers.Add(name=f"{name}_sum")([shortcut, x])
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


LOWEST_LOGIT = -5.0
LOWEST_LOG_DISTANCE, HIGHEST_LOG_DISTANCE = -3.0, 3.0
"""What a finder that is to be quantised can say: a score from 0.007, an edge from 0.05 to 20 strides from its cell."""


def baseline_cnn(size_px: int = 128) -> keras.Model:
    """The original method's sequential CNN: two convolutions with pooling, three dense layers, softmax of two classes.

    Input B×size×size×3, 0 to 255; output B×2 probabilities (without_mask, with_mask).
    """
    return keras.Sequential(
        [
            layers.Input((size_px, size_px, 3), name="image"),
            layers.Rescaling(1 / 255, name="scale_pixels"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(2, activation="softmax"),
        ],
        name="baseline_cnn",
    )


def masknet(size_px: int = 96, widths: Sequence[int] = (16, 24, 40, 72, 112)) -> keras.Model:
    """The classifier that ships: compact and depthwise-separable, about 60 thousand parameters.

    Input B×size×size×3, 0 to 255; output B×1, the logit of P(mask worn properly). A logit, because a sigmoid's int8
    output has only 256 even steps, too coarse near 0 and 1.
    """
    inputs = layers.Input((size_px, size_px, 3), name="image")
    x = _conv(_scaled(inputs), widths[0], 3, 2, "stem")
    for stage, filters in enumerate(widths[1:], start=1):
        x = _separable(x, filters, 2, f"stage{stage}_down")
        for block in range(1 if stage < 3 else 2):
            x = _separable(x, filters, 1, f"stage{stage}_block{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    outputs = layers.Dense(1, name="logit")(x)
    return keras.Model(inputs, outputs, name="masknet")


def finder(
    height_px: int | None = None,
    width_px: int | None = None,
    widths: Sequence[int] = (16, 32, 64, 96, 128),
    neck: int = 64,
) -> keras.Model:
    """The face finder: anchor-free, fully convolutional, with a small feature pyramid over strides 8, 16 and 32.

    Input B×height×width×3, 0 to 255 (both sides multiples of 32). Outputs, cells of the strides in turn, row by row:
    scores B×N×1 (logits) and boxes B×N×4 (natural logarithm of the distances, in strides, from the cell's centre to the
    left, top, right and bottom edges; as in FCOS, Tian et al. 2019).
    """
    inputs = layers.Input((height_px, width_px, 3), name="image")
    x = _conv(_scaled(inputs), widths[0], 3, 2, "stem")
    x = _separable(x, widths[1], 2, "stage1_down")
    x = _separable(x, widths[1], 1, "stage1_block0")
    levels = []
    for stage, (filters, blocks) in enumerate(zip(widths[2:], (2, 2, 1), strict=True), start=2):
        x = _separable(x, filters, 2, f"stage{stage}_down")
        for block in range(blocks):
            x = _separable(x, filters, 1, f"stage{stage}_block{block}", kernel=3 if stage < 4 else 5)
        levels.append(x)
    merged = None
    pyramid = []
    for stride, level in zip(reversed(FINDER_STRIDES), reversed(levels), strict=True):
        x = _conv(level, neck, 1, 1, f"lateral{stride}")
        if merged is not None:
            enlarged = layers.UpSampling2D(2, interpolation="bilinear", name=f"up{stride}")(merged)
            x = layers.Add(name=f"merge{stride}")([x, enlarged])
        merged = _separable(x, neck, 1, f"neck{stride}")
        pyramid.append((stride, merged))
    scores, boxes = [], []
    for stride, x in reversed(pyramid):
        x = _separable(x, neck, 1, f"head{stride}")
        prior = keras.initializers.Constant(-math.log(1 / PRIOR_FACE_PROBABILITY - 1))
        score = layers.Conv2D(1, 1, bias_initializer=prior, name=f"score{stride}")(x)
        box = layers.Conv2D(4, 1, bias_initializer=keras.initializers.Constant(math.log(1.5)), name=f"box{stride}")(x)
        scores.append(layers.Reshape((-1, 1), name=f"score{stride}_cells")(score))
        boxes.append(layers.Reshape((-1, 4), name=f"box{stride}_cells")(box))
    outputs = {
        "scores": layers.Concatenate(axis=1, name="scores")(scores),
        "boxes": layers.Concatenate(axis=1, name="boxes")(boxes),
    }
    return keras.Model(inputs, outputs, name="finder")


class _Shift(layers.Layer):
    """Adds a constant. A layer, as names go into the converted file and must be the same each time."""

    def __init__(self, offset: float, name: str) -> None:
        super().__init__(name=name)
        self._offset = offset

    def call(self, x):
        return x + self._offset


def with_bounded_outputs(finder: keras.Model) -> keras.Model:
    """The same finder with its outputs cut off at the bounds above, for quantising.

    Where there is no face the outputs run far out, and 256 even steps over their whole range would be too coarse for
    those that matter. Each bound is a shifted ReLU or ReLU6, which the converter folds into the convolution before it.
    """
    bounded = {}
    for name, lowest, highest in (
        ("scores", LOWEST_LOGIT, None),
        ("boxes", LOWEST_LOG_DISTANCE, HIGHEST_LOG_DISTANCE),
    ):
        span = None if highest is None else highest - lowest
        cut = [
            layers.ReLU(span, name=f"{name}{stride}_bound")(_Shift(-lowest, name=f"{name}{stride}_up")(level))
            for stride, level in zip(FINDER_STRIDES, finder.get_layer(name).input, strict=True)
        ]
        bounded[name] = _Shift(lowest, name=f"{name}_down")(layers.Concatenate(axis=1, name=f"{name}_bounded")(cut))
    return keras.Model(finder.inputs, bounded, name="bounded_finder")
