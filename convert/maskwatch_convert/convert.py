"""From a run folder to a bundle: quantise, fit temperatures and thresholds, compare with float, measure, pack."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maskwatch.bundle import Bundle
from maskwatch.classifier import MaskClassifier
from maskwatch.errors import DataError, FindingError
from maskwatch.finder import FaceFinder
from maskwatch.golden import make_golden
from maskwatch.interpreter import TFLiteNetwork
from maskwatch.manifest import ClassifierSpec, FinderSpec, Manifest, utc_text
from maskwatch.pipeline import Pipeline
from maskwatch_train import calibration
from maskwatch_train.evaluate import Progress, evaluate_pipeline
from maskwatch_train.index import DETECTION, Sample
from maskwatch_train.keras_network import WHOLE_PICTURE_CNN, classifier_spec, finder_spec, keras_pipeline
from maskwatch_train.report import summary
from maskwatch_train.runs import FINDER, TrainedNetwork, code_identity, load_network
from maskwatch_train.split import Split, data_identity

from maskwatch_convert.model_card import model_card
from maskwatch_convert.operating_point import mask_threshold, score_threshold
from maskwatch_convert.pack import write_bundle
from maskwatch_convert.parity import Parity, compare
from maskwatch_convert.quantise import quantise
from maskwatch_convert.second_look import fit_weights, gather, worth_a_look
from maskwatch_convert.temperature import classifier_temperature

logger = logging.getLogger(__name__)

GOLDEN_SEEDS = ("golden-1", "golden-2", "golden-3")


@dataclass(frozen=True, slots=True)
class Converted:
    """A finished bundle and how its int8 networks compare with the float ones."""

    bundle: Bundle
    parity: Parity


@dataclass(frozen=True, slots=True)
class _Quantised:
    """The int8 files with their specs."""

    files: dict[str, bytes]
    finder: FinderSpec | None
    classifier: ClassifierSpec

    def pipeline(self) -> Pipeline:
        finder = None if self.finder is None else FaceFinder(TFLiteNetwork(self.files[self.finder.file]), self.finder)
        network = TFLiteNetwork(self.files[self.classifier.file])
        return Pipeline(finder, MaskClassifier(network, self.classifier))


def convert_run(
    run_folder: Path,
    architecture: str,
    split: Split,
    folder: Path,
    *,
    name: str,
    version: str,
    seed: int,
    progress: Callable[[str], Progress],
) -> Converted:
    """Make the bundle of a run folder's networks in `folder`; `progress` names each part of the work.

    Raises:
        DataError: the run folder holds no finished networks, or the data no labelled pictures to measure them on.
        FindingError: a network is not wholly int8, or farther from what was trained than the gate allows.
    """
    for part, samples in (("validation", split.validation), ("test", split.test)):
        if all(sample.label is None for sample in samples):
            raise DataError(f"the {part} part of the data holds no labelled picture: run `maskwatch data fetch`")
    finder = None if architecture == WHOLE_PICTURE_CNN else load_network(run_folder / FINDER)
    classifier = load_network(run_folder / architecture)
    quantised = _quantise(finder, classifier, split.train, seed)
    as_trained = functools.partial(keras_pipeline, finder, classifier)

    # In float arithmetic, so that the gate below measures int8 at figures that were not fitted to it.
    quantised = _at_operating_point(quantised, as_trained, split.validation, progress)
    specs = (quantised.finder, quantised.classifier)
    trained = evaluate_pipeline(as_trained(*specs), split.validation, progress("as trained, on validation"))
    as_float = None
    if finder is not None:
        before = (
            load_network(run_folder / FINDER, as_float=True),
            load_network(run_folder / architecture, as_float=True),
        )
        as_float = evaluate_pipeline(keras_pipeline(*before, *specs), split.validation, progress("float on validation"))
    validation = evaluate_pipeline(quantised.pipeline(), split.validation, progress("int8 on validation"))
    parity = compare(trained, validation, before=as_float)
    if parity.faults:
        logger.warning("%s", parity.text())
        raise FindingError(f"int8 is not what was trained: {'; '.join(parity.faults)}")

    test = evaluate_pipeline(quantised.pipeline(), split.test, progress("int8 on test"))
    manifest = Manifest(
        name=name,
        version=version,
        made_at=utc_text(datetime.now(UTC)),
        finder=quantised.finder,
        classifier=quantised.classifier,
        members={},
        report=summary(test),
        training=_training(finder, classifier, split, parity, seed),
        reference_histograms=validation.histograms,
        golden=tuple(
            vector
            for file, model in quantised.files.items()
            for vector in make_golden(TFLiteNetwork(model), file, GOLDEN_SEEDS)
        ),
    )
    card = model_card(manifest, {file: len(model) for file, model in quantised.files.items()})
    folder.mkdir(parents=True, exist_ok=True)
    members = {**quantised.files, "MODEL_CARD.md": card.encode()}
    return Converted(write_bundle(folder, manifest, members), parity)


def _quantise(
    finder: TrainedNetwork | None, classifier: TrainedNetwork, train: tuple[Sample, ...], seed: int
) -> _Quantised:
    judged = classifier_spec(classifier)
    if finder is None:  # the original method's CNN has no int8 form
        pictures = calibration.classifier_pictures(train, seed, faces=False)
        batches = functools.partial(calibration.classifier_batches, pictures, judged.size_px, judged.margin_ratio)
        return _Quantised({judged.file: quantise(classifier.network, batches)}, None, judged)
    found = finder_spec(finder)
    files = {found.file: quantise(finder.network), judged.file: quantise(classifier.network)}
    return _Quantised(files, found, judged)


def _at_operating_point(
    quantised: _Quantised,
    pipeline: Callable[[FinderSpec | None, ClassifierSpec], Pipeline],
    samples: Sequence[Sample],
    progress: Callable[[str], Progress],
) -> _Quantised:
    """Fit temperatures and choose the thresholds at them; `quantised` comes with temperatures of 1.

    First what counts as a face, as that decides which face of a picture is judged, then what counts as masked.
    """
    finder, classifier = quantised.finder, quantised.classifier
    if finder is not None and classifier.second_look is not None:
        evidence = gather(pipeline(finder, classifier), samples, progress("second look at faces"))
        weights = fit_weights(evidence)
        finder = replace(finder, temperature=weights.temperature)
        second_look = replace(classifier.second_look, weight=weights.weight, bias=weights.bias)
        scenes = [sample for sample in samples if sample.source == DETECTION]
        found = evaluate_pipeline(
            pipeline(finder, replace(classifier, second_look=second_look)), scenes, progress("threshold of faces")
        )
        threshold = score_threshold(found, otherwise=second_look.score_threshold)
        classifier = replace(classifier, second_look=replace(second_look, score_threshold=threshold))
        finder = replace(finder, score_threshold=worth_a_look(evidence, weights, threshold))
    judged = evaluate_pipeline(pipeline(finder, classifier), samples, progress("threshold of masks"))
    # Probabilities that leave the network as such are not scaled: see `ClassifierSpec.output`.
    temperature = 1.0 if classifier.output == "probabilities" else classifier_temperature(judged)
    threshold = mask_threshold(judged, temperature, otherwise=classifier.threshold)
    classifier = replace(classifier, temperature=temperature, threshold=threshold)
    return replace(quantised, finder=finder, classifier=classifier)


def _training(
    finder: TrainedNetwork | None,
    classifier: TrainedNetwork,
    split: Split,
    parity: Parity,
    seed: int,
) -> dict[str, Any]:
    """Where the networks come from: enough to train and convert them again."""
    return {
        "finder": None if finder is None else finder.identity,
        "classifier": classifier.identity,
        "seed": seed,
        "split": {part: data_identity(getattr(split, part)) for part in ("train", "validation", "test")},
        "parity": parity.plain(),
        "code": code_identity(),
    }
