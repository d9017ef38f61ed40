"""Face boxes for a classification set that has none: found by a face finder, kept as `faces.csv`."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from maskwatch.errors import DataError, OperatorError
from maskwatch.images import read_image
from maskwatch.pipeline import Pipeline
from maskwatch.types import Frame

from maskwatch_train.evaluate import Progress
from maskwatch_train.index import CLASSIFICATION, FACES_COLUMNS, LABELS, Sample

MIN_SCORE = 0.5
"""Surer than at the door: a wrong box would teach the networks a wrong face."""


def find_boxes(samples: Sequence[Sample], pipeline: Pipeline, progress: Progress = iter) -> list[tuple[object, ...]]:
    """Rows of `faces.csv`, a face each, for the classification samples.

    The picture's label is a face's only where the picture has exactly one face.

    Raises:
        DataError: there is no classification sample.
        OperatorError: the pipeline has no face finder.
    """
    if pipeline.finder is None:
        raise OperatorError("this bundle has no face finder; give one that has, with --bundle")
    portraits = [sample for sample in samples if sample.source == CLASSIFICATION]
    if not portraits:
        raise DataError("no classification set is there; run `maskwatch data fetch`")
    words = {value: word for word, value in reversed(LABELS.items())}
    rows: list[tuple[object, ...]] = []
    for sample in progress(portraits):
        found = pipeline.finder.find(Frame(read_image(sample.path), captured_s=0.0), MIN_SCORE)
        label = words[sample.label] if len(found) == 1 and sample.label is not None else ""
        for detection in found:
            box = detection.box
            edges = (f"{edge:.1f}" for edge in (box.xmin, box.ymin, box.xmax, box.ymax))
            rows.append((f"{sample.path.parent.name}/{sample.path.name}", *edges, f"{detection.score:.3f}", label))
    return rows


def write_boxes(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """Write `faces.csv`, whole or not at all.

    Raises:
        OperatorError: the folder cannot be written to.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(FACES_COLUMNS)
            writer.writerows(rows)
        os.replace(unfinished, path)
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror}; name another file with --out") from error
