"""A network that runs on a TFLite runtime. The only module that imports one."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from maskwatch.errors import BundleError, RuntimeMissingError, RuntimeRefusedError
from maskwatch.preprocess import quantise
from maskwatch.quiet import quiet_decoders

Raw = npt.NDArray[Any]
"""A tensor as the model stores it: int8, uint8 or float32."""

Shape = tuple[int, ...]

Operator = tuple[str, tuple[Shape, ...], tuple[Shape, ...]]
"""One step of a model: its name in TFLite (`CONV_2D`), and the shapes of its inputs and of its outputs, in order."""

LOAD_PATIENCE_S = 1.0
"""What loading a model waits for a frame that is being decoded, so that no runtime's chatter reaches the user."""

RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
"""Modules that offer `Interpreter`, best first. tflite-runtime 2.14 leaves int8 models to other kernels than XNNPACK,
on arm64 as on x86-64, so it is refused for them."""

_DELEGATE = "DELEGATE"


class Network(Protocol):
    """Pictures in, numbers out; the shapes and the meaning of the outputs belong to the model."""

    def __call__(self, batch: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], ...]:
        """Run N×H×W×3 uint8 RGB pictures. Returns the model's outputs, float32, each with N as its first dimension."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One input or output of a model: real value = (stored value − zero_point) × scale; scale 0 for float tensors."""

    index: int
    shape: Shape
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    def dequantised(self, values: Raw) -> npt.NDArray[np.float32]:
        real = values.astype(np.float32)
        return real if self.dtype.kind == "f" else (real - np.float32(self.zero_point)) * np.float32(self.scale)


class PictureModel:
    """A TFLite model with one picture as its input (int8, uint8, float32) and any outputs: to time it and to count."""

    def __init__(self, model: bytes, threads: int = 1) -> None:
        """Load a model.

        Raises RuntimeRefusedError where the runtime does not load the model, BundleError where it has other inputs than
        one picture of a fixed size, and RuntimeMissingError where no runtime is installed or XNNPACK is off: other
        kernels give other int8 results.
        """
        runtime = load_runtime()
        # "INFO: Created TensorFlow Lite XNNPACK delegate" has no setting to turn it off.
        with quiet_decoders(LOAD_PATIENCE_S):
            try:
                self._interpreter = runtime.Interpreter(model_content=model, num_threads=threads)
                self._interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise RuntimeRefusedError(
                    f"not a TFLite model that this runtime can run: {_one_line(error)}"
                ) from error
        # The runtime offers no public way to ask; a delegate shows as one more operator, appended to the model's own.
        operators = [operator["op_name"] for operator in self._interpreter._get_ops_details()]
        if _DELEGATE not in operators:
            raise RuntimeMissingError(
                f"{runtime.__name__.partition('.')[0]} runs this model without XNNPACK, so its results would "
                "differ from those the model was tested with: install ai-edge-litert on a 64-bit system"
            )
        inputs = self._interpreter.get_input_details()
        if len(inputs) != 1:
            raise BundleError(f"the model has {len(inputs)} inputs, must have one")
        self._input = _tensor(inputs[0])
        if len(self._input.shape) != 4 or self._input.shape[0] != 1 or self._input.shape[3] != 3:
            raise BundleError(f"the model's input is {self._input.shape}, must be (1, height, width, 3)")
        if -1 in inputs[0]["shape_signature"][1:]:
            raise BundleError("the model's input has no fixed size; convert it with a fixed height and width")

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """The input's shape: 1, height, width, channels."""
        _, height, width, channels = self._input.shape
        return 1, height, width, channels

    def operators(self) -> tuple[Operator, ...]:
        """The model's own operators, in the order they run in; an optional input that is left out has the shape ()."""
        shapes = {
            int(tensor["index"]): tuple(int(size) for size in tensor["shape"])
            for tensor in self._interpreter.get_tensor_details()
        }

        def of(indexes: npt.NDArray[np.int32]) -> tuple[Shape, ...]:
            return tuple(shapes.get(int(index), ()) for index in indexes)

        # What a delegate runs stays listed, so the delegate itself would count it twice.
        return tuple(
            (operator["op_name"], of(operator["inputs"]), of(operator["outputs"]))
            for operator in self._interpreter._get_ops_details()
            if operator["op_name"] != _DELEGATE
        )

    def set_picture(self, picture: npt.NDArray[np.uint8]) -> None:
        """Make an H×W×3 uint8 RGB picture of the input's size what `invoke` runs on."""
        self._interpreter.set_tensor(self._input.index, self._as_input(picture[None]))

    def invoke(self) -> None:
        """Run the model; its outputs stay inside. Raises RuntimeRefusedError where it fails on this picture."""
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise RuntimeRefusedError(f"the model fails while it runs: {_one_line(error)}") from error

    def _as_input(self, batch: npt.NDArray[np.uint8]) -> Raw:
        return quantise(batch, self._input.scale, self._input.zero_point, self._input.dtype)


class TFLiteNetwork(PictureModel):
    """A TFLite model with one picture as its input; int8, uint8 or float32 in and out.

    Outputs come in the order of the signature's names (Keras: `output_0`, `output_1`, …), which the converter may store
    in another order. Every result is the caller's own copy. Not for use by two threads at a time.
    """

    def __init__(self, model: bytes, threads: int = 1) -> None:
        """Load a model and check that it can be served. Raises as `PictureModel` does, for its outputs too."""
        super().__init__(model, threads)
        self._outputs = tuple(_tensor(details) for details in _ordered_outputs(self._interpreter))
        for output in self._outputs:
            if output.shape[:1] != (1,):
                raise BundleError(f"the model has an output of shape {output.shape}, must be (1, ...)")

    def __call__(self, batch: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], ...]:
        """Run N×H×W×3 uint8 RGB pictures, one after the other. Returns float32 outputs, each N×rest."""
        raw = self.run_quantised(batch)
        return tuple(output.dequantised(values) for output, values in zip(self._outputs, raw, strict=True))

    def run_quantised(self, batch: npt.NDArray[np.uint8]) -> tuple[Raw, ...]:
        """Run N×H×W×3 uint8 RGB. Returns outputs, each N×rest, as the model stores them: int8 for int8 models."""
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != self._input.shape[1:]:
            raise ValueError(f"batch is {batch.dtype} {batch.shape}, must be uint8 (N, {self._input.shape[1:]})")
        if len(batch) == 0:
            return tuple(np.empty((0, *output.shape[1:]), output.dtype) for output in self._outputs)
        values = self._as_input(batch)
        rows = [self._run_one(values[index : index + 1]) for index in range(len(values))]
        return rows[0] if len(rows) == 1 else tuple(np.concatenate(column) for column in zip(*rows, strict=True))

    def _run_one(self, values: Raw) -> tuple[Raw, ...]:
        self._interpreter.set_tensor(self._input.index, values)
        self.invoke()
        return tuple(self._interpreter.get_tensor(output.index) for output in self._outputs)  # get_tensor copies


def load_runtime() -> Any:
    """Import the best TFLite runtime there is. Raises RuntimeMissingError where there is none."""
    reasons = []
    for name in RUNTIMES:
        try:
            return importlib.import_module(name)
        except ImportError as error:
            reasons.append(_one_line(error))
    raise RuntimeMissingError(
        f"no TFLite runtime: install ai-edge-litert with pip, on a 64-bit system ({'; '.join(reasons)})"
    )


def _tensor(details: dict[str, Any]) -> _Tensor:
    dtype = np.dtype(details["dtype"])
    if dtype not in (np.int8, np.uint8, np.float32):
        raise BundleError(f"the model has a {dtype} input or output, must be int8, uint8 or float32")
    scale, zero_point = details["quantization"]
    if dtype.kind != "f" and not scale > 0:
        raise BundleError(f"the model has a {dtype} input or output with no scale")
    shape = tuple(int(size) for size in details["shape"])
    return _Tensor(int(details["index"]), shape, dtype, float(scale), int(zero_point))


def _ordered_outputs(interpreter: Any) -> list[dict[str, Any]]:
    """The outputs' details, sorted by the only signature's names, numbers as numbers; as stored where there is none."""
    if len(interpreter.get_signature_list()) != 1:
        return list(interpreter.get_output_details())
    named = interpreter.get_signature_runner().get_output_details()

    def order(name: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]

    return [named[name] for name in sorted(named, key=order)]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
