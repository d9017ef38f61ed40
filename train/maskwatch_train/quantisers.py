"""Layers that round as int8 will, in float arithmetic, so that a network learns with the rounding.

That is quantisation-aware training with fake quantisation (Jacob et al. 2018). Weights are rounded symmetrically with a
scale a channel, activations with one scale a tensor: what TFLite does. Gradients pass a rounding as if it were not
there, the straight-through estimator (Bengio et al. 2013), and stop where an activation is cut off.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

WEIGHT_STEPS = 127
"""Int8 weights run from -127 to 127: symmetrical, so that a product needs no correction."""

ACTIVATION_STEPS = 255

BYTE_RANGE = (0.0, 255.0)

NARROWEST_RANGE = 1e-6
"""A layer may have given out nothing but zeros, and a range of no width has no steps."""


def rounded_weights(kernel, axes: tuple[int, ...]):
    """A kernel on the grid of int8: one scale for all that lies along `axes`; its largest weight is 127 steps."""
    step = ops.maximum(ops.max(ops.abs(kernel), axis=axes, keepdims=True) / WEIGHT_STEPS, 1e-12)
    return kernel + ops.stop_gradient(ops.round(kernel / step) * step - kernel)


def rounded_activations(x, lowest, highest):
    """Activations cut off and on the grid of int8 between the two, moved so that zero is on it, as TFLite has it."""
    step = (highest - lowest) / ACTIVATION_STEPS
    zero_point = ops.clip(ops.round(-lowest / step), 0, ACTIVATION_STEPS)
    bottom, top = -zero_point * step, (ACTIVATION_STEPS - zero_point) * step
    cut = ops.clip(x, bottom, top)
    return cut + ops.stop_gradient(ops.round((cut - bottom) / step) * step + bottom - cut)


@keras.saving.register_keras_serializable("maskwatch")
class ActivationQuantiser(layers.Layer):
    """Rounds what passes within its range, which is measured once and does not learn.

    On TensorFlow it is one kernel, which the converter to TFLite knows and takes the range from.
    """

    def build(self, input_shape) -> None:
        """The range is -1 to 1 until `set_range`."""
        del input_shape
        self.range = self.add_weight(
            shape=(2,), initializer=lambda shape, dtype=None: ops.cast([-1.0, 1.0], dtype or "float32"),
            trainable=False, name="range",
        )  # fmt: skip

    def set_range(self, lowest: float, highest: float) -> None:
        """What is to be told apart by 255 steps; widened to hold zero, and to NARROWEST_RANGE."""
        lowest = min(lowest, 0.0)
        self.range.assign([lowest, max(highest, 0.0, lowest + NARROWEST_RANGE)])

    def call(self, x):
        """Round a tensor of any shape."""
        if keras.backend.backend() != "tensorflow":
            return rounded_activations(x, self.range[0], self.range[1])
        import tensorflow as tf

        return tf.quantization.fake_quant_with_min_max_vars(x, self.range[0], self.range[1])


@keras.saving.register_keras_serializable("maskwatch")
class QuantisedConv2D(layers.Conv2D):
    """A convolution with rounded weights."""

    def convolution_op(self, inputs, kernel):
        """Called by Keras' own `call`."""
        return super().convolution_op(inputs, rounded_weights(kernel, (0, 1, 2)))


@keras.saving.register_keras_serializable("maskwatch")
class QuantisedDepthwiseConv2D(layers.DepthwiseConv2D):
    """A depthwise convolution with rounded weights, without a bias or an activation."""

    def call(self, inputs):
        """Convolve B×H×W×C."""
        kernel = rounded_weights(self.kernel, (0, 1))
        return ops.depthwise_conv(inputs, kernel, strides=self.strides, padding=self.padding)


@keras.saving.register_keras_serializable("maskwatch")
class QuantisedDense(layers.Dense):
    """A dense layer with rounded weights."""

    def call(self, inputs):
        """Multiply B×C."""
        return ops.matmul(inputs, rounded_weights(self.kernel, (0,))) + self.bias


@keras.saving.register_keras_serializable("maskwatch")
class QuantisedPatches(layers.Layer):
    """A convolution over patches that do not overlap, on raw bytes, with rounded weights.

    Its kernel (size×size×C×filters) is for pixels of -1 to 1, as it was learnt; scaling happens in the weights. A
    patch's row becomes one cell of many channels, as a picture's bytes lie in memory anyway: quicker in int8.
    """

    def __init__(self, filters: int, size_px: int, pixel_scale: float, **kwargs) -> None:
        super().__init__(**kwargs)
        self._filters, self._size_px, self._pixel_scale = filters, size_px, pixel_scale

    def build(self, input_shape) -> None:
        """Kernel and bias, for B×H×W×C.

        Raises:
            ValueError: height or width is unknown, or no multiple of the patches' side.
        """
        if any(side is None or side % self._size_px for side in input_shape[1:3]):
            raise ValueError(
                f"patches of {self._size_px} px do not fill pictures of {input_shape[1]}×{input_shape[2]} px"
            )
        self.kernel = self.add_weight(
            shape=(self._size_px, self._size_px, input_shape[-1], self._filters), name="kernel"
        )
        self.bias = self.add_weight(shape=(self._filters,), initializer="zeros", name="bias")

    def call(self, picture):
        """From B×H×W×C, 0 to 255, to B×H/size×W/size×filters."""
        _, height, width, channels = picture.shape
        row = self._size_px * channels
        rows = ops.reshape(picture, (-1, height, width // self._size_px, row))
        kernel = ops.reshape(rounded_weights(self.kernel, (0, 1, 2)), (self._size_px, 1, row, self._filters))
        bias = self.bias - ops.sum(kernel, axis=(0, 1, 2))
        return ops.conv(rows, kernel / self._pixel_scale, strides=(self._size_px, 1), padding="valid") + bias

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"filters": self._filters, "size_px": self._size_px, "pixel_scale": self._pixel_scale}
        return {**super().get_config(), **own}
