"""The two forms of a network: as it learns in float, and as it is then fine-tuned and exported, rounded as in int8."""

from __future__ import annotations

import keras
from keras import layers

from maskwatch_train.normalisation import BatchNormalization
from maskwatch_train.quantisers import (
    ActivationQuantiser,
    QuantisedConv2D,
    QuantisedDense,
    QuantisedDepthwiseConv2D,
    QuantisedPatches,
)

PIXEL_SCALE = 127.5
"""Bytes over this, less one, are what the first convolution learns on: -1 to 1."""


QUANTISER_SUFFIX = "_int8"
"""After the name of the float form's layer whose range a quantiser has."""


def is_int8_form(network: keras.Model) -> bool:
    """Whether a network rounds its activations as int8 does."""
    return any(isinstance(layer, ActivationQuantiser) for layer in network.layers)


class FloatForm:
    """Float weights, batch normalisation after each block, nothing rounded."""

    def patches(self, picture: keras.KerasTensor, filters: int, size_px: int, name: str) -> keras.KerasTensor:
        """A convolution over patches of raw bytes that do not overlap, scaled to -1 to 1."""
        x = layers.Rescaling(1 / PIXEL_SCALE, offset=-1.0, name="scale_pixels")(picture)
        return layers.Conv2D(filters, size_px, strides=size_px, use_bias=False, name=name)(x)

    def depthwise(self, x: keras.KerasTensor, kernel: int, stride: int, name: str) -> keras.KerasTensor:
        """A depthwise convolution."""
        return layers.DepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=False, name=name)(x)

    def pointwise(self, x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
        """A 1×1 convolution that is normalised next."""
        return layers.Conv2D(filters, 1, use_bias=False, name=name)(x)

    def normalised(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Batch normalisation."""
        return BatchNormalization(momentum=0.97, name=name)(x)

    def head(self, x: keras.KerasTensor, filters: int, bias: float, name: str) -> keras.KerasTensor:
        """A 1×1 convolution that is an output, with its bias to begin with."""
        return layers.Conv2D(filters, 1, bias_initializer=keras.initializers.Constant(bias), name=name)(x)

    def dense(self, x: keras.KerasTensor, units: int, name: str) -> keras.KerasTensor:
        """A dense layer that is an output."""
        return layers.Dense(units, name=name)(layers.Dropout(0.2, name="dropout")(x))

    def rounded(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """What int8 rounds, by the range that the float form's layer `name` gives out."""
        del name
        return x


class Int8Form(FloatForm):
    """Weights and activations rounded; normalisation is folded into the weights. For one size of input."""

    def __init__(self) -> None:
        self._quantisers: dict[str, ActivationQuantiser] = {}

    def patches(self, picture: keras.KerasTensor, filters: int, size_px: int, name: str) -> keras.KerasTensor:
        """The same on raw bytes."""
        return QuantisedPatches(filters, size_px, PIXEL_SCALE, name=name)(self.rounded(picture, "image"))

    def depthwise(self, x: keras.KerasTensor, kernel: int, stride: int, name: str) -> keras.KerasTensor:
        """Rounded before and after."""
        x = QuantisedDepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=False, name=name)(x)
        return self.rounded(x, name)

    def pointwise(self, x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
        """With the bias that normalisation leaves."""
        return QuantisedConv2D(filters, 1, name=name)(x)

    def normalised(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Nothing: see `pointwise`."""
        del name
        return x

    def head(self, x: keras.KerasTensor, filters: int, bias: float, name: str) -> keras.KerasTensor:
        """Rounded weights; what comes out is rounded by the caller, alike for all levels."""
        del bias
        return QuantisedConv2D(filters, 1, name=name)(x)

    def dense(self, x: keras.KerasTensor, units: int, name: str) -> keras.KerasTensor:
        """Rounded, and without a dropout."""
        return self.rounded(QuantisedDense(units, name=name)(x), name)

    def rounded(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Equal names share one range."""
        if name not in self._quantisers:
            self._quantisers[name] = ActivationQuantiser(name=f"{name}{QUANTISER_SUFFIX}")
        return self._quantisers[name](x)
