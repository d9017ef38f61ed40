"""From a trained network to its int8 form: the same function but for rounding, at ranges measured on photographs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import keras
import numpy as np
from maskwatch.types import Box

from maskwatch_train import calibration, networks
from maskwatch_train.forms import QUANTISER_SUFFIX, Int8Form
from maskwatch_train.index import Sample
from maskwatch_train.networks import RELU_CAP
from maskwatch_train.quantisers import BYTE_RANGE, ActivationQuantiser

SCORES = "scores"
LOWEST_SCORE_LOGIT = -5.0
OUTPUT_RANGES = {"boxes": (-3.0, 3.0), "logits": (-6.0, 6.0)}
"""What an int8 network can say: a face's score from 0.007, an edge 0.05 to 20 strides from its cell, P(mask) 0.0025 to
0.9975. Float outputs run far out where nothing is in doubt, and 256 even steps over all of that would be too coarse."""

FIXED_RANGES = {"image": BYTE_RANGE, **OUTPUT_RANGES}
"""Those that no photograph decides, by the name of the layer."""

OUTLYING_PICTURES = 5.0
"""Per cent of the pictures whose lowest, or highest, activation may be cut off. Of what was tried this gave the
least error of boxes and scores: less than no cutting, and less than the least squared error of each tensor."""


def int8_finder(
    trained: keras.Model,
    widths: Sequence[int],
    neck: int,
    height_px: int,
    width_px: int,
    pictures: Sequence[Sample],
) -> keras.Model:
    """The int8 form of a face finder for one size of input; the pictures settle its ranges."""
    rounded = networks.finder(height_px, width_px, widths, neck, Int8Form())
    return _filled(rounded, trained, calibration.finder_batches(pictures, height_px, width_px))


def int8_masknet(
    trained: keras.Model,
    size_px: int,
    widths: Sequence[int],
    margin_ratio: float,
    pictures: Sequence[tuple[Sample, Box | None]],
) -> keras.Model:
    """The int8 form of a mask classifier; likewise, by faces or (None) whole pictures."""
    rounded = networks.masknet(size_px, widths, form=Int8Form())
    return _filled(rounded, trained, calibration.classifier_batches(pictures, size_px, margin_ratio))


def _filled(rounded: keras.Model, trained: keras.Model, batches: Iterable[calibration.Batch]) -> keras.Model:
    for layer in rounded.layers:
        if layer.weights and not isinstance(layer, ActivationQuantiser):
            layer.set_weights(_folded(trained, layer.name, with_bias=len(layer.weights) == 2))
    quantisers = [layer for layer in rounded.layers if isinstance(layer, ActivationQuantiser)]
    ranges = measured_ranges(trained, [each.name.removesuffix(QUANTISER_SUFFIX) for each in quantisers], batches)
    for quantiser in quantisers:
        quantiser.set_range(*ranges[quantiser.name.removesuffix(QUANTISER_SUFFIX)])
    return rounded


def _folded(trained: keras.Model, name: str, *, with_bias: bool) -> list[np.ndarray]:
    """A layer's weights with the normalisation after it folded into them, where there is one."""
    weights = trained.get_layer(name).get_weights()
    if len(weights) == 2 or not with_bias:
        return weights
    norm = trained.get_layer(f"{name.rpartition('_')[0]}_norm")
    gamma, beta, mean, variance = norm.get_weights()
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return [weights[0] * factor, beta - mean * factor]


def measured_ranges(
    trained: keras.Model, names: Iterable[str], batches: Iterable[calibration.Batch]
) -> dict[str, tuple[float, float]]:
    """Lowest and highest activation worth telling apart, of each named layer of a float network.

    A few pictures' extremes are better cut off than all others made coarse. FIXED_RANGES are not measured.
    """
    measured = [name for name in names if name not in FIXED_RANGES]
    watched = keras.Model(trained.inputs, {name: trained.get_layer(name).output for name in measured})
    extremes: dict[str, list[tuple[float, float]]] = {name: [] for name in measured}
    for batch in batches:
        for name, activations in watched.predict_on_batch(batch).items():
            extremes[name].append((activations.min(), activations.max()))
    ranges = dict(FIXED_RANGES)
    for name, of_pictures in extremes.items():
        lowest, highest = np.transpose(of_pictures)
        low = float(np.percentile(lowest, OUTLYING_PICTURES))
        high = float(np.percentile(highest, 100 - OUTLYING_PICTURES))
        if name == SCORES:  # which may run up to the surest face of all
            low, high = LOWEST_SCORE_LOGIT, float(highest.max())
        elif name.endswith("_norm"):  # which is added to 0 to RELU_CAP, and then held within that: nothing is lost
            low, high = max(low, -RELU_CAP), min(high, RELU_CAP)
        ranges[name] = (low, high)
    return ranges
