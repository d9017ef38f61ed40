"""Int8 form: the trained network but for rounding, the rounding that TFLite does, and ranges that fit what passes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from drawn import write_classification_set, write_detection_set
from hypothesis import example, given, settings
from hypothesis import strategies as st
from maskwatch.interpreter import TFLiteNetwork
from maskwatch_convert.quantise import quantise
from maskwatch_train import calibration, networks, quantisers
from maskwatch_train.forms import Int8Form
from maskwatch_train.index import read_data
from maskwatch_train.int8_form import int8_finder, int8_masknet, measured_ranges
from maskwatch_train.keras_network import KerasNetwork
from maskwatch_train.quantisers import ActivationQuantiser, QuantisedPatches, rounded_activations, rounded_weights

FINDER_PX = (64, 96)
MASKNET_PX = 48
WIDTHS, NECK = (16, 24, 32, 40), 16
SAID = ("boxes_int8", "logits_int8", "scores_int8")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_classification_set(root / "portraits", 12, 1, faces_csv=True)
    write_detection_set(root / "scenes", 12, 2)
    return read_data(root)


def noise(count: int, height_px: int, width_px: int):
    """Coarse patches of colour, N×H×W×3 uint8."""
    coarse = np.random.default_rng(1).integers(0, 256, (count, height_px // 8, width_px // 8, 3), np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def shaken(network: keras.Model) -> keras.Model:
    """The network with normalisation that does something: as built it is the identity."""
    rng = np.random.default_rng(7)
    for weight in network.weights:
        if "norm" in weight.path:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return network


@pytest.fixture(scope="module", params=["finder", "masknet"])
def pair(request, samples):
    """A network, its int8 form, and pictures to compare them on."""
    keras.utils.set_random_seed(3)
    if request.param == "finder":
        trained = shaken(networks.finder(widths=WIDTHS, neck=NECK))
        rounded = int8_finder(trained, WIDTHS, NECK, *FINDER_PX, calibration.finder_pictures(samples, 1))
        return trained, rounded, noise(4, *FINDER_PX)
    trained = shaken(networks.masknet(MASKNET_PX, WIDTHS))
    pictures = calibration.classifier_pictures(samples, 1, faces=True)
    rounded = int8_masknet(trained, MASKNET_PX, WIDTHS, 0.4, pictures)
    return trained, rounded, noise(4, MASKNET_PX, MASKNET_PX)


def outputs(network: keras.Model, pictures: np.ndarray) -> list[np.ndarray]:
    found = KerasNetwork(network)(pictures)
    return list(found)


def ranges(network: keras.Model) -> dict[str, np.ndarray]:
    """Of all quantisers, by their names."""
    return {each.name: np.asarray(each.range) for each in network.layers if isinstance(each, ActivationQuantiser)}


def bounded(values: list[np.ndarray]) -> list[np.ndarray]:
    """What an int8 network can say of it: boxes and scores of a finder, or logits."""
    if len(values) == 2:
        return [np.clip(values[0], -3, 3), np.maximum(values[1], -5)]
    return [np.clip(values[0], -6, 6)]


def test_it_is_the_trained_network_but_for_rounding(pair, monkeypatch):
    """With rounding switched off it is the same function, whose normalisation went into the weights."""
    trained, rounded, pictures = pair
    with monkeypatch.context() as patch:
        patch.setattr(quantisers, "rounded_weights", lambda kernel, _: kernel)
        patch.setattr(ActivationQuantiser, "call", lambda _, x: x)
        unrounded = keras.models.clone_model(rounded)
        unrounded.set_weights(rounded.get_weights())
        exact = outputs(unrounded, pictures)
    for one, other in zip(exact, outputs(trained, pictures), strict=True):
        assert other.std() > 1e-3
        assert np.allclose(one, other, rtol=1e-3, atol=1e-3 * other.std())


def test_rounding_changes_little(pair):
    trained, rounded, pictures = pair
    for found, exact in zip(outputs(rounded, pictures), bounded(outputs(trained, pictures)), strict=True):
        assert 0 < np.abs(found - exact).mean() < 0.2 * exact.std()


def test_int8_answers_as_the_rounded_network_does(pair):
    """Most outputs to the step of their quantiser; what lies on an edge may round to either side."""
    _, rounded, pictures = pair
    steps = [np.ptp(found) / 255 for name, found in sorted(ranges(rounded).items()) if name in SAID]
    answers = TFLiteNetwork(quantise(rounded))(pictures), outputs(rounded, pictures)
    for step, served, expected in zip(steps, *answers, strict=True):
        assert np.abs(served - expected).mean() < step
        assert np.abs(served - expected).max() < 0.1 * np.ptp(expected)


def test_it_is_saved_and_read_whole(pair, tmp_path):
    _, rounded, pictures = pair
    rounded.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras", compile=False)
    for one, other in zip(outputs(rounded, pictures), outputs(again, pictures), strict=True):
        assert np.array_equal(one, other)


def test_it_learns(pair):
    """Gradients pass the rounding and reach every weight but the ranges, which stay."""
    _, rounded, pictures = pair
    with tf.GradientTape() as tape:
        found = rounded(pictures.astype(np.float32), training=True)
        loss = sum(keras.ops.sum(value**2) for value in (found.values() if isinstance(found, dict) else [found]))
    gradients = tape.gradient(loss, rounded.trainable_weights)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)
    assert not any("range" in weight.path for weight in rounded.trainable_weights)


def test_bounds_cut_off_what_runs_far_out():
    rounded = networks.finder(*FINDER_PX, WIDTHS, NECK, Int8Form())
    for layer in rounded.layers:
        if layer.name in ("scores_int8", "boxes_int8"):
            layer.set_range(-5, 4) if layer.name == "scores_int8" else layer.set_range(-3, 3)
        if layer.name in ("score8", "box8"):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, np.full_like(bias, -40.0 if layer.name == "score8" else 40.0)])
    boxes, scores = outputs(rounded, noise(1, *FINDER_PX))
    assert scores.min() == pytest.approx(-5, abs=0.02)
    assert boxes.max() == pytest.approx(3, abs=0.02)


@settings(max_examples=60, deadline=None)
@given(
    bounds=st.tuples(st.floats(-20, 20, width=32), st.floats(-20, 20, width=32)).map(sorted)
    | st.tuples(st.floats(-(2**-19), 0, width=32), st.floats(0, 2**-19, width=32)),
    values=st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=20),
)
@example(bounds=(0.0, 0.0), values=[-1.0, 0.0, 1.0])
def test_spelt_out_or_as_one_kernel_activations_round_alike(bounds, values):
    """Whatever was measured, a range holds zero and has a width."""
    quantiser = ActivationQuantiser()
    quantiser.build((None,))
    quantiser.set_range(*bounds)
    lowest, highest = np.asarray(quantiser.range)
    assert lowest <= min(0, bounds[0])
    assert highest >= max(0, bounds[1])
    assert highest - lowest > 0.9e-6
    x = np.array(values, np.float32)
    spelt = np.asarray(rounded_activations(keras.ops.convert_to_tensor(x), lowest, highest))
    kernel = np.asarray(quantiser(x))
    step = (highest - lowest) / 255
    assert np.abs(spelt - kernel).max() < 1.01 * step  # on an edge either side is right
    assert np.abs(spelt / step - np.round(spelt / step)).max() < 1e-2, "on the grid that zero is on"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-8, 8, width=32), min_size=6, max_size=6))
def test_weights_keep_their_largest_and_have_255_steps_a_channel(values):
    kernel = np.array(values, np.float32).reshape(1, 1, 3, 2)
    rounded = np.asarray(rounded_weights(keras.ops.convert_to_tensor(kernel), (0, 1, 2)))
    largest = np.abs(kernel).max(axis=(0, 1, 2))
    assert np.allclose(np.abs(rounded).max(axis=(0, 1, 2)), largest, rtol=1e-5, atol=1e-9)
    assert (np.abs(rounded - kernel) <= largest / 127 / 2 * 1.001 + 1e-9).all()
    steps = rounded / np.maximum(largest / 127, 1e-12)
    assert np.abs(steps - np.round(steps)).max() < 1e-3, "on the grid"


def test_a_range_holds_all_but_the_outlying_pictures():
    picture = keras.Input((4, 4, 3))
    network = keras.Model(picture, keras.layers.Rescaling(1.0, name="values")(picture))
    rng = np.random.default_rng(5)
    usual = [rng.uniform(-1, 2, (1, 4, 4, 3)).astype(np.float32) for _ in range(60)]
    plain = measured_ranges(network, ["values"], usual)["values"]
    assert plain == pytest.approx((-1, 2), abs=0.2)
    outlying = [np.full((1, 4, 4, 3), 30.0, np.float32), np.full((1, 4, 4, 3), -20.0, np.float32)]
    assert measured_ranges(network, ["values"], [*usual, *outlying])["values"] == pytest.approx((-1, 2), abs=0.2)
    often = [*usual[:20], *outlying * 5]
    lowest, highest = measured_ranges(network, ["values"], often)["values"]
    assert (lowest, highest) == pytest.approx((-20, 30))


def test_what_a_network_says_has_ranges_of_its_own(pair):
    _, rounded, _ = pair
    measured = ranges(rounded)
    assert measured["image_int8"].tolist() == [0, 255]
    if "boxes_int8" in measured:
        assert measured["boxes_int8"].tolist() == [-3, 3]
        assert measured["scores_int8"][0] == -5
    else:
        assert measured["logits_int8"].tolist() == [-6, 6]
    assert all(found[0] <= 0 <= found[1] and found[0] < found[1] for found in measured.values())


def test_a_sum_needs_no_more_than_the_cap_and_scores_run_up_to_the_surest_face():
    """Where another layer's range would leave out a picture in sixty, and take all of the sixty."""
    picture = keras.Input((4, 4, 3))
    layers = [keras.layers.Rescaling(1.0, name=name)(picture) for name in ("block_norm", "scores", "values")]
    network = keras.Model(picture, layers)
    usual = [np.random.default_rng(5).uniform(-20, 10, (1, 4, 4, 3)).astype(np.float32)] * 59
    found = measured_ranges(network, ["block_norm", "scores", "values"], [*usual, np.full_like(usual[0], 30.0)])
    assert found["block_norm"] == (-6, 6)
    assert found["scores"] == (-5, 30)
    assert found["values"] == pytest.approx((-20, 10), abs=2)


def test_a_layer_that_gives_out_nothing_has_a_range_all_the_same():
    """Zeros only, as of a dead channel: neither a division by nothing nor another answer than zero."""
    quantiser = ActivationQuantiser()
    quantiser.build((None, 3))
    quantiser.set_range(0.0, 0.0)
    assert np.asarray(quantiser(np.zeros((1, 3), np.float32))).tolist() == [[0, 0, 0]]
    lowest, highest = np.asarray(quantiser.range)
    assert np.isfinite(rounded_activations(keras.ops.ones(3), lowest, highest)).all()


def test_patches_that_do_not_fill_a_picture_are_refused():
    with pytest.raises(ValueError, match="50×48"):
        QuantisedPatches(8, 4, 127.5)(keras.Input((50, 48, 3)))
    with pytest.raises(ValueError, match="None"):
        networks.finder(form=Int8Form())
