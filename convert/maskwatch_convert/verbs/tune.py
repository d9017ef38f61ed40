"""`maskwatch tune finder|classifier`: what a larger or a smaller network would gain, and cost."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwatch.errors import ExitCode
from maskwatch_train.recipes import DEFAULT_SEED

if TYPE_CHECKING:
    from maskwatch_convert.tune import Comparison, Tuner

HELP = "train several sizes of a network alike, and compare their accuracy and their time"
EXAMPLE = """  maskwatch tune finder --data data --run runs/default --out report
  maskwatch tune classifier --data data --run runs/default --out report"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("network", choices=("finder", "classifier"), help="which of the two networks")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--run", type=Path, default=Path("runs/default"), metavar="DIR", dest="run_folder",
        help="run folder; candidates go under tune/ in it, are trained once, and go on where they were cut off "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--faces", type=Path, metavar="CSV", help="face boxes of the classification pictures")
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write tune-NETWORK.txt, .json and .png there")
    parser.add_argument(
        "--epochs",
        type=_positive,
        metavar="N",
        help="of each training, if not the schedule's; a finder is then trained half as long again at its full size",
    )
    parser.add_argument("--samples", type=_positive, metavar="N", help="pictures an epoch, if not the schedule's")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the split, the weights and the augmentation")
    parser.add_argument("--json", action="store_true", help="one JSON object a candidate, one a line")


def run(args: argparse.Namespace) -> ExitCode:
    """Train what is not trained yet, measure, and print the table; progress goes to stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import cv2
    from maskwatch_train.report import ReportContext
    from maskwatch_train.runs import code_identity
    from maskwatch_train.split import data_identity, default_cache, load_split

    from maskwatch_convert.tune import Tuner
    from maskwatch_convert.tune_report import TuneReport, make_folder, write_tune_report

    cv2.setNumThreads(1)  # the loader's own threads keep the cores busy
    split = load_split(args.data, args.seed, default_cache(), args.faces)
    if args.out is not None:
        make_folder(args.out)
    with contextlib.redirect_stdout(sys.stderr):  # where Keras writes its progress
        comparison = _compare(Tuner(split, args.run_folder, args.seed, tell=_tell, progress=_progress), args)
    code = code_identity()
    data = data_identity((*split.train, *split.validation, *split.test))
    context = ReportContext(data, "validation", args.seed, f"{code['version']} ({code['commit']})")
    report = TuneReport(comparison, context)
    if args.out is not None:
        write_tune_report(args.out, report)
        _tell(f"the comparison is in {args.out}")
    for line in map(json.dumps, report.records()) if args.json else [report.text().rstrip()]:
        print(line)
    return ExitCode.DONE


def _compare(tuner: Tuner, args: argparse.Namespace) -> Comparison:
    from maskwatch_train import recipes

    from maskwatch_convert import candidates

    asked = {"epochs": args.epochs, "samples_per_epoch": args.samples}
    changes = {name: value for name, value in asked.items() if value is not None}
    if args.network == "finder":
        schedule = replace(candidates.FINDER_SCHEDULE, **changes)
        return tuner.finder(candidates.finder_candidates(recipes.FinderRecipe(), schedule))
    schedule = replace(candidates.CLASSIFIER_SCHEDULE, **changes)
    return tuner.classifier(candidates.classifier_candidates(recipes.CLASSIFIERS["masknet"], schedule))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _progress(name: str) -> Callable[..., Iterable[Any]]:
    from tqdm import tqdm

    def shown(items: Iterable[Any], total: int | None = None) -> Iterable[Any]:
        return tqdm(items, total=total, desc=name, file=sys.stderr, disable=None)

    return shown


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value
