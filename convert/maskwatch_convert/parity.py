"""What was lost in quantising, measured through the pipeline that serves: a table of float against int8, and a gate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from maskwatch_train.average_precision import TARGETS
from maskwatch_train.claims import CALIBRATED_FACE_PX
from maskwatch_train.evaluate import Evaluation
from maskwatch_train.text_table import table

MOST_ACCURACY_LOST = 0.003
"""0.3 points of classification accuracy: a bundle that strays farther is not packed."""

MOST_PRECISION_LOST = 0.01
"""1 point of the average precision of faces ≥ SMALLEST_FACE_PX: likewise."""

NOTABLE = 0.002
"""0.2 points: what strays farther is marked in the table."""

SMALLEST_FACE_PX = 32

ACCURACY = "accuracy"
FACE_PRECISION = f"ap50_face_min_height_{SMALLEST_FACE_PX}_px"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of both pipelines, 0 to 1; None where it is not defined. `key` is for tools, `words` for people."""

    key: str
    words: str
    as_float: float | None
    as_int8: float | None

    @property
    def change(self) -> float | None:
        """What int8 has more than float, to nine decimals: 0.983 − 0.98 is not quite 0.003 in binary."""
        if self.as_float is None or self.as_int8 is None:
            return None
        return round(self.as_int8 - self.as_float, 9)

    def strays(self, most: float) -> bool:
        """Whether both pipelines have the figure and it differs by more than this, in either direction."""
        return self.change is not None and abs(self.change) > most


@dataclass(frozen=True, slots=True)
class Parity:
    """Float against int8 on one split."""

    figures: tuple[Figure, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """A clause for each figure that strays farther than its gate allows; none where the bundle may be packed."""
        gates = {ACCURACY: MOST_ACCURACY_LOST, FACE_PRECISION: MOST_PRECISION_LOST}
        return tuple(
            f"{figure.words} {_share(figure.as_float)} in float and {_share(figure.as_int8)} in int8, "
            f"more than {100 * gates[figure.key]:g} points apart"
            for figure in self.figures
            if figure.key in gates and figure.strays(gates[figure.key])
        )

    def text(self) -> str:
        """For people: a table that marks what strays by more than NOTABLE."""
        rows = [["int8 against float", "float", "int8", "points", ""]]
        for figure in self.figures:
            points = "–" if figure.change is None else f"{100 * figure.change:+.2f}"
            mark = "strays" if figure.strays(NOTABLE) else ""
            rows.append([figure.words, _share(figure.as_float), _share(figure.as_int8), points, mark])
        return "\n".join(table(rows))

    def plain(self) -> dict[str, dict[str, float | None]]:
        """As plain JSON for a manifest: `float` and `int8` by each figure's key."""
        return {figure.key: {"float": figure.as_float, "int8": figure.as_int8} for figure in self.figures}


def compare(reference: Evaluation, quantised: Evaluation) -> Parity:
    """Set two evaluations of the same samples side by side.

    Raises:
        ValueError: the samples held no labelled picture.
    """
    if reference.classification is None or quantised.classification is None:
        raise ValueError("parity needs labelled pictures")
    return Parity(
        tuple(
            Figure(key, words, _defined(as_float), _defined(as_int8))
            for (key, words, as_float), (_, _, as_int8) in zip(_figures(reference), _figures(quantised), strict=True)
        )
    )


def _figures(evaluation: Evaluation) -> Iterator[tuple[str, str, float]]:
    """Key, words and value of each figure, NaN where it is not defined: always the same ones."""
    metrics, detection = evaluation.classification, evaluation.detection
    yield ACCURACY, "accuracy of pictures", math.nan if metrics is None else metrics.accuracy
    yield "ece_pictures", "ECE of pictures", evaluation.picture_masks.calibration_error
    faces = evaluation.face_masks.from_height(CALIBRATED_FACE_PX)
    yield "ece_faces", f"ECE of faces ≥ {CALIBRATED_FACE_PX} px", faces.calibration_error
    yield "ece_scores", "ECE of face scores", evaluation.face_scores.calibration_error
    for target in TARGETS:
        for height_px in (0, SMALLEST_FACE_PX):
            band, words = (f"min_height_{height_px}_px", f"≥ {height_px} px") if height_px else ("all", "all")
            value = math.nan if detection is None else detection[target][height_px].value
            yield f"ap50_{target}_{band}", f"AP50 {target}, {words}", value


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
