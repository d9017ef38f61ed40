"""`maskwatch data fetch|inspect|boxes`: gets the data sets, says what is in them, finds the faces they lack."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from maskwatch.errors import ExitCode

HELP = "download the data sets, say what a folder of them holds, or find the face boxes it lacks"
EXAMPLE = "maskwatch data fetch --to data && maskwatch data inspect data --sheet sheet.png"

DEFAULT_FOLDER = Path("data")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-verbs."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="fetch|inspect|boxes")

    fetch = actions.add_parser("fetch", help="download both data sets from Kaggle and unpack them")
    fetch.add_argument("--to", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help="where to (default: data)")

    look = actions.add_parser("inspect", help="count pictures, labels, faces, near-duplicates and the split")
    look.add_argument("folder", type=Path, nargs="?", default=DEFAULT_FOLDER, metavar="DIR", help="default: data")
    look.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    look.add_argument("--sheet", type=Path, metavar="FILE.png", help="also draw random samples with their boxes")
    look.add_argument("--seed", type=int, help="of the split and of the sheet")

    boxes = actions.add_parser("boxes", help="find the faces of the classification set and write faces.csv")
    boxes.add_argument("folder", type=Path, nargs="?", default=DEFAULT_FOLDER, metavar="DIR", help="default: data")
    boxes.add_argument("--bundle", type=Path, metavar="FILE", help="whose face finder (default: the built-in bundle)")
    boxes.add_argument("--out", type=Path, metavar="CSV", help="default: faces.csv beside the classification set")


def run(args: argparse.Namespace) -> ExitCode:
    """Runs the chosen sub-verb."""
    return {"fetch": _fetch, "inspect": _inspect, "boxes": _boxes}[args.action](args)


def _fetch(args: argparse.Namespace) -> ExitCode:
    from maskwatch_train.fetch import fetch_all

    for home in fetch_all(args.to):
        print(home)
    return ExitCode.DONE


def _inspect(args: argparse.Namespace) -> ExitCode:
    from maskwatch_train.index import read_data
    from maskwatch_train.inspect_data import as_text, draw_sheet, inspect_data
    from maskwatch_train.recipes import DEFAULT_SEED
    from maskwatch_train.split import default_cache

    seed = DEFAULT_SEED if args.seed is None else args.seed
    inspection = inspect_data(args.folder, seed, default_cache())
    if args.sheet is not None:  # before the text, whose reader may go away: `… | head`
        draw_sheet(read_data(args.folder), args.sheet, seed)
        print(f"wrote {args.sheet}", file=sys.stderr)
    print(json.dumps(inspection.as_dict()) if args.json else as_text(inspection))
    return ExitCode.DONE


def _boxes(args: argparse.Namespace) -> ExitCode:
    from maskwatch.bundle import default_bundle_path, open_bundle
    from maskwatch.errors import DataError, OperatorError
    from maskwatch.pipeline import load_pipeline
    from tqdm import tqdm

    from maskwatch_train.boxes import find_boxes, write_boxes
    from maskwatch_train.index import default_faces_csv, read_data

    out = args.out or default_faces_csv(args.folder)
    if out is None:
        raise DataError(f"no classification set in {args.folder}; run `maskwatch data fetch`")
    if out.exists():
        raise DataError(f"{out} is there already; delete it first, or name another file with --out")
    if not out.parent.is_dir():  # said now, not after an hour's work
        raise OperatorError(f"{out.parent} is not a folder: make it, or name another file with --out")
    pipeline = load_pipeline(open_bundle(args.bundle or default_bundle_path()))
    rows = find_boxes(read_data(args.folder), pipeline, lambda samples: tqdm(samples, desc="faces", file=sys.stderr))
    write_boxes(out, rows)
    print(out)
    return ExitCode.DONE
