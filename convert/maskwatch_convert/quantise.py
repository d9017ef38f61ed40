"""Keras to full-integer int8 TFLite: per-channel weights, int8 in and out, nothing but built-in operators."""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from maskwatch.errors import FindingError, OperatorError
from maskwatch.interpreter import load_runtime
from maskwatch_train.calibration import Batch

if TYPE_CHECKING:
    import keras


def quantise(network: keras.Model, batches: Callable[[], Iterable[Batch]] | None = None) -> bytes:
    """Quantise a network whose input size is fixed.

    A network in int8 form (see `maskwatch_train.forms`) brings its scales along; for any other the batches (1×H×W×3,
    0 to 255) set them.

    Raises:
        OperatorError: the network is in int8 form, and Keras runs on another backend than TensorFlow.
        FindingError: the result is not wholly int8, or needs more than built-in operators.
    """
    _check_backend(network)
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        network.export(folder, format="tf_saved_model", verbose=False, input_signature=_one_picture(network))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if batches is not None:
            converter.representative_dataset = lambda: ([batch] for batch in batches())
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
        try:
            model: bytes = converter.convert()
        except ConverterError as error:
            raise FindingError(f"the network cannot be converted: {_reason(error)}") from error
    _check(model)
    return model


def _check_backend(network: keras.Model) -> None:
    import keras
    from maskwatch_train.forms import is_int8_form

    backend = keras.backend.backend()
    if backend != "tensorflow" and is_int8_form(network):  # whose ranges only TensorFlow's own kernel hands on
        raise OperatorError(f"Keras runs on {backend}, where ranges are lost: convert with KERAS_BACKEND=tensorflow")


def _one_picture(network: keras.Model) -> list[Any]:
    import keras

    _, height_px, width_px, channels = network.inputs[0].shape
    return [keras.InputSpec(dtype="float32", shape=(1, height_px, width_px, channels))]


def _reason(error: Exception) -> str:
    """The one line that counts in pages of a compiler's notes."""
    lacking = re.search(r"TF Select ops: (.+)", str(error))
    if lacking is not None:
        return f"a Pi's runtime lacks its operators {lacking[1]}"
    return str(error).partition("\n")[0][:200]


def _check(model: bytes) -> None:
    interpreter = load_runtime().Interpreter(model_content=model)
    flex = [name for operator in interpreter._get_ops_details() if (name := operator["op_name"]).startswith("Flex")]
    if flex:
        raise FindingError(f"the network needs operators that a Pi's runtime lacks: {', '.join(sorted(set(flex)))}")
    (source,) = interpreter.get_input_details()
    outputs = interpreter.get_output_details()
    if any(details["dtype"] is not np.int8 for details in (source, *outputs)):
        raise FindingError("the network's inputs and outputs are not int8 throughout")
    if source["quantization"] != (1.0, -128):
        raise FindingError(f"the network's input has scale and zero point {source['quantization']}, not raw bytes")
    loose = [details["name"] for details in interpreter.get_tensor_details() if details["dtype"] is np.float32]
    if loose:
        raise FindingError(f"the network keeps float tensors: {', '.join(loose[:3])}")
