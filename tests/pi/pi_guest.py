"""Runs inside the arm64 root filesystem: `pi_guest.py PASSES FOLDER [BUNDLE]`.

Lets every `*.tflite` of the folder, in the order of their names, look at one blank picture: some passes to warm up,
then PASSES, with a mark for the counting plugin before, between and after them. Then checks the bundle's golden
vectors. Prints one JSON object.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import types
from pathlib import Path
from typing import Any

MARK = -424242
"""As in insncount.c."""

NO_MARK = -1
"""Takes the same way, unnoticed."""

WARM_UPS = 2
"""Of two, the second is for Python, which settles later than the network."""


def count_passes(model: bytes, passes: int) -> bool:
    """Marks `passes` passes. Tells whether XNNPACK runs the model."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    for details in interpreter.get_input_details():
        interpreter.set_tensor(details["index"], np.zeros(details["shape"], details["dtype"]))
    mark, invoke = ctypes.CDLL(None).close, interpreter.invoke
    gc.disable()
    for value in [NO_MARK] * WARM_UPS + [MARK] * (passes + 1):  # one loop: Python learns each place by itself
        invoke()
        mark(value)
    gc.enable()
    return any(operator["op_name"] == "DELEGATE" for operator in interpreter._get_ops_details())


def check_golden_vectors(bundle_path: Path) -> dict[str, int]:
    """How many golden vectors the bundle has, and how many hold to the last bit."""
    # The edge imports OpenCV, which scales pictures; a golden vector needs no scaling.
    sys.modules["cv2"] = types.ModuleType("cv2")
    from maskwatch.bundle import open_bundle
    from maskwatch.golden import check_golden
    from maskwatch.interpreter import TFLiteNetwork

    bundle = open_bundle(bundle_path)
    vectors = bundle.manifest.golden
    networks = {name: TFLiteNetwork(bundle.member(name)) for name in {vector.member for vector in vectors}}
    return {"golden": len(vectors), "exact": sum(check_golden(networks[vector.member], vector) for vector in vectors)}


def main(passes: int, folder: Path, *bundles: Path) -> None:
    answer: dict[str, Any] = {
        "xnnpack": {path.name: count_passes(path.read_bytes(), passes) for path in sorted(folder.glob("*.tflite"))}
    }
    for bundle in bundles:
        answer |= check_golden_vectors(bundle)
    print(json.dumps(answer))


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(Path, sys.argv[2:]))
