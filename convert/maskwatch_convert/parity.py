"""What was lost on the way to int8, measured through the pipeline that serves: a table, and a gate.

Two ways lead astray. The file may not be what was trained: whether it answers better or worse by that, nobody knows
what it does. Or what was trained, with all its rounding, is worse than the float network that it began as.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from maskwatch_train.average_precision import TARGETS
from maskwatch_train.claims import CALIBRATED_FACE_PX
from maskwatch_train.evaluate import Evaluation
from maskwatch_train.text_table import table

MOST_ACCURACY_LOST = 0.003
"""0.3 points of classification accuracy: a bundle that strays farther, or loses more, is not packed."""

MOST_PRECISION_LOST = 0.01
"""1 point of the average precision of faces ≥ SMALLEST_FACE_PX: likewise."""

NOTABLE = 0.002
"""0.2 points: what strays farther, or loses more, is marked in the table."""

SMALLEST_FACE_PX = 32

ERROR_PREFIX = "ece_"
"""Keys of calibration errors, of which less is better."""

ACCURACY = "accuracy"
FACE_PRECISION = f"ap50_face_min_height_{SMALLEST_FACE_PX}_px"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of all pipelines, 0 to 1; None where it is not defined. `key` is for tools, `words` for people.

    `as_trained` is in float arithmetic, with the rounding of a network in int8 form; `as_float` is before it took that
    form, None where it never did.
    """

    key: str
    words: str
    as_float: float | None
    as_trained: float | None
    as_int8: float | None

    @property
    def change(self) -> float | None:
        """What int8 has more than what was trained."""
        return _difference(self.as_int8, self.as_trained)

    @property
    def gain(self) -> float | None:
        """What int8 has more than the float network."""
        return _difference(self.as_int8, self.as_float)

    def strays(self, most: float) -> bool:
        """Whether int8 differs from what was trained by more than this, in either direction."""
        return self.change is not None and abs(self.change) > most

    def loses(self, most: float) -> bool:
        """Whether int8 is worse than the float network by more than this."""
        if self.gain is None:
            return False
        return (-self.gain if self.key.startswith(ERROR_PREFIX) else self.gain) < -most


@dataclass(frozen=True, slots=True)
class Parity:
    """Float, as trained, and int8 on one split."""

    figures: tuple[Figure, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """A clause for each figure that strays or loses more than its gate allows; none where a bundle may pass."""
        gates = {ACCURACY: MOST_ACCURACY_LOST, FACE_PRECISION: MOST_PRECISION_LOST}
        found = []
        for figure in self.figures:
            most = gates.get(figure.key, math.inf)
            points = f"more than {100 * most:g} points"
            int8 = f"{_share(figure.as_int8)} in int8"
            if figure.strays(most):
                found.append(f"{figure.words} {_share(figure.as_trained)} as trained and {int8}, {points} apart")
            if figure.loses(most):
                found.append(f"{figure.words} {_share(figure.as_float)} in float and {int8}, {points} lost")
        return tuple(found)

    def text(self) -> str:
        """For people: a table, `points` from what was trained; marks what strays from that, or loses against float."""
        rows = [["", "float", "as trained", "int8", "points", ""]]
        for figure in self.figures:
            points = "–" if figure.change is None else f"{100 * figure.change:+.2f}"
            marks = {"strays": figure.strays(NOTABLE), "loses": figure.loses(NOTABLE)}
            mark = ", ".join(word for word, marked in marks.items() if marked)
            values = map(_share, (figure.as_float, figure.as_trained, figure.as_int8))
            rows.append([figure.words, *values, points, mark])
        return "\n".join(table(rows))

    def plain(self) -> dict[str, dict[str, float | None]]:
        """As plain JSON for a manifest: `float`, `as_trained` and `int8` by each figure's key."""
        return {
            figure.key: {"float": figure.as_float, "as_trained": figure.as_trained, "int8": figure.as_int8}
            for figure in self.figures
        }


def compare(trained: Evaluation, quantised: Evaluation, *, before: Evaluation | None = None) -> Parity:
    """Set evaluations of the same samples side by side; `before` is of the network before it took its int8 form.

    Raises:
        ValueError: the samples held no labelled picture.
    """
    if trained.classification is None or quantised.classification is None:
        raise ValueError("parity needs labelled pictures")
    floats = {} if before is None else {key: value for key, _, value in _figures(before)}
    return Parity(
        tuple(
            Figure(key, words, _defined(floats.get(key, math.nan)), _defined(as_trained), _defined(as_int8))
            for (key, words, as_trained), (_, _, as_int8) in zip(_figures(trained), _figures(quantised), strict=True)
        )
    )


def _figures(evaluation: Evaluation) -> Iterator[tuple[str, str, float]]:
    """Key, words and value of each figure, NaN where it is not defined: always the same ones."""
    metrics, detection = evaluation.classification, evaluation.detection
    yield ACCURACY, "accuracy of pictures", math.nan if metrics is None else metrics.accuracy
    yield f"{ERROR_PREFIX}pictures", "ECE of pictures", evaluation.picture_masks.calibration_error
    faces = evaluation.face_masks.from_height(CALIBRATED_FACE_PX)
    yield f"{ERROR_PREFIX}faces", f"ECE of faces ≥ {CALIBRATED_FACE_PX} px", faces.calibration_error
    yield f"{ERROR_PREFIX}scores", "ECE of face scores", evaluation.face_scores.calibration_error
    for target in TARGETS:
        for height_px in (0, SMALLEST_FACE_PX):
            band, words = (f"min_height_{height_px}_px", f"≥ {height_px} px") if height_px else ("all", "all")
            value = math.nan if detection is None else detection[target][height_px].value
            yield f"ap50_{target}_{band}", f"AP50 {target}, {words}", value


def _difference(one: float | None, other: float | None) -> float | None:
    """To nine decimals: 0.983 − 0.98 is not quite 0.003 in binary."""
    return None if one is None or other is None else round(one - other, 9)


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
