"""Full-integer conversion: raw bytes in, int8 out, per-channel weights, and a clear refusal of what a Pi cannot run."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from maskwatch.errors import FindingError, OperatorError
from maskwatch.interpreter import TFLiteNetwork, load_runtime
from maskwatch_convert.quantise import quantise
from maskwatch_train import networks
from maskwatch_train.forms import Int8Form

SIDE_PX = 16


def pictures(count: int = 12):
    """Patches of colour, with both ends of the range in every picture, as calibration gives them."""
    rng = np.random.default_rng(4)
    for _ in range(count):
        picture = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((4, 4, 1)))[None].astype(np.float32)
        picture[0, 0, 0], picture[0, -1, -1] = 0, 255
        yield picture


class Step(keras.layers.Layer):
    """Any TensorFlow operation as a layer."""

    def __init__(self, operation) -> None:
        super().__init__()
        self._operation = operation

    def call(self, x):
        return self._operation(x)


def small(operation=None) -> keras.Model:
    keras.utils.set_random_seed(2)
    picture = keras.Input((SIDE_PX, SIDE_PX, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(picture)
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU(6.0)(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    if operation is not None:
        x = Step(operation)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(picture, keras.layers.Dense(1)(x))


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return small()


@pytest.fixture(scope="module")
def model(network) -> bytes:
    return quantise(network, pictures)


@pytest.fixture(scope="module")
def interpreter(model):
    interpreter = load_runtime().Interpreter(model_content=model)
    interpreter.allocate_tensors()
    return interpreter


def test_input_takes_raw_bytes_and_output_is_int8(interpreter):
    (source,) = interpreter.get_input_details()
    assert source["dtype"] is np.int8
    assert source["quantization"] == (1.0, -128)
    assert source["shape"].tolist() == [1, SIDE_PX, SIDE_PX, 3]
    assert [output["dtype"] for output in interpreter.get_output_details()] == [np.int8]


def test_convolution_weights_have_a_scale_a_channel(interpreter):
    scales = [
        len(details["quantization_parameters"]["scales"])
        for details in interpreter.get_tensor_details()
        if details["dtype"] is np.int8 and len(details["shape"]) == 4 and details["shape"].tolist()[1:3] == [3, 3]
    ]
    assert scales == [6, 6]


def test_every_operator_runs_on_xnnpack(interpreter, model):
    TFLiteNetwork(model)  # refuses a model that XNNPACK does not run
    nodes = interpreter._get_ops_details()
    assert sum(node["op_name"] == "DELEGATE" for node in nodes) == 1


def test_int8_agrees_with_float(network, model):
    served = TFLiteNetwork(model)
    batch = np.concatenate(list(pictures(30))).astype(np.uint8)
    expected = np.asarray(network(batch.astype(np.float32), training=False)).ravel()
    found = served(batch)[0].ravel()
    assert np.abs(found - expected).max() < 0.1 * np.ptp(expected)
    assert np.corrcoef(found, expected)[0, 1] > 0.98


def test_converting_again_gives_the_same_bytes(network, model):
    assert quantise(network, pictures) == model


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (tf.math.erf, "Erf"),  # no TFLite kernel: needs the Flex delegate
        (tf.sin, "float"),  # a TFLite kernel, but only for floats
    ],
    ids=["flex", "float"],
)
def test_an_operator_that_does_not_fit_is_a_finding(operation, reason):
    with pytest.raises(FindingError, match=reason) as caught:
        quantise(small(operation), pictures)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_an_input_that_is_not_raw_bytes_is_a_finding(network):
    with pytest.raises(FindingError, match="raw bytes"):
        quantise(network, lambda: (picture / 2 for picture in pictures()))


def test_an_int8_form_is_not_converted_on_another_backend(monkeypatch):
    """Only TensorFlow's kernel hands its range on: elsewhere the result would not be int8, and say so at length."""
    rounded = networks.masknet(16, (8, 8, 8, 8), form=Int8Form())
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(OperatorError, match=r"jax.*KERAS_BACKEND=tensorflow") as caught:
        quantise(rounded)
    assert "\n" not in str(caught.value)
