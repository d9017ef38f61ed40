"""`maskwatch convert`: a run folder's networks to an int8 bundle."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode
from maskwatch_train.recipes import CLASSIFIER_NAMES, DEFAULT_SEED

if TYPE_CHECKING:
    from maskwatch_train.evaluate import Progress
    from maskwatch_train.index import Sample

HELP = "convert trained networks to int8, pass the gate against float and pack a bundle"
EXAMPLE = "  maskwatch convert --run runs/default --data data --out bundles --version 1.2.0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("--run", type=Path, default=Path("runs/default"), dest="run_folder", metavar="DIR",
                        help="run folder of `maskwatch train` (default: %(default)s)")  # fmt: skip
    parser.add_argument("--architecture", choices=CLASSIFIER_NAMES, default="masknet", help="the classifier's")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--faces", type=Path, metavar="CSV", help="face boxes of the classification pictures")
    parser.add_argument("--out", type=Path, default=Path("."), metavar="DIR", help="where the bundle goes")
    parser.add_argument("--name", help="of the bundle (default: the architecture's, with '-' for '_')")
    parser.add_argument("--version", default="0.1.0", help="of the bundle (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, help="of the split, and of what baseline_cnn is calibrated on"
    )


def run(args: argparse.Namespace) -> ExitCode:
    """Convert; prints the bundle's path. Exit 1 where the gate refuses int8."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from maskwatch_train.split import default_cache, load_split
    from tqdm import tqdm

    from maskwatch_convert.convert import convert_run

    def progress(name: str) -> Progress:
        def shown(samples: Sequence[Sample]) -> Iterable[Sample]:
            return tqdm(samples, desc=name, unit="picture", file=sys.stderr)

        return shown

    split = load_split(args.data, args.seed, default_cache(), args.faces)
    converted = convert_run(
        args.run_folder,
        args.architecture,
        split,
        args.out,
        name=args.name or args.architecture.replace("_", "-"),
        version=args.version,
        seed=args.seed,
        progress=progress,
    )
    print(converted.parity.text(), file=sys.stderr)
    print(converted.bundle.path)
    return ExitCode.DONE
