"""Golden vectors: inputs that are the same for ever, and the digest of what a network must answer to the last bit.

A machine whose runtime gives other digests would give other verdicts than those the bundle was tested with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from maskwatch.interpreter import TFLiteNetwork
from maskwatch.manifest import GoldenVector

CELL_PX = 8
"""Side of one patch of colour. Noise of single pixels would average out in the first layers; patches do not."""


def golden_picture(seed: str, height_px: int, width_px: int) -> npt.NDArray[np.uint8]:
    """A height×width×3 uint8 picture of coloured patches, drawn from SHAKE-256 of the seed: no library's whim in it."""
    rows, columns = -(-height_px // CELL_PX), -(-width_px // CELL_PX)
    colours = hashlib.shake_256(seed.encode("utf-8")).digest(rows * columns * 3)
    grid = np.frombuffer(colours, np.uint8).reshape(rows, columns, 3)
    return grid.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)[:height_px, :width_px]


def make_golden(network: TFLiteNetwork, member: str, seeds: Iterable[str]) -> tuple[GoldenVector, ...]:
    """Record what the network answers to each seed's picture; `member` is its file's name in the bundle."""
    return tuple(GoldenVector(member, seed, _outputs_sha256(network, seed)) for seed in seeds)


def check_golden(network: TFLiteNetwork, vector: GoldenVector) -> bool:
    """Tell whether the network answers to the vector's picture bit for bit as recorded."""
    return _outputs_sha256(network, vector.seed) == vector.outputs_sha256


def _outputs_sha256(network: TFLiteNetwork, seed: str) -> str:
    """Digest of all raw outputs, each with its type and shape."""
    _, height_px, width_px, _ = network.input_shape
    digest = hashlib.sha256()
    for values in network.run_quantised(golden_picture(seed, height_px, width_px)[None]):
        digest.update(f"{values.dtype.name} {list(values.shape)}\n".encode("ascii"))
        digest.update(values.tobytes())
    return digest.hexdigest()
