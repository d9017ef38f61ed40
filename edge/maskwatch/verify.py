"""Does a bundle that opens do on this machine what it promises: its networks' inputs, and its golden vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from maskwatch.bundle import Bundle
from maskwatch.errors import BundleError, RuntimeMissingError
from maskwatch.golden import check_golden, golden_picture
from maskwatch.interpreter import TFLiteNetwork, load_runtime
from maskwatch.types import Frame

PICTURE_PX = 128
"""Side of the picture that goes through the whole pipeline."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was verified; `ok` is None where this machine could not run the check.

    `golden` tells the golden vectors from the rest: where one fails the runtime is another, not the bundle bad.
    """

    name: str
    ok: bool | None
    detail: str
    golden: bool = False


def verify_networks(bundle: Bundle) -> Iterator[Check]:
    """Check each network's input against the manifest, and run its golden vectors.

    Raises RuntimeMissingError where the runtime has no XNNPACK.
    """
    manifest = bundle.manifest
    yield Check(
        "file", True, f"schema {manifest.schema_version}, {len(manifest.members)} members, sizes and hashes match"
    )
    shapes = {manifest.classifier.file: (manifest.classifier.size_px, manifest.classifier.size_px)}
    if manifest.finder is not None:
        shapes[manifest.finder.file] = (manifest.finder.height_px, manifest.finder.width_px)
    try:
        load_runtime()
    except RuntimeMissingError as error:
        yield Check("networks", None, str(error))
        return
    for name, (height_px, width_px) in shapes.items():
        yield from _verify_network(bundle, name, height_px, width_px)
    yield _verify_pipeline(bundle)


def _verify_pipeline(bundle: Bundle) -> Check:
    """Golden vectors see what networks answer; whether a door can make something of it shows here."""
    from maskwatch.pipeline import load_pipeline

    picture = golden_picture("pipeline", PICTURE_PX, PICTURE_PX)
    try:
        pipeline = load_pipeline(bundle)
        pipeline.faces(Frame(picture, captured_s=0.0))
        pipeline.classifier.picture(picture)
    except BundleError as error:
        return Check("pipeline", False, str(error))
    return Check("pipeline", True, "a picture goes all the way")


def _verify_network(bundle: Bundle, name: str, height_px: int, width_px: int) -> Iterator[Check]:
    try:
        network = TFLiteNetwork(bundle.member(name))
    except BundleError as error:
        yield Check(name, False, str(error))
        return
    found = network.input_shape[1:3]
    matches = found == (height_px, width_px)
    yield Check(name, matches, f"input {found[1]}×{found[0]} px, the manifest says {width_px}×{height_px}")
    vectors = [vector for vector in bundle.manifest.golden if vector.member == name]
    if not vectors:
        yield Check(name, None, "the bundle has no golden vectors for it")
    for vector in vectors:
        try:
            same = check_golden(network, vector)
        except BundleError as error:
            yield Check(name, False, f"golden vector {vector.seed}: {error}", golden=True)
            continue
        yield Check(
            name, same, f"golden vector {vector.seed} answered {'bit for bit' if same else 'differently'}", golden=True
        )
