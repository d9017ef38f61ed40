"""Trains several sizes of a network alike, rounds each to int8 without fine-tuning, and measures all on validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
from maskwatch.bench import Cost, Spread
from maskwatch.classifier import MaskClassifier
from maskwatch.errors import DataError
from maskwatch.finder import FaceFinder
from maskwatch.interpreter import PictureModel, TFLiteNetwork
from maskwatch.manifest import ClassifierSpec, FinderSpec
from maskwatch_train import calibration
from maskwatch_train.fit_classifier import fit_classifier
from maskwatch_train.fit_finder import fit_finder
from maskwatch_train.index import DETECTION
from maskwatch_train.int8_form import int8_finder, int8_masknet
from maskwatch_train.keras_network import classifier_spec, finder_spec
from maskwatch_train.recipes import ClassifierRecipe, FinderRecipe
from maskwatch_train.runs import NETWORK_FILE, TrainedNetwork, code_identity, load_network, save_network
from maskwatch_train.split import Split, data_identity

from maskwatch_convert import tune_measure
from maskwatch_convert.candidates import Candidate, training_name
from maskwatch_convert.knee import knee
from maskwatch_convert.quantise import quantise
from maskwatch_convert.tune_measure import Figures

NamedProgress = Callable[[str], Callable[..., Iterable[Any]]]
"""Given what is being done, what passes items through and may show how far it got, as `tqdm.tqdm` does."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A candidate with what its int8 network says, takes and weighs; the first of `figures` is the one compared.

    `commit` is that of the code which trained it.
    """

    candidate: Candidate
    commit: str
    figures: Figures
    time: Spread
    cost: Cost

    @property
    def accuracy(self) -> float:
        """The figure compared, 0 to 1."""
        return next(iter(self.figures.values()))


@dataclass(frozen=True, slots=True)
class Comparison:
    """All candidates of a network, `measured_on` so many pictures and faces, and where among them the knee is."""

    network: str
    measured: tuple[Measured, ...]
    measured_on: tuple[int, int]

    @property
    def knee(self) -> Measured:
        """The candidate to ship."""
        return self.measured[knee([(each.time.median_ms, each.accuracy) for each in self.measured])]

    @property
    def shipped(self) -> Measured:
        """The recipe's own size and width."""
        return next(each for each in self.measured if each.candidate.shipped)


@dataclass(frozen=True, slots=True)
class Tuner:
    """Where and from what candidates are trained; `tell` gets a line for people before each training."""

    split: Split
    run_folder: Path
    seed: int
    tell: Callable[[str], None]
    progress: NamedProgress

    def finder(self, candidates: Sequence[Candidate]) -> Comparison:
        """Compare sizes of the face finder. Raises as `fit_finder` does, and DataError without a face to measure."""
        scenes = tune_measure.scenes_to_measure(self.split.validation)
        if not scenes:
            raise DataError(
                f"the validation part of the data holds no scene with a face of {tune_measure.SMALLEST_FACE_PX} px or "
                "higher: run `maskwatch data fetch`"
            )
        pictures = calibration.finder_pictures(self.split.train, self.seed)
        made: list[tuple[bytes, FinderSpec]] = []
        commits = []
        for candidate, trained in self._trained("finder", candidates):
            spec = replace(finder_spec(trained), height_px=candidate.height_px, width_px=candidate.width_px)
            recipe = trained.recipe
            sides_px = spec.height_px, spec.width_px
            rounded = int8_finder(trained.network, recipe["widths"], recipe["neck"], *sides_px, pictures)
            made.append((quantise(rounded), spec))
            commits.append(trained.identity["code"]["commit"])
        finders = [FaceFinder(TFLiteNetwork(model), spec) for model, spec in made]
        figures = tune_measure.finder_figures(finders, scenes, self.progress("measure finders"))
        faces = sum(len(scene.boxes) for scene in scenes)
        models = [model for model, _ in made]
        return Comparison("finder", self._measured(candidates, commits, figures, models), (len(scenes), faces))

    def classifier(self, candidates: Sequence[Candidate]) -> Comparison:
        """Compare sizes of the classifier. Raises as `fit_classifier` does, and DataError without labelled faces."""
        recipe = candidates[0].recipe
        assert isinstance(recipe, ClassifierRecipe)
        faces = tune_measure.faces_to_measure(self.split.validation, recipe)
        if not faces:
            raise DataError(
                "the validation part of the data holds no labelled face box: run `maskwatch data fetch`, or "
                "`maskwatch data boxes` for pictures that have only labels"
            )
        pictures = calibration.classifier_pictures(self.split.train, self.seed, faces=True)
        made: list[tuple[bytes, ClassifierSpec]] = []
        commits = []
        for _, trained in self._trained("classifier", candidates):
            spec = classifier_spec(trained)
            widths = trained.recipe["widths"]
            rounded = int8_masknet(trained.network, spec.size_px, widths, spec.margin_ratio, pictures)
            made.append((quantise(rounded), spec))
            commits.append(trained.identity["code"]["commit"])
        classifiers = [MaskClassifier(TFLiteNetwork(model), spec) for model, spec in made]
        figures = tune_measure.classifier_figures(classifiers, faces, self.progress("measure classifiers"))
        models = [model for model, _ in made]
        counts = len(faces), sum(len(picture.boxes) for picture in faces)
        return Comparison("classifier", self._measured(candidates, commits, figures, models), counts)

    def _trained(self, network: str, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, TrainedNetwork]]:
        """Each candidate with its network: trained where it isn't finished, and once for candidates of one recipe."""
        data = data_identity(self.split.train)
        recipes = list(dict.fromkeys(candidate.recipe for candidate in candidates))
        names = {recipe: training_name(recipe, self.seed, data) for recipe in recipes}
        for candidate in candidates:
            recipe = candidate.recipe
            folder = self.run_folder / "tune" / network / names[recipe]
            if not (folder / NETWORK_FILE).exists():
                self.tell(f"training {recipes.index(recipe) + 1} of {len(recipes)}: {folder}")
                self._train(folder, recipe, data)
            yield candidate, load_network(folder)

    def _train(self, folder: Path, recipe: FinderRecipe | ClassifierRecipe, data: str) -> None:
        code = code_identity()  # now: the code may have moved on by the time training ends
        keras.utils.clear_session()  # or every training's graphs stay in memory
        train, validation = self.split.train, self.split.validation
        if isinstance(recipe, FinderRecipe):
            scenes = [sample for sample in validation if sample.source == DETECTION]
            network = fit_finder(train, scenes, folder, recipe, seed=self.seed, verbose=2)
        else:
            tiles = self.run_folder / "tiles"  # `train` keeps its own there: the same crops need not be cut again
            network = fit_classifier(
                train, validation, folder, tiles, recipe, seed=self.seed, progress=self.progress("cut faces"), verbose=2
            )
        save_network(folder, network, recipe, seed=self.seed, data={"train": data}, code=code)

    def _measured(
        self,
        candidates: Sequence[Candidate],
        commits: Sequence[str],
        figures: Sequence[Figures],
        models: Sequence[bytes],
    ) -> tuple[Measured, ...]:
        self.tell("timing all in turns")
        times = tune_measure.time_in_turns([PictureModel(model) for model in models])
        costs = map(tune_measure.cost, models)
        return tuple(map(Measured, candidates, commits, figures, times, costs))
