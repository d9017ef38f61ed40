"""Writes a comparison of sizes as a table, as JSON and as a plot."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from maskwatch.errors import OperatorError
from maskwatch_train.crops import CORE_RATIO, TILE_PX
from maskwatch_train.recipes import ClassifierRecipe, FinderRecipe
from maskwatch_train.report import ReportContext
from maskwatch_train.text_table import table

from maskwatch_convert.knee import SAME_ACCURACY
from maskwatch_convert.tune import Comparison, Measured
from maskwatch_convert.tune_measure import ROUNDS, SMALLEST_FACE_PX

COMPARED = {"finder": f"AP50 of faces ≥ {SMALLEST_FACE_PX} px", "classifier": "accuracy on faces"}
"""What the first figure of each network is, for people."""

ROUNDED = "rounded without fine-tuning"

BUSY_RATIO = 1.5
"""Slowest tenth to quickest tenth of a network's runs; above it others held the processor, longer runs the more."""


@dataclass(frozen=True, slots=True)
class TuneReport:
    """A comparison with what its figures hang on."""

    comparison: Comparison
    context: ReportContext

    @property
    def network(self) -> str:
        """`finder` or `classifier`."""
        return self.comparison.network

    def records(self) -> Iterator[dict[str, object]]:
        """One plain JSON object a candidate; units stand in the names."""
        for measured in self.comparison.measured:
            candidate, recipe = measured.candidate, measured.candidate.recipe
            yield {
                "network": self.network,
                "width_ratio": candidate.width_ratio,
                "widths": list(recipe.widths),
                **({"neck": recipe.neck} if isinstance(recipe, FinderRecipe) else {}),
                "height_px": candidate.height_px,
                "width_px": candidate.width_px,
                "series": list(candidate.series),
                **measured.figures,
                "median_ms": measured.time.median_ms,
                "p10_ms": measured.time.p10_ms,
                "p90_ms": measured.time.p90_ms,
                "multiply_accumulates": measured.cost.multiply_accumulates,
                "file_bytes": measured.cost.file_bytes,
                "commit": measured.commit,
                "shipped": candidate.shipped,
                "knee": measured is self.comparison.knee,
            }

    def text(self) -> str:
        """The table for people, what was compared how, and which candidate is the knee."""
        measured = self.comparison.measured
        rows = [_heading(self.network), *(self._row(each) for each in measured)]
        lines = [f"sizes of the {self.network}, compared", self.schedule(), self.conditions(), self.context.line(), ""]
        return "\n".join([*lines, *table(rows), "", *self._notes(), *self._verdict()]) + "\n"

    def schedule(self) -> str:
        """How each candidate was trained, on one line."""
        recipe = self.comparison.measured[0].candidate.recipe
        if isinstance(recipe, ClassifierRecipe):
            return f"each trained for {_epochs(recipe.epochs)} of {recipe.crops_per_epoch} crops, {ROUNDED}"
        parts = [f"{_epochs(stage.epochs)} at {stage.width_px}×{stage.height_px}" for stage in recipe.stages]
        return f"each width trained once, for {' and '.join(parts)}, {recipe.scenes_per_epoch} scenes each, {ROUNDED}"

    def conditions(self) -> str:
        """How each candidate was measured, on one line."""
        pictures, faces = self.comparison.measured_on
        kind = "scenes" if self.network == "finder" else "pictures"
        return (
            f"int8, on {faces} faces in {pictures} {kind}; time of one run, median of {ROUNDS} in turns, 1 thread, "
            f"{platform.machine()}"
        )

    def marks(self, measured: Measured) -> list[str]:
        """What a candidate is, in words: `shipped`, `knee`, both or neither."""
        known = {"shipped": self.comparison.shipped, "knee": self.comparison.knee}
        return [word for word, marked in known.items() if measured is marked]

    def _row(self, measured: Measured) -> list[str]:
        candidate = measured.candidate
        return [
            f"×{candidate.width_ratio:g}",
            candidate.size,
            *_figure_cells(self.network, measured),
            f"{measured.time.median_ms:.3f}",
            f"{measured.cost.multiply_accumulates / 1e6:.2f}",
            f"{measured.cost.file_bytes / 1e3:.0f}",
            ", ".join(self.marks(measured)),
        ]

    def _notes(self) -> Iterator[str]:
        spreads = [measured.time for measured in self.comparison.measured]
        if max(each.p90_ms / each.p10_ms for each in spreads) > BUSY_RATIO:
            yield "The machine was busy, so the times are not to be trusted: run this again when it is idle; nothing is"
            yield "trained again."
        if len(commits := sorted({measured.commit for measured in self.comparison.measured})) > 1:
            yield f"Trained by different versions of the code: {', '.join(commits)}."
        yield "Short trainings rank sizes; what ships is trained for longer, and reaches more."
        recipe = self.comparison.measured[0].candidate.recipe
        if isinstance(recipe, FinderRecipe):
            height_px = recipe.stages[-1].height_px
            yield f"Trained on scenes up to {height_px} px high: larger inputs show larger faces than any there."
        else:
            stored_px = round(TILE_PX * CORE_RATIO)
            yield f"Training crops above {stored_px} px are enlarged from stored ones of {stored_px} px."
        yield "The knee stands farthest above the straight line from the quickest to the most accurate candidate, both"
        yield f"axes scaled to 0 to 1 (Satopaa et al. 2011); gains under {SAME_ACCURACY:g} in all count as none."
        yield ""

    def _verdict(self) -> Iterator[str]:
        chosen, shipped = self.comparison.knee, self.comparison.shipped
        words = f"{chosen.accuracy:.4f} in {chosen.time.median_ms:.3f} ms"
        yield f"The knee is {chosen.candidate.name}: {COMPARED[self.network]} {words}."
        if chosen is shipped:
            yield "It is what the recipe ships."
            return
        recipe = chosen.candidate.recipe
        neck = f", neck {recipe.neck}" if isinstance(recipe, FinderRecipe) else ""
        yield (
            f"The recipe ships {shipped.candidate.name}: {shipped.accuracy:.4f} in {shipped.time.median_ms:.3f} ms. "
            f"To ship the knee, set in recipes.py widths {recipe.widths}{neck}, input {chosen.candidate.size}."
        )


def write_tune_report(folder: Path, report: TuneReport) -> None:
    """Write tune-NETWORK.txt, .json and .png into `folder`, which is made where it is missing.

    Raises:
        OperatorError: the folder cannot be written to.
    """
    from maskwatch_convert.tune_plot import draw_comparison  # matplotlib is slow to import

    stem = f"tune-{report.network}"
    whole = {
        "network": report.network,
        "compared": next(iter(report.comparison.measured[0].figures)),
        "schedule": report.schedule(),
        "conditions": report.conditions(),
        "context": report.context.line(),
        "knee": report.comparison.knee.candidate.name,
        "shipped": report.comparison.shipped.candidate.name,
        "candidates": list(report.records()),
    }
    make_folder(folder)
    try:
        (folder / f"{stem}.txt").write_text(report.text(), encoding="utf-8")
        (folder / f"{stem}.json").write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        draw_comparison(folder / f"{stem}.png", report)
    except OSError as error:
        raise _unwritable(folder, error) from error


def make_folder(folder: Path) -> None:
    """Make the report's folder: hours before it is filled, so that a bad one is told at once.

    Raises:
        OperatorError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> OperatorError:
    return OperatorError(f"the comparison cannot be written to {folder}: {error.strerror or error}")


def _epochs(number: int) -> str:
    return f"{number} epoch{'' if number == 1 else 's'}"


def _heading(network: str) -> list[str]:
    figures = [f"AP50 ≥ {SMALLEST_FACE_PX} px", "AP50 all"] if network == "finder" else ["accuracy", "95% interval"]
    return ["width", "input", *figures, "ms", "M mult-acc", "kB", ""]


def _figure_cells(network: str, measured: Measured) -> list[str]:
    if network == "finder":
        return [f"{value:.4f}" for value in measured.figures.values()]
    low, high = measured.figures["accuracy_low"], measured.figures["accuracy_high"]
    return [f"{measured.accuracy:.4f}", f"{low:.4f}-{high:.4f}"]
