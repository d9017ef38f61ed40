"""Writes evaluations side by side as a folder: report.txt, report.json, report.png and mistakes.png."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from maskwatch.errors import OperatorError
from maskwatch.types import Label

from maskwatch_train.average_precision import HEIGHT_BANDS_PX, IOU_THRESHOLD, TARGETS
from maskwatch_train.claims import CALIBRATED_FACE_PX, Claims
from maskwatch_train.evaluate import WHOLE_PICTURE, Evaluation, Mistake
from maskwatch_train.metrics import ClassificationMetrics, ClassScores, Curve
from maskwatch_train.text_table import table

REPORT_SCHEMA: Final = 1
CURVE_POINTS: Final = 101
LISTED_MISTAKES: Final = 10

Evaluations = Mapping[str, Evaluation]
"""Evaluations by the name that their column carries; the first is the one that the report is about."""


@dataclass(frozen=True, slots=True)
class ReportContext:
    """What the figures hang on: the data's identity (SHA-256), the split's part and seed, the version of the code."""

    data: str
    split: str
    seed: int
    code: str

    def line(self) -> str:
        """All of it for people, on one line."""
        return f"{self.split} split, seed {self.seed} · data {self.data[:12]} · code {self.code}"


def write_report(folder: Path, evaluations: Evaluations, context: ReportContext) -> None:
    """Write the four files into `folder`, which is made where it is missing; what was there is replaced.

    Raises:
        OperatorError: the folder cannot be written to.
        ImageError: a picture for the sheet of mistakes cannot be read.
    """
    from maskwatch_train.plots import draw_report  # matplotlib is slow to import
    from maskwatch_train.sheet import draw_mistakes

    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.txt").write_text(report_text(evaluations, context), encoding="utf-8")
        (folder / "report.json").write_text(
            json.dumps(report_json(evaluations, context), indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
        draw_report(folder / "report.png", evaluations, context.line())
        name, evaluation = next(iter(evaluations.items()))
        draw_mistakes(folder / "mistakes.png", evaluation.mistakes, f"{name} · {context.line()}")
    except OSError as error:
        raise OperatorError(f"the report cannot be written to {folder}: {error.strerror or error}") from error


def report_json(evaluations: Evaluations, context: ReportContext) -> dict[str, object]:
    """The whole report as plain JSON; an undefined figure is null. Its keys are stable under `schema_version`."""
    return {
        "schema_version": REPORT_SCHEMA,
        "context": asdict(context),
        "pipelines": {
            name: {
                **summary(evaluation),
                "curves": _curves_json(evaluation),
                "mistakes": [_mistake_json(mistake) for mistake in evaluation.mistakes],
            }
            for name, evaluation in evaluations.items()
        },
    }


def summary(evaluation: Evaluation) -> dict[str, object]:
    """The figures alone, as plain JSON that suits a bundle's manifest: no curves, no mistakes, no paths."""
    metrics, detection = evaluation.classification, evaluation.detection
    return {
        "classification": None if metrics is None else _metrics_json(metrics),
        "groups": {name: _metrics_json(group) for name, group in evaluation.groups.items()},
        "detection": None
        if detection is None
        else {
            "pictures": evaluation.scenes,
            "iou": IOU_THRESHOLD,
            "ap50": {
                target: {_band_key(height_px): _number(found.value) for height_px, found in bands.items()}
                for target, bands in detection.items()
            },
            "faces": {
                target: {_band_key(height_px): found.faces for height_px, found in bands.items()}
                for target, bands in detection.items()
            },
            "calibration": {
                name: {
                    "smallest_height_px": CALIBRATED_FACE_PX,
                    "claims": len(claims.truth),
                    "expected_calibration_error": _number(claims.calibration_error),
                }
                for name, claims in _scene_claims(evaluation).items()
            },
        },
    }


def _scene_claims(evaluation: Evaluation) -> dict[str, Claims]:
    """What scenes tell of calibration: scores of faces and the classifier's P(mask), under the JSON's own names."""
    return {"score": evaluation.face_scores, "mask": evaluation.face_masks.from_height(CALIBRATED_FACE_PX)}


def _band_key(height_px: int) -> str:
    return f"min_height_{height_px}_px" if height_px else "all"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)


def _metrics_json(metrics: ClassificationMetrics) -> dict[str, object]:
    def scores(found: ClassScores) -> dict[str, object]:
        return {
            "precision": _number(found.precision),
            "recall": _number(found.recall),
            "f1": _number(found.f1),
            "support": found.support,
        }

    words = {Label.WITHOUT_MASK.value: 0, Label.WITH_MASK.value: 1}
    return {
        "pictures": metrics.pictures,
        "accuracy": _number(metrics.accuracy),
        "accuracy_interval_95": [_number(end) for end in metrics.accuracy_interval],
        Label.WITH_MASK.value: scores(metrics.with_mask),
        Label.WITHOUT_MASK.value: scores(metrics.without_mask),
        "confusion": {
            truth: {f"said_{said}": metrics.confusion[row][column] for said, column in words.items()}
            for truth, row in words.items()
        },
        "expected_calibration_error": _number(metrics.calibration_error),
    }


def _curves_json(evaluation: Evaluation) -> dict[str, object]:
    """Thinned curves: of both labels, and of each detection target over faces of every height."""
    curves: dict[str, Curve] = {label.value: curve for label, curve in evaluation.curves.items()}
    for target, bands in (evaluation.detection or {}).items():
        curves[f"detection_{target}"] = bands[0].curve
    return {
        name: {key: [_number(value) for value in values] for key, values in _columns(curve.thinned(CURVE_POINTS))}
        for name, curve in curves.items()
    }


def _columns(curve: Curve) -> Iterable[tuple[str, Iterable[float]]]:
    return ("precision", curve.precision), ("recall", curve.recall), ("threshold", curve.threshold)


def _mistake_json(mistake: Mistake) -> dict[str, object]:
    box = mistake.box
    return {
        "kind": mistake.kind.name.lower(),
        "name": mistake.name,
        "truth": None if mistake.truth is None else mistake.truth.value,
        "said": mistake.said.value,
        "mask": _number(mistake.mask),
        "confidence": _number(mistake.confidence),
        "box": None if box is None else [round(edge, 1) for edge in (box.xmin, box.ymin, box.xmax, box.ymax)],
    }


def report_text(evaluations: Evaluations, context: ReportContext) -> str:
    """The report for a terminal: aligned tables with a column a pipeline."""
    blocks = [
        ["Maskwatch evaluation", context.line()],
        _classification_block(evaluations),
        _groups_block(evaluations),
        *(_confusion_block(name, each.classification) for name, each in evaluations.items() if each.classification),
        _detection_block(evaluations),
        _calibration_block(evaluations),
        _mistakes_block(evaluations),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _classification_block(evaluations: Evaluations) -> list[str]:
    found = [evaluation.classification for evaluation in evaluations.values()]
    if not any(found):
        return []

    def row(name: str, figure: Callable[[ClassificationMetrics], str]) -> list[str]:
        return [name, *("–" if metrics is None else figure(metrics) for metrics in found)]

    def class_rows(word: str, scores: Callable[[ClassificationMetrics], ClassScores]) -> list[list[str]]:
        return [
            row(f"{word}  precision", lambda metrics: _share(scores(metrics).precision)),
            row(f"{'':{len(word)}}  recall", lambda metrics: _share(scores(metrics).recall)),
            row(f"{'':{len(word)}}  F1", lambda metrics: _share(scores(metrics).f1)),
        ]

    return table(
        [
            ["Whole pictures", *evaluations],
            row("pictures", lambda metrics: str(metrics.pictures)),
            row("accuracy", lambda metrics: _share(metrics.accuracy)),
            row("  95% interval (Wilson)", lambda metrics: "–".join(map(_share, metrics.accuracy_interval))),
            *class_rows("without_mask", lambda metrics: metrics.without_mask),
            *class_rows("with_mask   ", lambda metrics: metrics.with_mask),
            row("calibration error (ECE)", lambda metrics: _share(metrics.calibration_error)),
        ]
    )


def _groups_block(evaluations: Evaluations) -> list[str]:
    names = list(dict.fromkeys(name for each in evaluations.values() for name in each.groups if name != WHOLE_PICTURE))
    if any(WHOLE_PICTURE in each.groups for each in evaluations.values()):
        names.append(WHOLE_PICTURE)
    if not names:
        return []
    rows = [["Accuracy by longer side", *evaluations]]
    for name in names:
        cells = []
        for evaluation in evaluations.values():
            group = evaluation.groups.get(name)
            cells.append("–" if group is None else f"{_share(group.accuracy)} of {group.pictures:4d}")
        rows.append([name if name != WHOLE_PICTURE else "no face found: whole picture judged", *cells])
    return table(rows)


def _confusion_block(name: str, metrics: ClassificationMetrics) -> list[str]:
    confusion = metrics.confusion
    rows = [
        [f"Confusion, {name}", "said without_mask", "said with_mask"],
        ["is without_mask", *(str(count) for count in confusion[0])],
        ["is with_mask", *(str(count) for count in confusion[1])],
    ]
    return table(rows)


def _detection_block(evaluations: Evaluations) -> list[str]:
    tables = [evaluation.detection for evaluation in evaluations.values()]
    known = next((table for table in tables if table is not None), None)
    if known is None:
        return []
    rows = [[f"Faces: AP at IoU {IOU_THRESHOLD}", "true faces", *evaluations]]
    for target in TARGETS:
        for height_px in HEIGHT_BANDS_PX:
            cells = ["–" if table is None else _share(table[target][height_px].value) for table in tables]
            band = f"≥ {height_px} px high" if height_px else "all"
            rows.append([f"{target:8}  {band}", str(known[target][height_px].faces), *cells])
    return table(rows)


def _calibration_block(evaluations: Evaluations) -> list[str]:
    if all(evaluation.detection is None for evaluation in evaluations.values()):
        return []
    rows = [[f"Faces ≥ {CALIBRATED_FACE_PX} px high: calibration error (ECE)", *evaluations]]
    for name, words in (("score", "score: is it a face?"), ("mask", "P(mask) of labelled faces")):
        cells = []
        for evaluation in evaluations.values():
            claims = _scene_claims(evaluation)[name]
            error = claims.calibration_error
            cells.append("–" if math.isnan(error) else f"{_share(error)} of {len(claims.truth):5d}")
        rows.append([words, *cells])
    return table(rows)


def _mistakes_block(evaluations: Evaluations) -> list[str]:
    name, evaluation = next(iter(evaluations.items()))
    worst = sorted(evaluation.mistakes, key=lambda mistake: -mistake.confidence)[:LISTED_MISTAKES]
    if not worst:
        return []
    rows = [[f"Most confident mistakes, {name}", "is", "said", "P(mask)", "confidence"]]
    rows += [
        [
            mistake.name,
            mistake.truth.value if mistake.truth else "not annotated",
            mistake.said.value,
            _share(mistake.mask),
            _share(mistake.confidence),
        ]
        for mistake in worst
    ]
    return table(rows)


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"
