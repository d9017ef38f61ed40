"""The networks. Each takes raw bytes (0 to 255) as floats and scales them itself, so that the edge feeds bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
from keras import layers

from maskwatch_train.forms import FloatForm

FINDER_STRIDES = (8, 16, 32)
"""Feature maps the finder's heads look at: a face of 8 to 300 px spans at least one cell of one of them."""

PRIOR_FACE_PROBABILITY = 0.01
"""Initial score of every cell, so that training does not begin with unlearning half a face a cell (Lin et al. 2017)."""

RELU_CAP = 6.0
"""What activations are held below, so that few bits tell them apart (Howard et al. 2017)."""

PATCH_PX = 4
"""Side of the patches that both networks cut a picture into first: the one convolution over full resolution."""


def _stem(x: keras.KerasTensor, filters: int, form: FloatForm) -> keras.KerasTensor:
    """A convolution over patches that do not overlap: 16 times fewer cells at once (Dosovitskiy et al. 2021)."""
    return _activated(form.normalised(form.patches(x, filters, PATCH_PX, "stem_conv"), "stem_norm"), "stem", form)


def _activated(x: keras.KerasTensor, name: str, form: FloatForm) -> keras.KerasTensor:
    return form.rounded(layers.ReLU(RELU_CAP, name=f"{name}_relu")(x), f"{name}_relu")


def _pointwise(x: keras.KerasTensor, filters: int, name: str, form: FloatForm) -> keras.KerasTensor:
    return _activated(form.normalised(form.pointwise(x, filters, f"{name}_conv"), f"{name}_norm"), name, form)


def _separable(
    x: keras.KerasTensor, filters: int, stride: int, name: str, form: FloatForm, kernel: int = 3
) -> keras.KerasTensor:
    """Depthwise then pointwise convolution, nothing between them (Chollet 2017); a residual sum where shapes allow."""
    shortcut = x
    x = form.depthwise(x, kernel, stride, f"{name}_depthwise")
    x = form.normalised(form.pointwise(x, filters, f"{name}_pointwise"), f"{name}_norm")
    if stride == 1 and shortcut.shape[-1] == filters:
        x = layers.Add(name=f"{name}_sum")([shortcut, form.rounded(x, f"{name}_norm")])
    return _activated(x, name, form)


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
    form: FloatForm | None = None,
) -> keras.Model:
    """The classifier that ships: patches, then depthwise-separable convolutions, about 130 thousand parameters.

    Input B×size×size×3, 0 to 255; output B×2, the logits of P(mask worn properly) and of P(a face). Logits, because a
    sigmoid's int8 output has only 256 even steps, too coarse near 0 and 1.
    """
    form = form or FloatForm()
    inputs = layers.Input((size_px, size_px, 3), name="image")
    x = _stem(inputs, widths[0], form)
    for stage, (filters, count) in enumerate(zip(widths, blocks, strict=True)):
        if stage:
            x = _separable(x, filters, 2, f"stage{stage}_down", form)
        for block in range(count):
            x = _separable(x, filters, 1, f"stage{stage}_block{block}", form)
    x = form.rounded(layers.GlobalAveragePooling2D(name="pool")(x), "pool")
    return keras.Model(inputs, form.dense(x, 2, "logits"), name="masknet")


def finder(
    height_px: int | None = None,
    width_px: int | None = None,
    widths: Sequence[int] = (32, 64, 96, 128),
    neck: int = 64,
    form: FloatForm | None = None,
) -> keras.Model:
    """The face finder: anchor-free, fully convolutional, with a small feature pyramid over strides 8, 16 and 32.

    Input B×height×width×3, 0 to 255 (both sides multiples of 32, and known where the form is int8). Outputs, cells of
    the strides in turn, row by row: scores B×N×1 (logits) and boxes B×N×4 (natural logarithm of the distances, in
    strides, from the cell's centre to the left, top, right and bottom edges; as in FCOS, Tian et al. 2019).
    """
    form = form or FloatForm()
    inputs = layers.Input((height_px, width_px, 3), name="image")
    x = _stem(inputs, widths[0], form)
    levels = []
    for stage, (filters, blocks) in enumerate(zip(widths[1:], (2, 2, 1), strict=True), start=1):
        x = _separable(x, filters, 2, f"stage{stage}_down", form)
        for block in range(blocks):
            x = _separable(x, filters, 1, f"stage{stage}_block{block}", form, kernel=3 if stage < 3 else 5)
        levels.append(x)
    merged, coarser = None, 0
    pyramid = []
    for stride, level in zip(reversed(FINDER_STRIDES), reversed(levels), strict=True):
        x = level if level.shape[-1] == neck else _pointwise(level, neck, f"lateral{stride}", form)
        if merged is not None:
            enlarged = layers.UpSampling2D(2, interpolation="bilinear", name=f"up{stride}")(merged)
            # Enlarging keeps int8's range.
            x = layers.Add(name=f"merge{stride}")([x, form.rounded(enlarged, f"neck{coarser}_relu")])
            x = form.rounded(x, f"merge{stride}")
        merged, coarser = _separable(x, neck, 1, f"neck{stride}", form), stride
        pyramid.append((stride, merged))
    scores, boxes = [], []
    for stride, x in reversed(pyramid):
        x = _separable(x, neck, 1, f"head{stride}", form)
        score = form.rounded(form.head(x, 1, -math.log(1 / PRIOR_FACE_PROBABILITY - 1), f"score{stride}"), "scores")
        box = form.rounded(form.head(x, 4, math.log(1.5), f"box{stride}"), "boxes")
        scores.append(layers.Reshape((-1, 1), name=f"score{stride}_cells")(score))
        boxes.append(layers.Reshape((-1, 4), name=f"box{stride}_cells")(box))
    outputs = {
        "scores": layers.Concatenate(axis=1, name="scores")(scores),
        "boxes": layers.Concatenate(axis=1, name="boxes")(boxes),
    }
    return keras.Model(inputs, outputs, name="finder")
