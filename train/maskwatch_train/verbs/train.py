"""`maskwatch train finder|classifier`: trains one of the two networks into a run folder."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from maskwatch.errors import ExitCode

from maskwatch_train.recipes import CLASSIFIER_NAMES, DEFAULT_SEED

HELP = "train the face finder, or then a mask classifier, which learns from the finder's mistakes"
EXAMPLE = """  maskwatch train finder --data data --run runs/first
  maskwatch train classifier --data data --run runs/first
  maskwatch train classifier --architecture baseline_cnn --data data --run runs/first"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("network", choices=("finder", "classifier"), help="which of the two networks")
    parser.add_argument("--architecture", choices=CLASSIFIER_NAMES, default="masknet", help="the classifier's")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--run", type=Path, default=Path("runs/default"), metavar="DIR", dest="run_folder",
        help="run folder; a run that was cut off goes on where it was (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--faces", type=Path, metavar="CSV", help="face boxes of the classification pictures")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the split, the weights and the augmentation")
    parser.add_argument(
        "--epochs", type=_positive, metavar="N",
        help="of every stage, shorter or longer than the recipe; those with int8's rounding only become fewer",
    )  # fmt: skip
    parser.add_argument("--samples", type=_positive, metavar="N", help="pictures an epoch, if not the recipe's")


def run(args: argparse.Namespace) -> ExitCode:
    """Train; progress goes to stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import cv2

    cv2.setNumThreads(1)  # the loader's own threads keep the cores busy
    with contextlib.redirect_stdout(sys.stderr):  # where Keras writes its progress bar
        if args.network == "finder":
            _train_finder(args)
        else:
            _train_classifier(args)
    return ExitCode.DONE


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def _train_finder(args: argparse.Namespace) -> None:
    from maskwatch_train.fit_finder import fine_tune_finder, fit_finder
    from maskwatch_train.index import DETECTION
    from maskwatch_train.recipes import FinderRecipe
    from maskwatch_train.runs import FINDER, check_same_run, code_identity, save_network
    from maskwatch_train.split import data_identity, default_cache, load_split

    split = load_split(args.data, args.seed, default_cache(), args.faces)
    recipe = FinderRecipe()
    if args.epochs:
        stages = tuple(replace(stage, epochs=args.epochs) for stage in recipe.stages)
        recipe = replace(recipe, stages=stages, int8_epochs=min(args.epochs, recipe.int8_epochs))
    if args.samples:
        recipe = replace(recipe, scenes_per_epoch=args.samples)
    scenes = [sample for sample in split.validation if sample.source == DETECTION]
    folder = args.run_folder / FINDER
    data = {"train": data_identity(split.train)}
    check_same_run(folder, recipe, seed=args.seed, data=data)
    code = code_identity()  # now: the code may have moved on by the time training ends
    scenes = scenes or list(split.validation)
    trained = fit_finder(split.train, scenes, folder, recipe, seed=args.seed)
    network = fine_tune_finder(trained, split.train, scenes, folder, recipe, seed=args.seed)
    save_network(folder, network, recipe, seed=args.seed, data=data, code=code, as_float=trained)
    print(f"the finder is in {folder}", file=sys.stderr)


def _train_classifier(args: argparse.Namespace) -> None:
    from maskwatch.finder import FaceFinder
    from tqdm import tqdm

    from maskwatch_train.decoys import kept_decoys
    from maskwatch_train.fit_classifier import fine_tune_classifier, fit_classifier
    from maskwatch_train.keras_network import KerasNetwork, finder_spec
    from maskwatch_train.recipes import CLASSIFIERS
    from maskwatch_train.runs import FINDER, check_same_run, code_identity, load_int8_network, save_network
    from maskwatch_train.split import data_identity, default_cache, load_split

    split = load_split(args.data, args.seed, default_cache(), args.faces)
    recipe = CLASSIFIERS[args.architecture]
    if args.epochs:
        recipe = replace(recipe, epochs=args.epochs, int8_epochs=min(args.epochs, recipe.int8_epochs))
    if args.samples:
        recipe = replace(recipe, crops_per_epoch=args.samples)
    folder = args.run_folder / args.architecture
    code = code_identity()  # now: the code may have moved on by the time training ends
    data, decoys = {"train": data_identity(split.train)}, []
    if recipe.decoy_share:
        trained = load_int8_network(args.run_folder / FINDER)
        data["finder"] = trained.weights_sha256
    check_same_run(folder, recipe, seed=args.seed, data=data)
    if recipe.decoy_share:
        finder = FaceFinder(KerasNetwork(trained.network), finder_spec(trained))
        decoys = kept_decoys(
            folder / "decoys.json", data, split.train, finder,
            lambda items: tqdm(items, desc="find decoys", file=sys.stderr),
        )  # fmt: skip
        if not decoys:
            print("the finder took nothing for a face: the classifier learns to see faces everywhere", file=sys.stderr)
    place = (split.train, split.validation, folder, args.run_folder / "tiles", recipe)
    network, as_float = fit_classifier(*place, seed=args.seed, progress=_cutting, decoys=decoys), None
    if recipe.int8_epochs:
        as_float = network
        network = fine_tune_classifier(network, *place, seed=args.seed, progress=_cutting, decoys=decoys)
    save_network(folder, network, recipe, seed=args.seed, data=data, code=code, as_float=as_float)
    print(f"the classifier {args.architecture} is in {folder}", file=sys.stderr)


def _cutting(items: Iterable[int], total: int) -> Iterable[int]:
    from tqdm import tqdm

    return tqdm(items, total=total, desc="cut faces", file=sys.stderr)
