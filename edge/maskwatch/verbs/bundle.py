"""`maskwatch bundle show|verify|sign`: what is in a model bundle, who made it, and does it work on this machine."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode
from maskwatch.verbs.plain import one_line

if TYPE_CHECKING:
    from maskwatch.bundle import Bundle
    from maskwatch.manifest import Manifest
    from maskwatch.verify import Check

HELP = "show, verify or sign a model bundle"
EXAMPLE = """  maskwatch bundle verify masknet-1.0.0.maskwatch
  maskwatch bundle sign --key ~/.ssh/id_ed25519 masknet-1.0.0.maskwatch"""

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `show` and `verify`, each with an optional FILE, and `sign`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="show|verify|sign")
    for name, text in (
        ("show", "print what a bundle holds and how accurate it is"),
        ("verify", "check a bundle's signature, hashes and schema, then run its golden vectors on this machine"),
    ):
        action = actions.add_parser(name, help=text, description=text, epilog=f"example: maskwatch bundle {name}")
        action.add_argument("--json", action="store_true", help="print one JSON object on one line")
        action.add_argument(
            "file", metavar="FILE", nargs="?", type=Path, help="a .maskwatch file (default: the built-in one)"
        )
    for option, text in (
        (
            "--allowed-signers",
            "whose signatures count, a file of ssh-keygen(1) (default: this machine's, if it has one)",
        ),
        ("--revoked-keys", "keys that count no more (default: revoked_keys beside the allowed_signers)"),
    ):
        action.add_argument(option, metavar="FILE", type=Path, help=text)
    text = "sign a bundle with OpenSSH: writes FILE.sig, which goes wherever FILE goes"
    example = "example: maskwatch bundle sign --key ~/.ssh/id_ed25519 masknet-1.0.0.maskwatch"
    action = actions.add_parser("sign", help=text, description=text, epilog=example)
    action.add_argument(
        "--key", metavar="KEY", type=Path, required=True, help="a private key, or a public one of the ssh-agent"
    )
    action.add_argument("file", metavar="FILE", type=Path, help="a .maskwatch file")


def run(args: argparse.Namespace) -> ExitCode:
    """Answer on stdout. FINDING where a network does not do on this machine what the bundle promises.

    Raises BundleError for a file that is no sound bundle, SignatureError for one that nobody trusted has signed, and
    OperatorError for a key or a file of keys that cannot be used.
    """
    from maskwatch.bundle import default_bundle_path, open_bundle
    from maskwatch.verify import verify_networks

    if args.action == "sign":
        from maskwatch.signature import sign

        print(one_line(str(sign(args.file, args.key))))
        return ExitCode.DONE
    if args.action == "show":
        bundle = open_bundle(args.file or default_bundle_path())
        print(_show_json(bundle.manifest) if args.json else "\n".join(_show_lines(bundle)))
        return ExitCode.DONE
    signer, signed, bundle = _signed_bundle(args)
    checks = [signed, *verify_networks(bundle)]
    if args.json:
        plain = [dataclasses.asdict(check) for check in checks]
        print(json.dumps({"path": str(bundle.path), "signer": signer, "checks": plain}))
    else:
        words = {True: "ok", False: "failed", None: "not run"}
        print("\n".join(f"{words[check.ok]:<8}{check.name}: {check.detail}" for check in checks))
    return ExitCode.FINDING if any(check.ok is False for check in checks) else ExitCode.DONE


def _signed_bundle(args: argparse.Namespace) -> tuple[str | None, Check, Bundle]:
    """Who signed it, that in words, and the bundle; whose networks are left alone unless the signature is good."""
    from maskwatch.bundle import default_bundle_path, open_bundle, read_bundle, verify_bundle
    from maskwatch.errors import OperatorError, SignatureError
    from maskwatch.signature import check_signature, read_signature
    from maskwatch.trust import is_there, trust_of
    from maskwatch.verify import Check

    trust = trust_of(args.allowed_signers, args.revoked_keys)
    for given in filter(None, (args.allowed_signers, args.revoked_keys)):
        if not is_there(given):
            raise OperatorError(f"{given} is not there: check the name")
    if args.file is None:
        return None, Check("signature", None, "came with Maskwatch itself"), open_bundle(default_bundle_path())
    data = read_bundle(args.file)
    signature = read_signature(args.file)
    try:
        signer = check_signature(data, signature, trust)
    except SignatureError as error:
        raise SignatureError(f"{args.file}: {error}") from error
    if signer is None:
        state = "none" if signature is None else "there, but not checked"
        check = Check("signature", None, f"{state}; {trust.allowed_signers} is not there to ask for one")
    else:
        check = Check("signature", True, f"good, by {signer}")
    return signer, check, verify_bundle(data, args.file)


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
