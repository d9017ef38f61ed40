"""Training as a whole: the finder's stages in turn, what a classifier is trained from, and what cannot be trained."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from drawn import write_classification_set, write_detection_set
from maskwatch.cli import main
from maskwatch.errors import DataError
from maskwatch.types import Box
from maskwatch_train import calibration, networks
from maskwatch_train import fit_classifier as fit_classifier_module
from maskwatch_train import fit_finder as fit_finder_module
from maskwatch_train.crops import Crop, CropBatches
from maskwatch_train.finder_batches import SceneBatches
from maskwatch_train.fit_classifier import build_classifier, fine_tune_classifier, fit_classifier
from maskwatch_train.fit_finder import fine_tune_finder, fit_finder
from maskwatch_train.forms import FloatForm, Int8Form
from maskwatch_train.index import read_data
from maskwatch_train.int8_form import int8_finder, int8_masknet
from maskwatch_train.quantisers import ActivationQuantiser
from maskwatch_train.recipes import CLASSIFIERS, ClassifierRecipe, FinderRecipe, Stage
from maskwatch_train.runs import code_identity, load_network, save_network

RECIPE = FinderRecipe(
    scenes_per_epoch=8,
    stages=(
        Stage(64, 96, batch_size=4, epochs=2, learning_rate=1e-2, last_share=0.5),
        Stage(96, 128, batch_size=2, epochs=1, learning_rate=1e-3),
    ),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_classification_set(root / "portraits", 8, 1, faces_csv=True)
    write_detection_set(root / "scenes", 4, 2)
    return root


@pytest.fixture(scope="module")
def samples(data):
    return read_data(data)


@pytest.fixture
def tiny_finder(monkeypatch):
    """The finder's outputs from one convolution a stride: quick to trace."""

    def build(height_px=None, width_px=None, form=None, **_):
        picture = keras.Input((height_px, width_px, 3))
        x = keras.layers.Rescaling(1 / 127.5, -1)((form or FloatForm()).rounded(picture, "image"))
        scores, boxes = [], []
        for stride in networks.FINDER_STRIDES:
            features = keras.layers.Conv2D(4, stride, strides=stride, activation="relu")(x)
            scores.append(keras.layers.Reshape((-1, 1))(keras.layers.Conv2D(1, 1)(features)))
            boxes.append(keras.layers.Reshape((-1, 4))(keras.layers.Conv2D(4, 1)(features)))
        join = keras.layers.Concatenate(axis=1)
        return keras.Model(picture, {"scores": join(scores), "boxes": join(boxes)})

    monkeypatch.setattr(networks, "finder", build)


@pytest.mark.usefixtures("tiny_finder")
def test_each_stage_starts_from_the_one_before(samples, tmp_path):
    """With a learning rate of nothing the second stage hands on what the first one made."""
    idle = replace(RECIPE.stages[1], learning_rate=0.0)
    both = fit_finder(
        samples, samples, tmp_path / "both", replace(RECIPE, stages=(RECIPE.stages[0], idle)), seed=3, verbose=0
    )
    # Validation changes nothing, and may be missing.
    alone = fit_finder(samples, (), tmp_path / "alone", replace(RECIPE, stages=RECIPE.stages[:1]), seed=3, verbose=0)
    for one, other in zip(both.get_weights(), alone.get_weights(), strict=True):
        assert np.allclose(one, other, atol=1e-5)
    lines = [len((tmp_path / "both" / stage / "log.csv").read_text().splitlines()) for stage in ("stage1", "stage2")]
    assert lines == [3, 2]


def test_a_finder_needs_face_boxes(samples, tmp_path):
    bare = [replace(sample, boxes=()) for sample in samples]
    with pytest.raises(DataError, match="data fetch"):
        fit_finder(bare, bare, tmp_path, RECIPE, seed=1, verbose=0)


@pytest.mark.parametrize("label", [0, 1])
def test_a_classifier_needs_both_classes(samples, tmp_path, label):
    one_sided = [replace(sample, boxes=()) for sample in samples if sample.label == label]
    with pytest.raises(DataError, match="with and without masks"):
        fit_classifier(
            one_sided, one_sided, tmp_path, tmp_path / "tiles", ClassifierRecipe(),
            seed=1, progress=lambda items, _total: items, verbose=0,
        )  # fmt: skip


@pytest.mark.parametrize("with_decoys", [True, False])
def test_a_classifier_is_trained_with_decoys_and_without(samples, tmp_path, with_decoys):
    """A tuning has none."""
    recipe = replace(ClassifierRecipe(), size_px=32, widths=(8, 8, 8, 8), batch_size=8, crops_per_epoch=16, epochs=1)
    decoys = [Crop(sample, Box(0, 0, 12, 12), None) for sample in samples[:3]] if with_decoys else ()
    network = fit_classifier(
        samples, samples, tmp_path, tmp_path / "tiles", recipe, decoys=decoys,
        seed=1, progress=lambda items, _total: items, verbose=0,
    )  # fmt: skip
    assert network.output_shape == (None, 2)
    header, row = (tmp_path / "log.csv").read_text().splitlines()
    told = dict(zip(header.split(","), map(float, row.split(",")), strict=True))
    assert told.keys() >= {"accuracy", "face_accuracy", "val_accuracy", "val_face_accuracy"}
    assert all(math.isfinite(value) for value in told.values())


# With int8's rounding


def fine_tuned_finder(samples, folder):
    recipe = replace(RECIPE, widths=(8, 8, 8, 8), neck=8, stages=RECIPE.stages[:1], int8_epochs=2)
    keras.utils.set_random_seed(3)
    trained = networks.finder(widths=recipe.widths, neck=recipe.neck)
    pictures = calibration.finder_pictures(samples, 3)
    began = int8_finder(trained, recipe.widths, recipe.neck, 64, 96, pictures)
    return began, fine_tune_finder(trained, samples, samples, folder, recipe, seed=3, verbose=0)


def fine_tuned_classifier(samples, folder):
    recipe = ClassifierRecipe(size_px=32, widths=(8, 8, 8, 8), batch_size=8, crops_per_epoch=16, int8_epochs=2)
    keras.utils.set_random_seed(3)
    trained = build_classifier(recipe)
    pictures = calibration.classifier_pictures(samples, 3, faces=True)
    began = int8_masknet(trained, recipe.size_px, recipe.widths, recipe.margin_ratio, pictures)
    tuned = fine_tune_classifier(
        trained, samples, samples, folder, folder / "tiles", recipe,
        seed=3, progress=lambda items, _total: items, verbose=0,
    )  # fmt: skip
    return began, tuned


@pytest.mark.parametrize(
    ("fine_tune", "batches"), [(fine_tuned_finder, SceneBatches), (fine_tuned_classifier, CropBatches)]
)
def test_fine_tuning_that_was_cut_off_goes_on_and_ranges_stay(samples, tmp_path, monkeypatch, fine_tune, batches):
    """The float network and its photographs give the same int8 form each time, and the checkpoint fits into it."""
    began, whole = fine_tune(samples, tmp_path / "whole")
    item = batches.__getitem__

    def broken(self, index):
        if self.epoch == 1:
            raise RuntimeError("the power is gone")
        return item(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(batches, "__getitem__", broken)
        with pytest.raises(Exception, match="the power is gone"):  # as the backend hands it on
            fine_tune(samples, tmp_path / "cut")
    _, resumed = fine_tune(samples, tmp_path / "cut")
    assert len((tmp_path / "cut" / "int8" / "log.csv").read_text().splitlines()) == 3
    learnt = set()
    for first, one, other in zip(began.weights, whole.weights, resumed.weights, strict=True):
        assert np.allclose(one, other, atol=1e-6), one.path
        if one.path.endswith("/range"):
            assert np.array_equal(first, one), one.path
        elif not np.array_equal(first, one):
            learnt.add(one.path)
    assert len(learnt) == len(whole.trainable_weights)


def test_fine_tuning_is_at_the_size_that_serves():
    stage = FinderRecipe().int8_stage
    assert stage == Stage(320, 512, 16, epochs=4, learning_rate=2e-4, last_share=0.01, background_share=0.3)
    last = Stage(64, 96, 4, epochs=9, learning_rate=1.0)
    assert (FinderRecipe(stages=(last,)).int8_stage.height_px, FinderRecipe(stages=(last,)).int8_stage.width_px) == (
        64,
        96,
    )


@pytest.mark.parametrize(("asked", "expected"), [(2, 2), (50, None)])
@pytest.mark.parametrize("network", ["finder", "masknet"])
def test_more_epochs_are_not_more_of_those_with_rounding(shop, monkeypatch, network, asked, expected):
    """A trial is short in all its stages; a long training has no use for a longer end."""
    if network == "finder":
        monkeypatch.setattr(fit_finder_module, "fit_finder", lambda *_, **__: shop.network())
        monkeypatch.setattr(fit_finder_module, "fine_tune_finder", lambda network, *_, **__: network)
        (shop.run / "finder").mkdir(parents=True)
        assert shop.train("--epochs", str(asked), network="finder") == 0
        shipped = FinderRecipe().int8_epochs
    else:
        shop.save_finder(score=0.35)
        assert shop.train("--epochs", str(asked)) == 0
        shipped = ClassifierRecipe().int8_epochs
    recipe = json.loads((shop.run / network / "run.json").read_text())["recipe"]
    assert recipe["int8_epochs"] == (expected or shipped)
    assert {stage["epochs"] for stage in recipe.get("stages", [recipe])} == {asked}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_named_architecture_is_built_for_its_size(name):
    recipe = replace(CLASSIFIERS[name], size_px=32)
    network = build_classifier(recipe)
    assert network.name == name
    assert network.input_shape == (None, 32, 32, 3)


@pytest.mark.parametrize("words", [["--epochs", "0"], ["--epochs", "-1"], ["--samples", "0"], ["--epochs", "few"]])
def test_no_epochs_and_no_samples_are_refused(words, capsys):
    """`--epochs 0` was taken for none given, and trained for hours."""
    with pytest.raises(SystemExit) as stopped:
        main(["train", "finder", *words])
    assert stopped.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_training_without_data_is_one_line_and_exit_3(tmp_path, capsys):
    assert main(["train", "classifier", "--data", str(tmp_path / "nowhere"), "--run", str(tmp_path / "run")]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "nowhere" in line
    assert "data fetch" in line
    assert not (tmp_path / "run").exists()


# `maskwatch train classifier`


def constant_finder(score: float) -> keras.Model:
    """Believes this much in a face at every cell, each box 32 px of the input wide; rounds the picture alone."""
    network = networks.finder(form=Int8Form())
    for layer in network.layers:
        if not isinstance(layer, ActivationQuantiser):
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    for stride, logits, distances in zip(networks.FINDER_STRIDES, *two_heads(network), strict=True):
        logits.bias.assign([math.log(score / (1 - score))])
        distances.bias.assign([math.log(16 / stride)] * 4)
    return network


def two_heads(network):
    """The convolutions that give scores, and those that give boxes, finest stride first."""
    heads = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    return [
        [layer for layer in heads if layer.filters == filters and layer.kernel_size == (1, 1)] for filters in (1, 4)
    ]


@pytest.fixture
def shop(data, tmp_path, monkeypatch, tiny_finder):
    """A run folder to train in; `fits` are the decoys that each training of a classifier was handed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run, fits, breaks = tmp_path / "run", [], []

    def fit(_train, _validation, folder, _cache, _recipe, *, decoys, **_):
        fits.append(list(decoys))
        if breaks:
            raise breaks.pop()
        folder.mkdir(parents=True, exist_ok=True)
        return any_network()

    def any_network() -> keras.Model:
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

    def save_finder(score: float) -> None:
        (run / "finder").mkdir(parents=True, exist_ok=True)
        save_network(run / "finder", constant_finder(score), RECIPE, seed=1, data={}, code=code_identity())

    def train(*words: str, network: str = "classifier") -> int:
        return main(["train", network, "--data", str(data), "--run", str(run), *words])

    monkeypatch.setattr(fit_classifier_module, "fit_classifier", fit)
    monkeypatch.setattr(fit_classifier_module, "fine_tune_classifier", lambda network, *_, **__: network)
    return SimpleNamespace(run=run, fits=fits, breaks=breaks, save_finder=save_finder, train=train, network=any_network)


def test_a_classifier_without_a_finder_is_one_line_and_exit_3(shop, capsys):
    assert shop.train() == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert str(shop.run / "finder") in line
    assert "run `maskwatch train finder`" in line
    assert not shop.run.exists()
    assert shop.fits == []


def test_a_finder_of_before_int8s_rounding_is_one_line_and_exit_3(shop, capsys):
    (shop.run / "finder").mkdir(parents=True)
    save_network(shop.run / "finder", networks.finder(), RECIPE, seed=1, data={}, code=code_identity())
    assert shop.train() == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{shop.run / 'finder'} was trained before networks learnt int8's rounding" in line
    assert "another --run" in line
    assert shop.fits == []


def test_the_original_method_needs_no_finder(shop):
    assert shop.train("--architecture", "baseline_cnn") == 0
    assert shop.fits == [[]]
    assert not (shop.run / "baseline_cnn" / "decoys.json").exists()


def test_a_run_that_was_cut_off_goes_on_with_the_same_decoys(shop):
    shop.save_finder(score=0.35)
    shop.breaks.append(KeyboardInterrupt())
    assert shop.train() == 130
    kept = (shop.run / "masknet" / "decoys.json").read_bytes()
    assert shop.train() == 0
    first, second = shop.fits
    assert len(first) > 5
    assert second == first
    assert all(crop.label is None and crop.sample.boxes for crop in first)
    assert (shop.run / "masknet" / "decoys.json").read_bytes() == kept
    identity = json.loads((shop.run / "masknet" / "run.json").read_text())
    assert identity["recipe"]["decoy_share"] == ClassifierRecipe().decoy_share
    assert identity["data"]["finder"] == load_network(shop.run / "finder").weights_sha256


def test_a_finder_sure_of_all_it_sees_leaves_no_decoys(shop, capsys):
    shop.save_finder(score=0.9)
    assert shop.train() == 0
    assert "the finder took nothing for a face" in capsys.readouterr().err
    assert shop.fits == [[]]


@pytest.mark.parametrize("change", ["seed", "finder"])
def test_a_finished_run_is_kept_from_other_photographs_and_finders(shop, capsys, change):
    """Told to delete the decoys first, which belong to the finished network."""
    shop.save_finder(score=0.35)
    assert shop.train() == 0
    if change == "finder":
        shop.save_finder(score=0.36)
    capsys.readouterr()
    assert shop.train(*(["--seed", "7"] if change == "seed" else [])) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "--run" in line
    assert "trained with another" in line
    assert len(shop.fits) == 1


def test_decoys_of_another_finder_are_one_line_and_exit_3(shop, capsys):
    shop.save_finder(score=0.35)
    shop.breaks.append(KeyboardInterrupt())
    assert shop.train() == 130
    shop.save_finder(score=0.45)
    capsys.readouterr()
    assert shop.train() == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "decoys.json is of other photographs or of another finder: delete it" in line
    assert len(shop.fits) == 1


def test_damaged_decoys_are_one_line_and_exit_3(shop, capsys):
    shop.save_finder(score=0.35)
    (shop.run / "masknet").mkdir()
    (shop.run / "masknet" / "decoys.json").write_text("[")
    assert shop.train() == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "decoys.json" in line
    assert "delete it" in line
    assert shop.fits == []
