"""The sizes of each network that `tune` compares, and the short, equal schedule that each is trained with.

A schedule is of float training alone: candidates are rounded to int8 without fine-tuning.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, replace

from maskwatch_train.recipes import ClassifierRecipe, FinderRecipe, Stage

WIDTH_RATIOS = (0.5, 0.75, 1.0, 1.25)
"""Multipliers of the recipe's widths, compared at the recipe's size of input."""

FINDER_SIZES_PX = ((192, 256), (256, 320), (320, 416), (384, 512))
"""Heights and widths of the finder's input, multiples of its coarsest stride, compared at the recipe's widths."""

CLASSIFIER_SIZES_PX = (80, 96, 112, 128)
"""Sides of the classifier's input, multiples of its patches, compared at the recipe's widths."""

CHANNELS_STEP = 8
"""Widths are multiples of this: int8 kernels work on as many channels at once."""


@dataclass(frozen=True, slots=True)
class TuneSchedule:
    """How long each candidate of a network is trained: all alike, and far shorter than what ships."""

    epochs: int
    samples_per_epoch: int


FINDER_SCHEDULE = TuneSchedule(epochs=8, samples_per_epoch=4096)
FINDER_STAGE = Stage(160, 192, 32, epochs=8, learning_rate=4e-3, last_share=0.4)
"""The first, cheap stage. The finder is fully convolutional, so one training of a width serves at any size."""

FINDER_LAST_RATE = 2e-3
"""Learning rate of the second stage, half as long, at the size that ships: a finder that knows only the small scenes of
the first does worse the larger its input, as that shows larger faces than any it has seen."""

CLASSIFIER_SCHEDULE = TuneSchedule(epochs=12, samples_per_epoch=8192)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One size of a network: `recipe` is what it is trained with, height and width are its input's when it serves."""

    width_ratio: float
    height_px: int
    width_px: int
    recipe: FinderRecipe | ClassifierRecipe
    shipped_size: bool

    @property
    def series(self) -> tuple[str, ...]:
        """Which comparisons it belongs to: of `widths` at the shipped size, of `sizes` at the shipped widths."""
        return ("widths",) * self.shipped_size + ("sizes",) * (self.width_ratio == 1)

    @property
    def shipped(self) -> bool:
        """Whether it is the recipe's own size and width."""
        return len(self.series) == 2

    @property
    def size(self) -> str:
        """The input's size as people write it: width×height."""
        return f"{self.width_px}×{self.height_px}"

    @property
    def name(self) -> str:
        """Its name in tables: `×0.75 416×320`."""
        return f"×{self.width_ratio:g} {self.size}"


def finder_candidates(recipe: FinderRecipe, schedule: TuneSchedule = FINDER_SCHEDULE) -> tuple[Candidate, ...]:
    """The finder's candidates around a recipe, which is one of them; those of one width share their `recipe`."""
    shipped_px = (recipe.stages[-1].height_px, recipe.stages[-1].width_px)
    first = replace(FINDER_STAGE, epochs=schedule.epochs)
    last = replace(recipe.stages[-1], epochs=max(1, schedule.epochs // 2), learning_rate=FINDER_LAST_RATE)
    return tuple(
        Candidate(
            ratio,
            *size_px,
            replace(
                recipe,
                widths=scaled(recipe.widths, ratio),
                neck=scaled((recipe.neck,), ratio)[0],
                scenes_per_epoch=schedule.samples_per_epoch,
                stages=(first, last),
                int8_epochs=0,
            ),
            size_px == shipped_px,
        )
        for ratio, size_px in _cross(FINDER_SIZES_PX, shipped_px)
    )


def classifier_candidates(
    recipe: ClassifierRecipe, schedule: TuneSchedule = CLASSIFIER_SCHEDULE
) -> tuple[Candidate, ...]:
    """The classifier's candidates around a recipe, which is one of them; each has its own training."""
    shipped_px = (recipe.size_px, recipe.size_px)
    return tuple(
        Candidate(
            ratio,
            *size_px,
            replace(
                recipe,
                widths=scaled(recipe.widths, ratio),
                size_px=size_px[0],
                epochs=schedule.epochs,
                int8_epochs=0,
                crops_per_epoch=schedule.samples_per_epoch,
            ),
            size_px == shipped_px,
        )
        for ratio, size_px in _cross(tuple((side, side) for side in CLASSIFIER_SIZES_PX), shipped_px)
    )


def scaled(widths: tuple[int, ...], ratio: float) -> tuple[int, ...]:
    """Widths times a ratio, each the nearest multiple of CHANNELS_STEP and never none; at 1 just as they are."""
    if ratio == 1:
        return widths
    return tuple(max(1, int(width * ratio / CHANNELS_STEP + 0.5)) * CHANNELS_STEP for width in widths)


def training_name(recipe: FinderRecipe | ClassifierRecipe, seed: int, data: str) -> str:
    """A folder's name for one training: another recipe, seed or data set never goes on from this one's checkpoints."""
    decisive = json.dumps({"recipe": dataclasses.asdict(recipe), "seed": seed, "data": data}, sort_keys=True)
    size = "" if isinstance(recipe, FinderRecipe) else f"-{recipe.size_px}px"
    return f"widths-{'-'.join(map(str, recipe.widths))}{size}-{hashlib.sha256(decisive.encode()).hexdigest()[:8]}"


def _cross(sizes_px: tuple[tuple[int, int], ...], shipped_px: tuple[int, int]) -> list[tuple[float, tuple[int, int]]]:
    """All widths at the shipped size and all sizes at the shipped width, each pair once, in order."""
    pairs = {(ratio, shipped_px) for ratio in (*WIDTH_RATIOS, 1.0)} | {(1.0, size) for size in sizes_px}
    return sorted(pairs)
