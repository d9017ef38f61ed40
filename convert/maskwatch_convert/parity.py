"""The gate between float and int8: what was lost in quantising, measured through the pipeline that serves."""

from __future__ import annotations

from dataclasses import dataclass

from maskwatch_train.evaluate import Evaluation

MOST_ACCURACY_LOST = 0.003
"""0.3 points of classification accuracy: a bundle that loses more is not packed."""

SMALLEST_FACE_PX = 32


@dataclass(frozen=True, slots=True)
class Parity:
    """Float against int8 on one split. Average precision is of faces ≥ 32 px, None where the pipeline finds none."""

    accuracy_float: float
    accuracy_int8: float
    ap50_float: float | None
    ap50_int8: float | None

    @property
    def passed(self) -> bool:
        """Whether int8 is as accurate as float, within MOST_ACCURACY_LOST."""
        lost = round(abs(self.accuracy_float - self.accuracy_int8), 9)  # 0.983 − 0.98 is not quite 0.003 in binary
        return lost <= MOST_ACCURACY_LOST

    def text(self) -> str:
        """For people, one line."""
        line = f"accuracy float {self.accuracy_float:.4f}, int8 {self.accuracy_int8:.4f}"
        if self.ap50_float is not None and self.ap50_int8 is not None:
            line += f"; AP50 of faces ≥ {SMALLEST_FACE_PX} px float {self.ap50_float:.4f}, int8 {self.ap50_int8:.4f}"
        return line


def compare(reference: Evaluation, quantised: Evaluation) -> Parity:
    """Set two evaluations of the same samples side by side.

    Raises:
        ValueError: the samples held no labelled picture.
    """
    if reference.classification is None or quantised.classification is None:
        raise ValueError("parity needs labelled pictures")
    return Parity(
        reference.classification.accuracy,
        quantised.classification.accuracy,
        _face_ap50(reference),
        _face_ap50(quantised),
    )


def _face_ap50(evaluation: Evaluation) -> float | None:
    return None if evaluation.detection is None else evaluation.detection["face"][SMALLEST_FACE_PX].value
