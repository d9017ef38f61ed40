"""Trains the face finder, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
from maskwatch.errors import DataError

from maskwatch_train import networks
from maskwatch_train.finder_batches import LetterboxedBatches, SceneBatches
from maskwatch_train.finder_loss import FinderTrainer
from maskwatch_train.fit import adam, fit
from maskwatch_train.index import Sample
from maskwatch_train.recipes import FinderRecipe


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
        trainer = FinderTrainer(network, stage.height_px, stage.width_px)
        trainer.build((None, stage.height_px, stage.width_px, 3))
        batches = SceneBatches(train, recipe, stage, seed + number)
        steps = batches.num_batches * stage.epochs
        # XLA makes a depthwise-separable network several times slower on a CPU.
        trainer.compile(
            optimizer=adam(stage.learning_rate, steps, recipe.weight_decay, stage.last_share), jit_compile=False
        )
        looked_at = LetterboxedBatches(validation, recipe, stage)
        fit(
            trainer,
            batches,
            looked_at if looked_at.num_batches else None,
            folder / f"stage{number + 1}",
            epochs=stage.epochs,
            verbose=verbose,
        )
    return network
