from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from maskwatch.golden import check_golden, golden_picture, make_golden
from maskwatch.interpreter import TFLiteNetwork
from maskwatch.manifest import GoldenVector
from tiny_models import tiny_model


def test_a_seed_gives_the_same_picture_for_ever() -> None:
    """Bundles in the field carry digests of answers to these pictures; another picture would condemn them all."""
    picture = golden_picture("one", 20, 28)
    assert (picture.shape, picture.dtype) == ((20, 28, 3), np.uint8)
    assert picture[0, 0].tolist() == list(hashlib.shake_256(b"one").digest(3))
    assert picture[19, 27].tolist() == list(hashlib.shake_256(b"one").digest(36)[-3:])  # the twelfth patch of 3×4
    assert hashlib.sha256(picture.tobytes()).hexdigest() == (
        "78f1339184d0e34df6cdf30e88042aae134b1cfa3f71023eeb78650c48b81f7e"
    )


def test_pictures_are_patches_of_many_colours() -> None:
    picture = golden_picture("one", 64, 64)
    assert (picture[:8, :8] == picture[0, 0]).all()
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 64
    assert not np.array_equal(picture, golden_picture("two", 64, 64))


def test_this_machine_answers_as_the_one_that_made_the_models_did() -> None:
    """Pins that int8 results are the same to the bit, whatever the processor and the runtime's version."""
    recorded = (
        GoldenVector("finder.tflite", "one", "5b083e3d27aa3e717383ac8024c2e3a133e4f880bb4173f6976f6a977229a065"),
        GoldenVector("finder.tflite", "two", "437ba12d71e141d2ca7a25a844eeac3750d17965167d8f5206e0e9bc230478a3"),
    )
    network = TFLiteNetwork(tiny_model("finder"))
    assert make_golden(network, "finder.tflite", ["one", "two"]) == recorded
    assert all(check_golden(network, vector) for vector in recorded)


def test_another_seed_another_digest_or_another_network_does_not_pass() -> None:
    network = TFLiteNetwork(tiny_model("classifier_int8"))
    (vector,) = make_golden(network, "classifier.tflite", ["one"])
    assert check_golden(network, vector)
    assert not check_golden(network, dataclasses.replace(vector, seed="two"))
    assert not check_golden(network, dataclasses.replace(vector, outputs_sha256="0" * 64))
    assert not check_golden(TFLiteNetwork(tiny_model("classifier_uint8")), vector)
