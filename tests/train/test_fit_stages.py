"""Training as a whole: the finder's stages in turn, what cannot be trained, and the verb's own arguments."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from drawn import write_classification_set, write_detection_set
from maskwatch.cli import main
from maskwatch.errors import DataError
from maskwatch_train import networks
from maskwatch_train.fit_classifier import build_classifier, fit_classifier
from maskwatch_train.fit_finder import fit_finder
from maskwatch_train.index import read_data
from maskwatch_train.recipes import CLASSIFIERS, ClassifierRecipe, FinderRecipe, Stage

RECIPE = FinderRecipe(
    scenes_per_epoch=8,
    stages=(
        Stage(64, 96, batch_size=4, epochs=2, learning_rate=1e-2, last_share=0.5),
        Stage(96, 128, batch_size=2, epochs=1, learning_rate=1e-3),
    ),
)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_classification_set(root / "portraits", 8, 1, faces_csv=True)
    write_detection_set(root / "scenes", 4, 2)
    return read_data(root)


@pytest.fixture
def tiny_finder(monkeypatch):
    """The finder's outputs from one convolution a stride: quick to trace."""

    def build(height_px=None, width_px=None, **_):
        picture = keras.Input((height_px, width_px, 3))
        x = keras.layers.Rescaling(1 / 127.5, -1)(picture)
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
