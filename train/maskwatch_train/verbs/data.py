"""`maskwatch data fetch|inspect`: gets the data sets and says what is in them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from maskwatch.errors import ExitCode

HELP = "download the data sets, or say what a folder of them holds"
EXAMPLE = "maskwatch data fetch --to data && maskwatch data inspect data --sheet sheet.png"

DEFAULT_FOLDER = Path("data")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-verbs."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="fetch|inspect")

    fetch = actions.add_parser("fetch", help="download both data sets from Kaggle and unpack them")
    fetch.add_argument("--to", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help="where to (default: data)")

    look = actions.add_parser("inspect", help="count pictures, labels, faces, near-duplicates and the split")
    look.add_argument("folder", type=Path, nargs="?", default=DEFAULT_FOLDER, metavar="DIR", help="default: data")
    look.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    look.add_argument("--sheet", type=Path, metavar="FILE.png", help="also draw random samples with their boxes")
    look.add_argument("--seed", type=int, help="of the split and of the sheet")


def run(args: argparse.Namespace) -> ExitCode:
    """Runs the chosen sub-verb."""
    return _fetch(args) if args.action == "fetch" else _inspect(args)


def _fetch(args: argparse.Namespace) -> ExitCode:
    from maskwatch_train.fetch import fetch_all

    for home in fetch_all(args.to):
        print(home)
    return ExitCode.DONE


def _inspect(args: argparse.Namespace) -> ExitCode:
    from maskwatch_train.index import read_data
    from maskwatch_train.inspect_data import as_text, draw_sheet, inspect_data
    from maskwatch_train.split import DEFAULT_SEED, default_cache

    seed = DEFAULT_SEED if args.seed is None else args.seed
    inspection = inspect_data(args.folder, seed, default_cache())
    print(json.dumps(inspection.as_dict()) if args.json else as_text(inspection))
    if args.sheet is not None:
        draw_sheet(read_data(args.folder), args.sheet, seed)
        print(f"wrote {args.sheet}", file=sys.stderr)
    return ExitCode.DONE
