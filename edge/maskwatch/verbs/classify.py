"""`maskwatch classify`: one verdict a picture, masked or not."""

from __future__ import annotations

import argparse
from pathlib import Path

from maskwatch.errors import ExitCode, ImageError

HELP = "say of each picture whether a mask is worn: with_mask or without_mask"
EXAMPLE = "  maskwatch classify --json portrait.jpg"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="picture files")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="model bundle (default: the built-in one)")


def run(args: argparse.Namespace) -> ExitCode:
    """Classify each picture; a picture that cannot be read is named, and the others are still answered."""
    from maskwatch.images import read_image
    from maskwatch.pipeline import load_pipeline
    from maskwatch.verbs.pictures import Outcome, chosen_bundle, json_line, text_line

    pipeline = load_pipeline(chosen_bundle(args.bundle))
    outcome = Outcome()
    for path in args.images:
        try:
            image = read_image(path)
        except ImageError as fault:
            outcome.failed(fault)
            continue
        verdict = pipeline.classify(image)
        label, height_px, width_px = verdict.label.value, *image.shape[:2]
        if args.json:
            print(json_line(str(path), width_px, height_px, label, verdict.score, verdict.faces), flush=True)
        else:
            print(text_line(str(path), label, verdict.score, verdict.faces), flush=True)
        outcome.answered += 1
    return outcome.exit_code
