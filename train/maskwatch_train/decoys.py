"""Decoys: what a trained finder half believes to be a face where none is annotated, for the classifier to unlearn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from maskwatch.errors import DataError
from maskwatch.finder import FaceFinder
from maskwatch.images import read_image
from maskwatch.types import Box, Frame

from maskwatch_train.average_precision import edges_of, iou_matrix
from maskwatch_train.crops import Crop
from maskwatch_train.evaluate import Progress
from maskwatch_train.index import DETECTION, Sample

LEAST_SCORE, MOST_SCORE = 0.2, 0.5
"""Scores at temperature 1. What scores less never gets a second look; what scores more is mostly a real face that
nobody annotated, masked and in the background."""

MOST_OVERLAP = 0.3
"""Intersection over union with every true face, below which a box counts as background (Girshick et al. 2014)."""

SMALLEST_DECOY_PX = 10
"""Shorter side: of fewer pixels nobody can say what they show."""


def find_decoys(samples: Sequence[Sample], finder: FaceFinder, progress: Progress = iter) -> tuple[Crop, ...]:
    """The decoys in these photographs; `finder` is at temperature 1.

    Portraits without boxes are passed over: each shows a face, and nobody knows where.

    Raises:
        ImageError: a photograph cannot be read.
    """
    decoys = []
    for sample in progress([sample for sample in samples if sample.boxes or sample.source == DETECTION]):
        true_boxes = edges_of([face.box for face in sample.boxes])
        for detection in finder.find(Frame(read_image(sample.path), captured_s=0.0), LEAST_SCORE):
            box = Box(*(round(edge, 1) for edge in edges_of([detection.box])[0].tolist()))
            overlap = iou_matrix(edges_of([box]), true_boxes).max(initial=0.0)
            tall_enough = min(box.width, box.height) >= SMALLEST_DECOY_PX
            if overlap < MOST_OVERLAP and detection.score < MOST_SCORE and tall_enough:
                decoys.append(Crop(sample, box, None))
    return tuple(decoys)


def kept_decoys(
    path: Path, made_from: Mapping[str, str], samples: Sequence[Sample], finder: FaceFinder, progress: Progress = iter
) -> list[Crop]:
    """The decoys that `path` holds, else those found now and kept there, so that a run goes on with the same ones.

    `made_from` tells the identities of photographs and finder.

    Raises:
        DataError: the file is damaged, or of other photographs, or of another finder.
        ImageError: a photograph cannot be read.
    """
    if not path.exists():
        found = find_decoys(samples, finder, progress)
        rows = [(crop.sample.name, *edges_of([crop.box])[0].tolist()) for crop in found if crop.box is not None]
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps({"made_from": dict(made_from), "boxes": rows}))
        unfinished.replace(path)
    by_name = {sample.name: sample for sample in samples}
    try:
        kept = json.loads(path.read_text())
        same = kept["made_from"] == dict(made_from)
        decoys = [Crop(by_name[name], Box(*map(float, edges)), None) for name, *edges in kept["boxes"]] if same else []
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: delete it, and it is made anew") from error
    if not same:
        raise DataError(f"{path} is of other photographs or of another finder: delete it, and it is made anew")
    return decoys
