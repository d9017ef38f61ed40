"""Tiny TFLite models and bundles of them, for tests. Run as a script to make the models anew (needs the train extra).

`finder` (24×32 in, int8) has two outputs, which the converter stores in another order than the signature's.
`classifier_*` (16×16 in) are one network with one logit, three times: int8, uint8 and float32 in and out.
`operators`, `two_inputs`, `any_size` and `failing` (8×8 in, float32) are what others may hand to us: one operator of
each kind that is counted, with outputs of odd shapes and types; two pictures in; no fixed size; an index out of bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from maskwatch.golden import make_golden
from maskwatch.interpreter import TFLiteNetwork
from maskwatch.manifest import ClassifierSpec, FinderSpec, Manifest
from maskwatch_convert.pack import write_bundle

DATA = Path(__file__).parent / "data"


def tiny_model(name: str) -> bytes:
    """One of those above: `finder`, `classifier_int8`, `operators`, …"""
    return (DATA / f"tiny_{name}.tflite").read_bytes()


def tiny_manifest(**changes: object) -> Manifest:
    """A manifest for the tiny finder and the tiny int8 classifier; `members` is left to `write_bundle`."""
    parts: dict[str, object] = {
        "name": "tiny",
        "version": "1.2.3",
        "made_at": "2025-01-31T12:00:00Z",
        "finder": FinderSpec("finder.tflite", 24, 32, (8,), 1.5, 0.5, 0.4),
        "classifier": ClassifierSpec(
            "classifier.tflite", "masknet", 16, 0.25, ("without_mask", "with_mask"), "logit", 1.0, 0.5, True
        ),
        "members": {},
        "report": {"accuracy": 0.75, "note": "ünïcode", "faces": {"ap50": 0.5}},
        "training": {"commit": "0123abc"},
        "reference_histograms": {"mask": tuple(range(20))},
        "golden": (),
    }
    return Manifest(**(parts | changes))


def tiny_members() -> dict[str, bytes]:
    return {
        "finder.tflite": tiny_model("finder"),
        "classifier.tflite": tiny_model("classifier_int8"),
        "MODEL_CARD.md": b"# Tiny\n",
    }


def tiny_bundle(folder: Path, **changes: object) -> Path:
    """Write tiny-1.2.3.maskwatch, with two golden vectors a network, and return its path."""
    members = tiny_members()
    golden = [
        vector
        for name in ("finder.tflite", "classifier.tflite")
        for vector in make_golden(TFLiteNetwork(members[name]), name, ("one", "two"))
    ]
    return write_bundle(folder, tiny_manifest(**({"golden": tuple(golden)} | changes)), members).path


def _make_models() -> None:
    import tempfile

    import keras
    import numpy as np
    import tensorflow as tf

    keras.utils.set_random_seed(7)
    layers = keras.layers

    def convert(model: keras.Model, kind: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            model.export(folder, verbose=False)
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            if kind != "float32":
                random = np.random.default_rng(7)
                shape = (1, *model.input_shape[1:])
                pictures = [random.integers(0, 256, shape).astype(np.float32) for _ in range(40)]
                pictures += [np.full(shape, grey, np.float32) for grey in range(0, 256, 15)]
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.representative_dataset = lambda: ([picture] for picture in pictures)
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
                converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(kind)
            return bytes(converter.convert())

    picture = keras.Input((24, 32, 3), batch_size=1)
    features = layers.Rescaling(1 / 127.5, -1)(picture)
    features = layers.Conv2D(6, 3, strides=8, padding="same", activation="relu")(features)
    scores = layers.Reshape((-1, 1))(layers.Conv2D(1, 3, padding="same")(features))
    boxes = layers.Reshape((-1, 4))(layers.Conv2D(4, 3, padding="same")(features))
    (DATA / "tiny_finder.tflite").write_bytes(convert(keras.Model(picture, [scores, boxes]), "int8"))

    picture = keras.Input((16, 16, 3), batch_size=1)
    features = layers.Rescaling(1 / 127.5, -1)(picture)
    features = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(features)
    logit = layers.Dense(1)(layers.GlobalAveragePooling2D()(features))
    classifier = keras.Model(picture, logit)
    for kind in ("int8", "uint8", "float32"):
        (DATA / f"tiny_classifier_{kind}.tflite").write_bytes(convert(classifier, kind))


def _make_models_of_others() -> None:
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(7)

    def weights(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    def picture(height_px: int | None, width_px: int | None) -> tf.TensorSpec:
        return tf.TensorSpec((1, height_px, width_px, 3), tf.float32)

    def write(name: str, function: Callable[..., object], *inputs: tf.TensorSpec) -> None:
        concrete = tf.function(function, input_signature=inputs).get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
        (DATA / f"tiny_{name}.tflite").write_bytes(converter.convert())

    def operators(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values = tf.nn.depthwise_conv2d(values, weights(3, 3, 3, 2), (1, 2, 2, 1), "SAME")
        values = tf.nn.conv2d(values, weights(3, 3, 3, 4), 1, "SAME")  # 3 of the 6 channels at a time: two groups
        values = tf.nn.conv2d_transpose(values, weights(2, 2, 5, 4), (1, 8, 8, 5), 2)
        values = tf.reshape(values, (64, 5)) @ weights(5, 7)
        return values, tf.argmax(values, axis=0)

    def failing(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.nn.relu(values) * 2, tf.cast(values[0, 0, :2, 0] + 1000, tf.int32), axis=1)

    write("operators", operators, picture(8, 8))
    write("two_inputs", lambda left, right: left + right, picture(8, 8), picture(8, 8))
    write("any_size", lambda values: tf.nn.relu(values) * 2, picture(None, None))
    write("failing", failing, picture(8, 8))


if __name__ == "__main__":
    _make_models()
    _make_models_of_others()
