"""A Keras model behind the same interface as a TFLite one, so that float and int8 go through the same pipeline code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from maskwatch.classifier import MaskClassifier
from maskwatch.finder import FaceFinder
from maskwatch.manifest import ClassifierSpec, FinderSpec, SecondLookSpec
from maskwatch.pipeline import Pipeline
from maskwatch.types import Label

from maskwatch_train.networks import FINDER_STRIDES
from maskwatch_train.runs import FINDER, TrainedNetwork, load_network

if TYPE_CHECKING:
    import keras

WHOLE_PICTURE_CNN = "baseline_cnn"
"""The architecture that knows no faces: its pipeline has no finder."""


class KerasNetwork:
    """A network in float arithmetic; see `maskwatch.interpreter.Network`."""

    def __init__(self, model: keras.Model) -> None:
        model.compile(jit_compile=False)  # as a compiled graph, not layer by layer; XLA would compile each batch size
        self._model = model

    def __call__(self, batch: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], ...]:
        """Run N×H×W×3 uint8 RGB; outputs in the order of their names, float32."""
        outputs: Any = self._model.predict_on_batch(batch.astype(np.float32))
        if not isinstance(outputs, dict):
            return (np.asarray(outputs, np.float32),)
        return tuple(np.asarray(outputs[name], np.float32) for name in sorted(outputs))


def finder_spec(trained: TrainedNetwork) -> FinderSpec:
    """What serving needs to know of a trained finder, before thresholds are chosen; its last stage's size serves."""
    stage = trained.recipe["stages"][-1]
    return FinderSpec(
        file="finder.tflite",
        height_px=stage["height_px"],
        width_px=stage["width_px"],
        strides=FINDER_STRIDES,
        temperature=1.0,
        score_threshold=0.4,
        iou_threshold=0.5,
    )


def classifier_spec(trained: TrainedNetwork) -> ClassifierSpec:
    """What serving needs to know of a trained classifier, before thresholds are chosen."""
    recipe = trained.recipe
    whole_pictures_only = recipe["architecture"] == WHOLE_PICTURE_CNN
    return ClassifierSpec(
        file="classifier.tflite",
        architecture=recipe["architecture"],
        size_px=recipe["size_px"],
        margin_ratio=recipe["margin_ratio"],
        labels=(Label.WITHOUT_MASK.value, Label.WITH_MASK.value),
        output="probabilities" if whole_pictures_only else "mask_and_face_logits",
        temperature=1.0,
        threshold=0.5,
        whole_picture=recipe["whole_picture_share"] > 0,
        second_look=None if whole_pictures_only else SecondLookSpec(weight=0.0, bias=0.0, score_threshold=0.4),
    )


def keras_pipeline(
    finder: TrainedNetwork | None, classifier: TrainedNetwork, found: FinderSpec | None, judged: ClassifierSpec
) -> Pipeline:
    """The pipeline of trained networks in float arithmetic, at the thresholds of these specs."""
    face_finder = None
    if finder is not None and found is not None:
        face_finder = FaceFinder(KerasNetwork(finder.network), found)
    return Pipeline(face_finder, MaskClassifier(KerasNetwork(classifier.network), judged))


def load_keras_pipeline(run_folder: Path, architecture: str = "masknet") -> Pipeline:
    """The float pipeline of a run folder.

    Raises:
        DataError: the folder holds no finished networks.
    """
    finder = None if architecture == WHOLE_PICTURE_CNN else load_network(run_folder / FINDER, as_float=True)
    classifier = load_network(run_folder / architecture, as_float=True)
    found = None if finder is None else finder_spec(finder)
    return keras_pipeline(finder, classifier, found, classifier_spec(classifier))
