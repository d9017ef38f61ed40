"""`maskwatch bundle show|verify`: what is in a model bundle, and does it work on this machine."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import BundleError, ExitCode, RuntimeMissingError

if TYPE_CHECKING:
    from maskwatch.bundle import Bundle
    from maskwatch.manifest import Manifest

HELP = "show or verify a model bundle"
EXAMPLE = "  maskwatch bundle verify masknet-1.0.0.maskwatch"

HEADLINES = (
    "classification.accuracy",
    "classification.without_mask.precision",
    "classification.without_mask.recall",
    "classification.without_mask.f1",
    "classification.with_mask.f1",
    "detection.ap50.face.min_height_32_px",
    "detection.ap50.masked.min_height_32_px",
    "detection.ap50.unmasked.min_height_32_px",
)
"""The report's figures that `show` prints; the whole report is in `--json`."""

MAX_FIGURES = 24
"""How many figures `show` prints of a report that has none of these."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `verify`; `ok` is None where this machine could not run the check."""

    name: str
    ok: bool | None
    detail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `show` and `verify`, each with an optional FILE."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="show|verify")
    for name, text in (
        ("show", "print what a bundle holds and how accurate it is"),
        ("verify", "check a bundle's hashes and schema, then run its golden vectors on this machine"),
    ):
        action = actions.add_parser(name, help=text, description=text, epilog=f"example: maskwatch bundle {name}")
        action.add_argument("--json", action="store_true", help="print one JSON object on one line")
        action.add_argument(
            "file", metavar="FILE", nargs="?", type=Path, help="a .maskwatch file (default: the built-in one)"
        )


def run(args: argparse.Namespace) -> ExitCode:
    """Answer on stdout. FINDING where a network does not do on this machine what the bundle promises.

    Raises BundleError for a file that is no sound bundle.
    """
    from maskwatch.bundle import default_bundle_path, open_bundle

    bundle = open_bundle(args.file or default_bundle_path())
    if args.action == "show":
        print(_show_json(bundle.manifest) if args.json else "\n".join(_show_lines(bundle)))
        return ExitCode.DONE
    checks = list(_verify(bundle))
    if args.json:
        print(json.dumps({"path": str(bundle.path), "checks": [dataclasses.asdict(check) for check in checks]}))
    else:
        words = {True: "ok", False: "failed", None: "not run"}
        print("\n".join(f"{words[check.ok]:<8}{check.name}: {check.detail}" for check in checks))
    return ExitCode.FINDING if any(check.ok is False for check in checks) else ExitCode.DONE


def _show_json(manifest: Manifest) -> str:
    from maskwatch.manifest import to_json

    return json.dumps(json.loads(to_json(manifest)), sort_keys=True)


def _show_lines(bundle: Bundle) -> Iterator[str]:
    manifest = bundle.manifest
    yield f"{manifest.name} {manifest.version}, made {manifest.made_at}"
    yield f"file        {bundle.path}, {bundle.size_bytes:,} bytes"
    yield f"sha256      {bundle.sha256}"
    finder, classifier = manifest.finder, manifest.classifier
    if finder is None:
        yield "finder      none: whole pictures only"
    else:
        strides = ", ".join(map(str, finder.strides))
        yield f"finder      {finder.file}, {finder.width_px}×{finder.height_px} px, strides {strides}"
        yield f"            score ≥ {finder.score_threshold:g}, overlap ≤ {finder.iou_threshold:g}"
    yield f"classifier  {classifier.file}, {classifier.architecture}, {classifier.size_px}×{classifier.size_px} px"
    if classifier.second_look is not None:
        yield f"            a face from score ≥ {classifier.second_look.score_threshold:g}, at a second look"
    yield f"            masked from P ≥ {classifier.threshold:g}, margin {classifier.margin_ratio:g}"
    for name, member in sorted(manifest.members.items()):
        yield f"member      {name}, {member.size_bytes:,} bytes"
    yield f"golden      {len(manifest.golden)} vectors"
    figures = dict(_figures(manifest.report))
    shown = [name for name in HEADLINES if name in figures] or list(figures)[:MAX_FIGURES]
    for name in shown:
        yield f"report      {name} {figures[name]:g}"
    if len(figures) > len(shown):
        yield f"report      … {len(figures) - len(shown)} more figures: --json"


def _figures(report: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The report's numbers, the outermost first, as dotted names."""
    for key, value in report.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + key, value
    for key, value in report.items():
        if isinstance(value, dict):
            yield from _figures(value, f"{prefix}{key}.")


def _verify(bundle: Bundle) -> Iterator[Check]:
    from maskwatch.interpreter import load_runtime

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


def _verify_network(bundle: Bundle, name: str, height_px: int, width_px: int) -> Iterator[Check]:
    from maskwatch.golden import check_golden
    from maskwatch.interpreter import TFLiteNetwork

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
        same = check_golden(network, vector)
        yield Check(
            name, same, f"golden vector {vector.seed} {'answered bit for bit' if same else 'answered differently'}"
        )
