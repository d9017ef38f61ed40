from __future__ import annotations

import functools
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from maskwatch import interpreter
from maskwatch.errors import BundleError, RuntimeMissingError
from maskwatch.golden import golden_picture
from maskwatch.interpreter import TFLiteNetwork
from tiny_models import DATA, tiny_model


def pictures(count: int, height_px: int = 16, width_px: int = 16) -> np.ndarray:
    shape = (count, height_px, width_px, 3)
    return np.stack([golden_picture(f"picture-{index}", height_px, width_px) for index in range(count)]).reshape(shape)


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_quantised_networks_answer_nearly_as_the_float_one_to_the_same_bytes(kind: str) -> None:
    batch = pictures(8)
    (expected,) = TFLiteNetwork(tiny_model("classifier_float32"))(batch)
    (answered,) = TFLiteNetwork(tiny_model(f"classifier_{kind}"))(batch)
    assert answered.dtype == expected.dtype == np.float32
    assert answered.shape == expected.shape == (8, 1)
    assert expected.std() > 0.08
    np.testing.assert_allclose(answered, expected, atol=0.03)


def test_raw_outputs_are_as_the_model_stores_them() -> None:
    raw = [TFLiteNetwork(tiny_model(f"classifier_{kind}")).run_quantised(pictures(4))[0] for kind in ("int8", "uint8")]
    assert [values.dtype for values in raw] == [np.int8, np.uint8]
    np.testing.assert_array_equal(raw[0].astype(int) + 128, raw[1])


def test_a_batch_is_answered_as_its_pictures_one_by_one_are() -> None:
    network = TFLiteNetwork(tiny_model("finder"))
    batch = pictures(3, 24, 32)
    together = network(batch)
    alone = [network(batch[index : index + 1]) for index in range(3)]
    for output, shape in enumerate([(3, 12, 1), (3, 12, 4)]):
        assert together[output].shape == shape
        np.testing.assert_array_equal(together[output], np.concatenate([answer[output] for answer in alone]))


def test_outputs_follow_the_signature_and_not_the_file() -> None:
    """The converter stores the tiny finder's boxes before its scores."""
    from ai_edge_litert.interpreter import Interpreter

    stored = Interpreter(str(DATA / "tiny_finder.tflite")).get_output_details()
    assert [details["shape"][-1] for details in stored] == [4, 1]
    network = TFLiteNetwork(tiny_model("finder"))
    assert [output.shape[-1] for output in network(pictures(1, 24, 32))] == [1, 4]


def test_ten_and_more_outputs_are_ordered_by_number() -> None:
    names = [f"output_{number}" for number in (10, 2, 0, 11, 1)]
    runner = SimpleNamespace(get_output_details=lambda: {name: {"name": name} for name in names})
    stub = SimpleNamespace(get_signature_list=lambda: {"serving_default": {}}, get_signature_runner=lambda: runner)
    ordered = [details["name"] for details in interpreter._ordered_outputs(stub)]
    assert ordered == [f"output_{number}" for number in (0, 1, 2, 10, 11)]


def test_no_picture_gives_no_rows() -> None:
    scores, boxes = TFLiteNetwork(tiny_model("finder"))(np.empty((0, 24, 32, 3), np.uint8))
    assert (scores.shape, boxes.shape, scores.dtype) == ((0, 12, 1), (0, 12, 4), np.float32)


def test_results_belong_to_the_caller() -> None:
    network = TFLiteNetwork(tiny_model("classifier_float32"))
    (first,) = network(pictures(1))
    before = first.copy()
    network(np.full((1, 16, 16, 3), 255, np.uint8))
    np.testing.assert_array_equal(first, before)


def test_threads_do_not_change_a_bit() -> None:
    batch = pictures(4, 24, 32)
    one, four = (TFLiteNetwork(tiny_model("finder"), threads).run_quantised(batch) for threads in (1, 4))
    for left, right in zip(one, four, strict=True):
        np.testing.assert_array_equal(left, right)


def test_input_shape_is_height_before_width() -> None:
    assert TFLiteNetwork(tiny_model("finder")).input_shape == (1, 24, 32, 3)


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, 32, 24, 3), np.uint8),
        np.zeros((24, 32, 3), np.uint8),
        np.zeros((1, 24, 32, 3), np.float32),
        np.zeros((1, 24, 32, 1), np.uint8),
    ],
)
def test_other_inputs_are_refused(batch: np.ndarray) -> None:
    with pytest.raises(ValueError, match="batch is"):
        TFLiteNetwork(tiny_model("finder"))(batch)


@pytest.mark.parametrize("model", [b"", b"not a model", b"\0" * 4096, tiny_model("finder")[:3000]])
def test_bytes_that_are_no_model_are_a_bundle_error(model: bytes) -> None:
    with pytest.raises(BundleError, match="not a TFLite model"):
        TFLiteNetwork(model)


def test_a_runtime_without_xnnpack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = functools.partial(
        Interpreter, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    runtime = SimpleNamespace(__name__="slow_runtime.interpreter", Interpreter=plain)
    monkeypatch.setattr(interpreter, "load_runtime", lambda: runtime)
    with pytest.raises(RuntimeMissingError, match="slow_runtime runs this model without XNNPACK"):
        TFLiteNetwork(tiny_model("finder"))


def test_no_runtime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "RUNTIMES", ("no_such_runtime.interpreter",))
    with pytest.raises(RuntimeMissingError, match="install ai-edge-litert"):
        TFLiteNetwork(tiny_model("finder"))


def test_the_runtime_does_not_chatter_on_stderr() -> None:
    code = "import sys, tiny_models\nfrom maskwatch.interpreter import TFLiteNetwork\n"
    code += "TFLiteNetwork(tiny_models.tiny_model('finder'))\nprint('still heard', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=DATA.parent, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "still heard\n")


def test_two_networks_may_run_in_two_threads() -> None:
    expected = TFLiteNetwork(tiny_model("finder"))(pictures(1, 24, 32))[0]
    answers: list[np.ndarray] = []

    def work() -> None:
        network = TFLiteNetwork(tiny_model("finder"))
        answers.extend(network(pictures(1, 24, 32))[0] for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(answers) == 100
    assert all(np.array_equal(answer, expected) for answer in answers)
