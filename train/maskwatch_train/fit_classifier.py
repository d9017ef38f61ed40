"""Trains a mask classifier: `masknet`, which ships, or `baseline_cnn`, the original method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
from maskwatch.errors import DataError

from maskwatch_train import calibration, networks
from maskwatch_train.classifier_loss import KnownAccuracy, MaskAndFaceLoss
from maskwatch_train.crops import Crop, CropBatches, PlainCrops, Progress, cut_tiles, list_crops
from maskwatch_train.fit import adam, fit
from maskwatch_train.index import Sample
from maskwatch_train.int8_form import int8_masknet
from maskwatch_train.recipes import ClassifierRecipe


def build_classifier(recipe: ClassifierRecipe) -> keras.Model:
    """The recipe's network, untrained."""
    if recipe.architecture == "baseline_cnn":
        return networks.baseline_cnn(recipe.size_px)
    return networks.masknet(recipe.size_px, recipe.widths)


def fit_classifier(
    train: Sequence[Sample],
    validation: Sequence[Sample],
    folder: Path,
    cache: Path,
    recipe: ClassifierRecipe,
    *,
    seed: int,
    progress: Progress,
    decoys: Sequence[Crop] = (),
    verbose: int = 1,
) -> keras.Model:
    """Train the recipe's classifier and return it; a run that was cut off goes on where it was.

    `decoys` are crops of the training photographs without a face; without any, the face logit learns to say yes.

    Raises:
        DataError: one of the two classes has no picture.
        FindingError: the loss became NaN or infinite.
    """
    keras.utils.set_random_seed(seed)
    model = build_classifier(recipe)
    batches, plain = _batches(train, validation, cache, recipe, seed, progress, decoys)
    if recipe.architecture == "baseline_cnn":
        loss = keras.losses.SparseCategoricalCrossentropy()
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        optimizer = keras.optimizers.Adam(recipe.learning_rate)
    else:
        loss = MaskAndFaceLoss(recipe.label_smoothing)
        metrics = _masknet_metrics()
        optimizer = adam(recipe.learning_rate, batches.num_batches * recipe.epochs, recipe.weight_decay)
    model.compile(optimizer=optimizer, loss=loss, metrics=metrics, jit_compile=False)
    fit(model, batches, plain, folder, epochs=recipe.epochs, verbose=verbose)
    return model


def fine_tune_classifier(
    network: keras.Model,
    train: Sequence[Sample],
    validation: Sequence[Sample],
    folder: Path,
    cache: Path,
    recipe: ClassifierRecipe,
    *,
    seed: int,
    progress: Progress,
    decoys: Sequence[Crop] = (),
    verbose: int = 1,
) -> keras.Model:
    """Turn a trained masknet into its int8 form, let it learn with the rounding, and return that.

    Weights do not decay any more: no normalisation follows that would make it up.

    Raises:
        DataError, FindingError: as `fit_classifier`.
    """
    pictures = calibration.classifier_pictures(train, seed, faces=recipe.faces)
    rounded = int8_masknet(network, recipe.size_px, recipe.widths, recipe.margin_ratio, pictures)
    batches, plain = _batches(train, validation, cache, recipe, seed + 1, progress, decoys)
    steps = batches.num_batches * recipe.int8_epochs
    optimizer = adam(recipe.int8_learning_rate, steps, weight_decay=0.0)
    loss = MaskAndFaceLoss(recipe.label_smoothing)
    rounded.compile(optimizer=optimizer, loss=loss, metrics=_masknet_metrics(), jit_compile=False)
    fit(rounded, batches, plain, folder / "int8", epochs=recipe.int8_epochs, verbose=verbose)
    return rounded


def _masknet_metrics() -> list[keras.metrics.Metric]:
    return [KnownAccuracy(0, "accuracy"), KnownAccuracy(1, "face_accuracy")]


def _batches(
    train: Sequence[Sample],
    validation: Sequence[Sample],
    cache: Path,
    recipe: ClassifierRecipe,
    seed: int,
    progress: Progress,
    decoys: Sequence[Crop],
) -> tuple[CropBatches, PlainCrops | None]:
    """What to learn from, and what to look at in between; crops that the cache holds are not cut again."""
    crops, looked_at = (*list_crops(train, recipe), *decoys), list_crops(validation, recipe)
    if not {crop.label for crop in crops} >= {0, 1}:
        raise DataError("training needs pictures with and without masks; `maskwatch data inspect` shows what is there")
    batches = CropBatches(crops, cut_tiles(crops, recipe.margin_ratio, cache, progress), recipe, seed)
    plain = PlainCrops(looked_at, cut_tiles(looked_at, recipe.margin_ratio, cache, progress), recipe)
    return batches, plain if plain.num_batches else None
