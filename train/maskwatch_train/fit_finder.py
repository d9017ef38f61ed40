"""Trains the face finder: stage by stage in float, then with int8's rounding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
from maskwatch.errors import DataError

from maskwatch_train import calibration, networks
from maskwatch_train.finder_batches import LetterboxedBatches, SceneBatches
from maskwatch_train.finder_loss import FinderTrainer
from maskwatch_train.fit import adam, fit
from maskwatch_train.index import Sample
from maskwatch_train.int8_form import int8_finder
from maskwatch_train.recipes import FinderRecipe, Stage


def fit_finder(
    train: Sequence[Sample],
    validation: Sequence[Sample],
    folder: Path,
    recipe: FinderRecipe,
    *,
    seed: int,
    verbose: int = 1,
) -> keras.Model:
    """Train the finder through all stages of the recipe and return it; each stage starts from the one before.

    A run that was cut off goes on where it was when called again with the same folder.

    Raises:
        DataError: no picture has a face box.
        FindingError: the loss became NaN or infinite.
    """
    if not any(sample.boxes for sample in train):
        raise DataError("training a finder needs face boxes: fetch the detection set with `maskwatch data fetch`")
    keras.utils.set_random_seed(seed)
    network = networks.finder(widths=recipe.widths, neck=recipe.neck)
    for number, stage in enumerate(recipe.stages):
        batches = SceneBatches(train, recipe, stage, seed + number)
        looked_at = LetterboxedBatches(validation, recipe, stage)
        _fit_stage(
            network, batches, looked_at, folder / f"stage{number + 1}", stage, recipe.weight_decay, verbose=verbose
        )
    return network


def fine_tune_finder(
    network: keras.Model,
    train: Sequence[Sample],
    validation: Sequence[Sample],
    folder: Path,
    recipe: FinderRecipe,
    *,
    seed: int,
    verbose: int = 1,
) -> keras.Model:
    """Turn a trained finder into its int8 form, let it learn with the rounding, and return that.

    Weights do not decay any more: no normalisation follows that would make it up.

    Raises:
        FindingError: the loss became NaN or infinite.
    """
    stage = recipe.int8_stage
    pictures = calibration.finder_pictures(train, seed)
    rounded = int8_finder(network, recipe.widths, recipe.neck, stage.height_px, stage.width_px, pictures)
    batches = SceneBatches(train, recipe, stage, seed + len(recipe.stages))
    looked_at = LetterboxedBatches(validation, recipe, stage)
    _fit_stage(rounded, batches, looked_at, folder / "int8", stage, weight_decay=0.0, verbose=verbose)
    return rounded


def _fit_stage(
    network: keras.Model,
    batches: SceneBatches,
    looked_at: LetterboxedBatches,
    folder: Path,
    stage: Stage,
    weight_decay: float,
    *,
    verbose: int,
) -> None:
    trainer = FinderTrainer(network, stage.height_px, stage.width_px)
    trainer.build((None, stage.height_px, stage.width_px, 3))
    steps = batches.num_batches * stage.epochs
    # XLA makes a depthwise-separable network several times slower on a CPU.
    trainer.compile(optimizer=adam(stage.learning_rate, steps, weight_decay, stage.last_share), jit_compile=False)
    validation = looked_at if looked_at.num_batches else None
    fit(trainer, batches, validation, folder, epochs=stage.epochs, verbose=verbose)
