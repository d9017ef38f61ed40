"""The networks. Each takes raw bytes (0 to 255) as floats and scales them itself, so that the edge feeds bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from maskwatch_train.normalisation import BatchNormalization

FINDER_STRIDES = (8, 16, 32)
"""Feature maps the finder's heads look at: a face of 8 to 300 px spans at least one cell of one of them."""

PIXEL_SCALE = 127.5
"""Bytes over this, less one, are what the first convolution learns on: -1 to 1."""

PRIOR_FACE_PROBABILITY = 0.01
"""Initial score of every cell, so that training does not begin with unlearning half a face a cell (Lin et al. 2017)."""

PATCH_PX = 4
"""Side of the patches that both networks cut a picture into first: the one convolution over full resolution."""


def _patches(inputs: keras.KerasTensor, filters: int, *, serving: bool) -> keras.KerasTensor:
    """The stem: a convolution over patches that do not overlap, 16 times fewer cells at once (Dosovitskiy et al. 2021).

    The serving form is the same function, faster in int8: scaling is inside the weights (see
    `serving_weights`), and a patch's row is one cell of many channels, as a picture's bytes lie in memory anyway.
    """
    if serving:
        _, height, width, channels = inputs.shape
        x = layers.Reshape((height, width // PATCH_PX, PATCH_PX * channels), name="patch_rows")(inputs)
        x = layers.Conv2D(filters, (PATCH_PX, 1), strides=(PATCH_PX, 1), name="stem_conv")(x)
    else:
        x = layers.Rescaling(1 / PIXEL_SCALE, offset=-1.0, name="scale_pixels")(inputs)
        x = layers.Conv2D(filters, PATCH_PX, strides=PATCH_PX, use_bias=False, name="stem_conv")(x)
    return _normalised(x, "stem")


def serving_weights(trained: keras.Model) -> list[np.ndarray]:
    """The weights of a network with a patch stem as its serving form takes them: raw bytes in, no scaling layer."""
    kernel, *others = trained.get_weights()
    size, _, channels, filters = kernel.shape
    rows = kernel.reshape(size, 1, size * channels, filters)
    return [rows / PIXEL_SCALE, -rows.sum(axis=(0, 1, 2)), *others]


def _normalised(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = BatchNormalization(momentum=0.97, name=f"{name}_norm")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def _pointwise(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    return _normalised(layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_conv")(x), name)


def _separable(x: keras.KerasTensor, filters: int, stride: int, name: str, kernel: int = 3) -> keras.KerasTensor:
    """Depthwise then pointwise convolution, nothing between them (Chollet 2017); a residual sum where shapes allow."""
    shortcut = x
    x = layers.DepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_pointwise")(x)
    x = BatchNormalization(momentum=0.97, name=f"{name}_norm")(x)
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


def masknet(
    size_px: int = 112,
    widths: Sequence[int] = (48, 96, 128, 160),
    blocks: Sequence[int] = (0, 2, 2, 1),
    *,
    serving: bool = False,
) -> keras.Model:
    """The classifier that ships: patches, then depthwise-separable convolutions, about 130 thousand parameters.

    Input B×size×size×3, 0 to 255; output B×2, the logits of P(mask worn properly) and of P(a face). Logits, because a
    sigmoid's int8 output has only 256 even steps, too coarse near 0 and 1.
    """
    inputs = layers.Input((size_px, size_px, 3), name="image")
    x = _patches(inputs, widths[0], serving=serving)
    for stage, (filters, count) in enumerate(zip(widths, blocks, strict=True)):
        if stage:
            x = _separable(x, filters, 2, f"stage{stage}_down")
        for block in range(count):
            x = _separable(x, filters, 1, f"stage{stage}_block{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    outputs = layers.Dense(2, name="logits")(x)
    return keras.Model(inputs, outputs, name="masknet")


def finder(
    height_px: int | None = None,
    width_px: int | None = None,
    widths: Sequence[int] = (32, 64, 96, 128),
    neck: int = 64,
    *,
    serving: bool = False,
) -> keras.Model:
    """The face finder: anchor-free, fully convolutional, with a small feature pyramid over strides 8, 16 and 32.

    Input B×height×width×3, 0 to 255 (both sides multiples of 32). Outputs, cells of the strides in turn, row by row:
    scores B×N×1 (logits) and boxes B×N×4 (natural logarithm of the distances, in strides, from the cell's centre to the
    left, top, right and bottom edges; as in FCOS, Tian et al. 2019). Its serving form bounds them.
    """
    inputs = layers.Input((height_px, width_px, 3), name="image")
    x = _patches(inputs, widths[0], serving=serving)
    levels = []
    for stage, (filters, blocks) in enumerate(zip(widths[1:], (2, 2, 1), strict=True), start=1):
        x = _separable(x, filters, 2, f"stage{stage}_down")
        for block in range(blocks):
            x = _separable(x, filters, 1, f"stage{stage}_block{block}", kernel=3 if stage < 3 else 5)
        levels.append(x)
    merged = None
    pyramid = []
    for stride, level in zip(reversed(FINDER_STRIDES), reversed(levels), strict=True):
        x = level if level.shape[-1] == neck else _pointwise(level, neck, f"lateral{stride}")
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
    network = keras.Model(inputs, outputs, name="finder")
    return _with_bounded_outputs(network) if serving else network


class _Shift(layers.Layer):
    """Adds a constant. A layer, as names go into the converted file and must be the same each time."""

    def __init__(self, offset: float, name: str) -> None:
        super().__init__(name=name)
        self._offset = offset

    def call(self, x):
        return x + self._offset


def _with_bounded_outputs(finder: keras.Model) -> keras.Model:
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
