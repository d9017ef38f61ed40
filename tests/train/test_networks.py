"""The networks: sizes that fit a Pi, raw bytes in, and outputs in the order in which the edge reads them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from maskwatch.finder import cell_grid
from maskwatch_train import networks
from maskwatch_train.normalisation import BatchNormalization


@pytest.fixture(scope="module")
def finder():
    return networks.finder(64, 96)


def run(network, batch):
    return network(batch.astype(np.float32), training=False)


def noise(*shape: int):
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


def test_masknet_is_compact_and_gives_two_logits():
    network = networks.masknet()
    assert network.input_shape == (None, 112, 112, 3)
    assert network.output_shape == (None, 2)
    assert 100_000 < network.count_params() < 140_000


def test_baseline_is_the_sequential_cnn_of_the_method():
    network = networks.baseline_cnn(32)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds.count("Conv2D") == kinds.count("MaxPooling2D") == 2
    assert kinds.count("Dense") == 3
    probabilities = np.asarray(run(network, noise(3, 32, 32, 3)))
    assert probabilities.shape == (3, 2)
    assert probabilities.sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-5)


def test_finder_is_small_and_fully_convolutional(finder):
    assert 80_000 < finder.count_params() < 140_000
    anywhere = networks.finder()
    anywhere.set_weights(finder.get_weights())
    batch = noise(1, 64, 96, 3)
    for name, expected in run(finder, batch).items():
        assert np.allclose(run(anywhere, batch)[name], expected, atol=1e-4)
    assert run(anywhere, noise(2, 128, 160, 3))["boxes"].shape == (2, len(cell_grid(128, 160, (8, 16, 32))[0]), 4)


def test_finder_has_the_cells_that_the_edge_decodes(finder):
    cells = len(cell_grid(64, 96, networks.FINDER_STRIDES)[0])
    outputs = run(finder, noise(1, 64, 96, 3))
    assert outputs["scores"].shape == (1, cells, 1)
    assert outputs["boxes"].shape == (1, cells, 4)


def test_finder_cells_come_in_the_order_of_the_grid():
    """What happens in one place of the picture changes the cells there most, by the edge's own list of cells."""
    network = networks.finder(256, 320)
    centres, strides = cell_grid(256, 320, networks.FINDER_STRIDES)
    plain = np.full((1, 256, 320, 3), 120, np.uint8)
    before = np.asarray(run(network, plain)["boxes"])[0]
    for x, y in ((40, 200), (280, 60)):
        marked = plain.copy()
        marked[0, y - 8 : y + 8, x - 8 : x + 8] = noise(16, 16, 3)
        change = np.abs(np.asarray(run(network, marked)["boxes"])[0] - before).sum(axis=1)
        for stride in networks.FINDER_STRIDES:
            level = strides == stride
            nearest = centres[level][change[level].argmax()]
            assert np.abs(nearest - (x, y)).max() <= 1.5 * stride + 16


def test_finder_begins_by_seeing_no_face(finder):
    logits = np.asarray(run(finder, noise(1, 64, 96, 3))["scores"])
    assert (1 / (1 + np.exp(-logits))).mean() == pytest.approx(networks.PRIOR_FACE_PROBABILITY, abs=0.02)


@pytest.mark.parametrize("name", ["masknet", "baseline_cnn", "finder"])
def test_pixels_are_scaled_inside_the_network(name):
    network = networks.finder(64, 64) if name == "finder" else getattr(networks, name)(64)
    scaled = network.get_layer("scale_pixels")(np.array([[[[0.0, 127.5, 255.0]]]], np.float32))
    low = 0 if name == "baseline_cnn" else -1
    assert np.asarray(scaled).ravel() == pytest.approx([low, (low + 1) / 2, 1])


def test_normalisation_learns_as_keras_own_does():
    """Fused or spelt out: the same outputs, gradients and (but for the unbiased variance) moving statistics."""
    rng = np.random.default_rng(3)
    batch = keras.ops.convert_to_tensor(rng.normal(2, 3, (8, 5, 6, 4)).astype(np.float32))
    outcomes = []
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        layer = kind(momentum=0.9)
        layer.build(batch.shape)
        layer.gamma.assign([0.5, 1.0, 1.5, 2.0])
        with tf.GradientTape() as tape:
            tape.watch(batch)
            outputs = layer(batch, training=True)
            loss = keras.ops.sum(outputs**3)
        gradients = tape.gradient(loss, [batch, layer.gamma.value, layer.beta.value])
        outcomes.append([outputs, *gradients, layer.moving_mean, layer.moving_variance, layer(batch)])
    for fused, spelt in zip(*outcomes, strict=True):
        assert np.allclose(fused, spelt, rtol=0.01, atol=0.02)
