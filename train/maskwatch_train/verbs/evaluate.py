"""`maskwatch evaluate`: measures bundles and trained runs on one part of the data, side by side."""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
from collections.abc import Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import DataError, ExitCode

if TYPE_CHECKING:
    from maskwatch.pipeline import Pipeline

    from maskwatch_train.evaluate import Evaluation

HELP = "measure bundles and trained networks on photographs with known answers"
EXAMPLE = """  maskwatch evaluate --data data --out report
  maskwatch evaluate --bundle new.maskwatch --keras runs/first --bundle baseline.maskwatch --out report"""

PARTS = ("test", "validation", "train")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument(
        "--bundle", type=Path, action="append", default=[], metavar="FILE",
        help="a bundle to measure; may be given again (default: the built-in one)",
    )  # fmt: skip
    parser.add_argument(
        "--keras", type=Path, action="append", default=[], metavar="RUN_DIR",
        help="a training run, whose float networks are measured beside the bundles; may be given again",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, default=Path("data"), metavar="DIR", help="data sets (default: %(default)s)"
    )
    parser.add_argument("--faces", type=Path, metavar="CSV", help="face boxes of the classification pictures")
    parser.add_argument("--split", choices=PARTS, default="test", help="which part of the data (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of the split; the one that training used (default: training's own)")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="also write report.txt, report.json, report.png and mistakes.png there"
    )
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object instead of text")


def run(args: argparse.Namespace) -> ExitCode:
    """Measure each pipeline in turn; the report goes to stdout, progress to stderr."""
    from tqdm import tqdm

    from maskwatch_train.evaluate import evaluate_pipeline
    from maskwatch_train.recipes import DEFAULT_SEED
    from maskwatch_train.report import ReportContext, report_json, report_text, write_report
    from maskwatch_train.runs import code_identity
    from maskwatch_train.split import data_identity, default_cache, load_split

    seed = DEFAULT_SEED if args.seed is None else args.seed
    split = load_split(args.data, seed, default_cache(), args.faces)
    samples = {"test": split.test, "validation": split.validation, "train": split.train}[args.split]
    if not samples:
        raise DataError(f"the {args.split} part of {args.data} is empty: give more pictures, or choose another --split")

    evaluations: dict[str, Evaluation] = {}
    for name, pipeline in _pipelines(args.bundle, args.keras):
        progress = functools.partial(tqdm, desc=name, unit=" pictures", file=sys.stderr, disable=None)
        evaluations[_free_name(name, evaluations)] = evaluate_pipeline(pipeline, samples, progress)

    code = code_identity()
    context = ReportContext(
        data=data_identity((*split.train, *split.validation, *split.test)),
        split=args.split,
        seed=seed,
        code=f"{code['version']} ({code['commit']})",
    )
    if args.out is not None:
        write_report(args.out, evaluations, context)
        print(f"the report is in {args.out}", file=sys.stderr)
    report = json.dumps(report_json(evaluations, context)) if args.json else report_text(evaluations, context).rstrip()
    print(report)
    return ExitCode.DONE


def _pipelines(bundles: list[Path], runs: list[Path]) -> Iterator[tuple[str, Pipeline]]:
    """Each pipeline with its column's name, loaded only when its turn comes: bundles first, then float networks."""
    from maskwatch.bundle import default_bundle_path, open_bundle
    from maskwatch.pipeline import load_pipeline

    for path in bundles or ([] if runs else [default_bundle_path()]):
        bundle = open_bundle(path)
        yield f"{bundle.manifest.name} {bundle.manifest.version} int8", load_pipeline(bundle)
    if runs:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        from maskwatch_train.keras_network import load_keras_pipeline

        for folder in runs:
            yield f"{folder.resolve().name} float", load_keras_pipeline(folder)


def _free_name(name: str, taken: Container[str]) -> str:
    """The name itself or, where two pipelines share it, one with a number."""
    number = 2
    free = name
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    return free
