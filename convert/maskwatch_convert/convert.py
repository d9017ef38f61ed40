"""From a run folder to a bundle: convert to int8, fit temperatures and thresholds, pass the gate, measure, pack."""

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
from maskwatch_train.evaluate import Evaluation, Progress, evaluate_pipeline
from maskwatch_train.index import DETECTION, Sample
from maskwatch_train.keras_network import WHOLE_PICTURE_CNN, classifier_spec, finder_spec, keras_pipeline
from maskwatch_train.report import summary
from maskwatch_train.runs import FINDER, TrainedNetwork, code_identity, load_int8_network, load_network
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

NamedProgress = Callable[[str], Progress]


@dataclass(frozen=True, slots=True)
class Converted:
    """A finished bundle and how its int8 networks compare with what was trained, and with float."""

    bundle: Bundle
    parity: Parity


@dataclass(frozen=True, slots=True)
class _Specs:
    """Of both networks, with an operating point: temperatures and thresholds."""

    finder: FinderSpec | None
    classifier: ClassifierSpec


@dataclass(frozen=True, slots=True)
class _Trained:
    """A run folder's networks in one of their forms."""

    finder: TrainedNetwork | None
    classifier: TrainedNetwork

    def pipeline(self, specs: _Specs) -> Pipeline:
        return keras_pipeline(self.finder, self.classifier, specs.finder, specs.classifier)


@dataclass(frozen=True, slots=True)
class _Quantised:
    """The int8 files, by name."""

    files: dict[str, bytes]

    def pipeline(self, specs: _Specs) -> Pipeline:
        finder = None
        if specs.finder is not None:
            finder = FaceFinder(TFLiteNetwork(self.files[specs.finder.file]), specs.finder)
        network = TFLiteNetwork(self.files[specs.classifier.file])
        return Pipeline(finder, MaskClassifier(network, specs.classifier))


def convert_run(
    run_folder: Path,
    architecture: str,
    split: Split,
    folder: Path,
    *,
    name: str,
    version: str,
    seed: int,
    progress: NamedProgress,
) -> Converted:
    """Make the bundle of a run folder's networks in `folder`; `progress` names each part of the work.

    Raises:
        DataError: the run folder holds no finished networks in int8 form, or the data no labelled pictures to measure
            them on.
        OperatorError: Keras runs on another backend than TensorFlow.
        FindingError: a network is not wholly int8, or int8 strays from what was trained, or loses against the float
            network, by more than the gate allows.
    """
    for part, samples in (("validation", split.validation), ("test", split.test)):
        if all(sample.label is None for sample in samples):
            raise DataError(f"the {part} part of the data holds no labelled picture: run `maskwatch data fetch`")
    trained, before = _load(run_folder, architecture)
    untuned = _untuned(trained)
    quantised = _quantise(trained, untuned, split.train, seed)
    specs, validation, parity = _through_the_gate(quantised, trained, before, untuned, split.validation, progress)

    test = evaluate_pipeline(quantised.pipeline(specs), split.test, progress("int8 on test"))
    manifest = Manifest(
        name=name,
        version=version,
        made_at=utc_text(datetime.now(UTC)),
        finder=specs.finder,
        classifier=specs.classifier,
        members={},
        report=summary(test),
        training=_training(trained, split, parity, seed),
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


def _load(run_folder: Path, architecture: str) -> tuple[_Trained, _Trained | None]:
    """The networks in the form that serves, and in float before they took it: None of the original method's."""
    if architecture == WHOLE_PICTURE_CNN:
        return _Trained(None, load_network(run_folder / architecture)), None
    folders = run_folder / FINDER, run_folder / architecture
    in_int8_form = _Trained(*(load_int8_network(folder) for folder in folders))
    return in_int8_form, _Trained(*(load_network(folder, as_float=True) for folder in folders))


def _untuned(trained: _Trained) -> _Specs:
    finder = None if trained.finder is None else finder_spec(trained.finder)
    return _Specs(finder, classifier_spec(trained.classifier))


def _quantise(trained: _Trained, specs: _Specs, train: tuple[Sample, ...], seed: int) -> _Quantised:
    finder, judged = specs.finder, specs.classifier
    if trained.finder is None or finder is None:  # the original method's CNN has no int8 form
        pictures = calibration.classifier_pictures(train, seed, faces=False)
        batches = functools.partial(calibration.classifier_batches, pictures, judged.size_px, judged.margin_ratio)
        return _Quantised({judged.file: quantise(trained.classifier.network, batches)})
    files = {finder.file: quantise(trained.finder.network), judged.file: quantise(trained.classifier.network)}
    return _Quantised(files)


def _through_the_gate(
    quantised: _Quantised,
    trained: _Trained,
    before: _Trained | None,
    untuned: _Specs,
    samples: Sequence[Sample],
    progress: NamedProgress,
) -> tuple[_Specs, Evaluation, Parity]:
    """Choose an operating point, and measure int8 at it; compare that with what was trained, and with float.

    It is chosen in float arithmetic, so that int8 is measured at figures that were not fitted to it. The float network
    has a point of its own: at another's it would look worse than it is.

    Raises:
        FindingError: int8 strays, or loses, by more than the gate allows.
    """
    specs = _at_operating_point(untuned, trained.pipeline, samples, progress)
    as_trained = evaluate_pipeline(trained.pipeline(specs), samples, progress("as trained, on validation"))
    as_float = None
    if before is not None:
        own = _at_operating_point(untuned, before.pipeline, samples, lambda part: progress(f"{part}, in float"))
        as_float = evaluate_pipeline(before.pipeline(own), samples, progress("float on validation"))
    as_int8 = evaluate_pipeline(quantised.pipeline(specs), samples, progress("int8 on validation"))
    parity = compare(as_trained, as_int8, before=as_float)
    if parity.faults:
        logger.warning("%s", parity.text())
        raise FindingError(f"int8 is refused: {'; '.join(parity.faults)}")
    return specs, as_int8, parity


def _at_operating_point(
    untuned: _Specs,
    pipeline: Callable[[_Specs], Pipeline],
    samples: Sequence[Sample],
    progress: NamedProgress,
) -> _Specs:
    """Fit temperatures and choose the thresholds at them; `untuned` comes with temperatures of 1.

    First what counts as a face, as that decides which face of a picture is judged, then what counts as masked.
    """
    finder, classifier = untuned.finder, untuned.classifier
    if finder is not None and classifier.second_look is not None:
        evidence = gather(pipeline(_Specs(finder, classifier)), samples, progress("second look at faces"))
        weights = fit_weights(evidence)
        finder = replace(finder, temperature=weights.temperature)
        second_look = replace(classifier.second_look, weight=weights.weight, bias=weights.bias)
        scenes = [sample for sample in samples if sample.source == DETECTION]
        weighed = _Specs(finder, replace(classifier, second_look=second_look))
        found = evaluate_pipeline(pipeline(weighed), scenes, progress("threshold of faces"))
        threshold = score_threshold(found, otherwise=second_look.score_threshold)
        classifier = replace(classifier, second_look=replace(second_look, score_threshold=threshold))
        finder = replace(finder, score_threshold=worth_a_look(evidence, weights, threshold))
    judged = evaluate_pipeline(pipeline(_Specs(finder, classifier)), samples, progress("threshold of masks"))
    # Probabilities that leave the network as such are not scaled: see `ClassifierSpec.output`.
    temperature = 1.0 if classifier.output == "probabilities" else classifier_temperature(judged)
    threshold = mask_threshold(judged, temperature, otherwise=classifier.threshold)
    return _Specs(finder, replace(classifier, temperature=temperature, threshold=threshold))


def _training(trained: _Trained, split: Split, parity: Parity, seed: int) -> dict[str, Any]:
    """Where the networks come from: enough to train and convert them again."""
    return {
        "finder": None if trained.finder is None else trained.finder.identity,
        "classifier": trained.classifier.identity,
        "seed": seed,
        "split": {part: data_identity(getattr(split, part)) for part in ("train", "validation", "test")},
        "parity": parity.plain(),
        "code": code_identity(),
    }
