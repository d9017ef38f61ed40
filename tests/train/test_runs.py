"""Run folders: a network comes back as it was saved, with what it was trained from."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

import keras
import numpy as np
import pytest
from maskwatch.errors import DataError
from maskwatch_train import networks, runs
from maskwatch_train.forms import Int8Form, is_int8_form
from maskwatch_train.keras_network import KerasNetwork, classifier_spec, finder_spec, load_keras_pipeline
from maskwatch_train.recipes import BASELINE, ClassifierRecipe, FinderRecipe
from maskwatch_train.runs import TrainedNetwork, code_identity, load_int8_network, load_network, save_network


@pytest.fixture(scope="module")
def network() -> keras.Model:
    picture = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(picture))
    return keras.Model(picture, {"scores": keras.layers.Dense(1)(x), "boxes": keras.layers.Dense(4)(x)})


def test_a_network_comes_back_with_its_identity(tmp_path, network):
    recipe = FinderRecipe(scenes_per_epoch=7)
    save_network(tmp_path, network, recipe, seed=11, data={"train": "ab" * 32}, code=code_identity())
    trained = load_network(tmp_path)
    batch = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)
    for name, expected in network(batch).items():
        assert np.array_equal(trained.network(batch)[name], expected)
    assert trained.recipe["scenes_per_epoch"] == 7
    assert trained.recipe["stages"][-1]["height_px"] == 320
    assert trained.identity["seed"] == 11
    assert trained.identity["data"] == {"train": "ab" * 32}
    assert trained.identity["code"]["keras"] == keras.__version__
    assert trained.identity["code"]["backend"] == keras.backend.backend()
    assert trained.identity["code"]["version"] == version("maskwatch")
    assert json.loads((tmp_path / "run.json").read_text()) == trained.identity
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.keras", "run.json"]


def test_the_float_network_stays_beside_its_int8_form(tmp_path, network):
    """Without one of its own a network is its float form: the original method's never takes another."""
    rounded = keras.models.clone_model(network)
    save_network(tmp_path, rounded, FinderRecipe(), seed=1, data={}, code=code_identity(), as_float=network)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["float.keras", "network.keras", "run.json"]
    batch = np.full((1, 8, 8, 3), 99, np.float32)
    for kept, expected in ((load_network(tmp_path), rounded), (load_network(tmp_path, as_float=True), network)):
        assert np.array_equal(kept.network(batch)["boxes"], expected(batch)["boxes"])
    (tmp_path / "alone").mkdir()
    save_network(tmp_path / "alone", network, BASELINE, seed=1, data={}, code=code_identity())
    alone = load_network(tmp_path / "alone", as_float=True)
    assert np.array_equal(alone.network(batch)["boxes"], network(batch)["boxes"])


def test_a_float_network_whose_int8_form_is_not_finished_is_none(tmp_path, network):
    save_network(tmp_path, network, FinderRecipe(), seed=1, data={}, code=code_identity(), as_float=network)
    (tmp_path / "network.keras").unlink()
    with pytest.raises(DataError, match="no finished network"):
        load_network(tmp_path, as_float=True)


@pytest.fixture(scope="module")
def rounded() -> keras.Model:
    return networks.masknet(16, (8, 8, 8, 8), form=Int8Form())


def test_an_int8_form_is_read_as_such_and_a_float_network_is_refused(tmp_path, network, rounded):
    save_network(tmp_path, rounded, ClassifierRecipe(), seed=1, data={}, code=code_identity(), as_float=network)
    assert is_int8_form(load_int8_network(tmp_path).network)
    save_network(tmp_path, network, ClassifierRecipe(), seed=1, data={}, code=code_identity())
    with pytest.raises(DataError, match=r"trained before networks learnt int8's rounding: .*--run") as caught:
        load_int8_network(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_process_that_trained_nothing_reads_both_forms(tmp_path, rounded):
    """The layers of a file are known to Keras only where their modules were imported."""
    trained = networks.masknet(16, (8, 8, 8, 8))
    save_network(tmp_path, rounded, ClassifierRecipe(), seed=1, data={}, code=code_identity(), as_float=trained)
    script = (
        "import sys; from pathlib import Path; from maskwatch_train.runs import load_network\n"
        "print(*(load_network(Path(sys.argv[1]), as_float=each).weights_sha256 for each in (False, True)))"
    )
    found = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=100)
    assert found.returncode == 0, found.stderr
    expected = [TrainedNetwork(each, {}).weights_sha256 for each in (rounded, trained)]
    assert found.stdout.split() == expected


def test_nothing_trained_names_the_command(tmp_path):
    with pytest.raises(DataError, match=f"maskwatch train.*--run {tmp_path}"):
        load_network(tmp_path / "masknet")


@pytest.mark.parametrize("missing", ["network.keras", "run.json"])
def test_a_run_without_its_end_is_refused(tmp_path, network, missing):
    save_network(tmp_path, network, FinderRecipe(), seed=1, data={}, code=code_identity())
    (tmp_path / missing).unlink()
    with pytest.raises(DataError, match="no finished network"):
        load_network(tmp_path)


@pytest.mark.parametrize("broken", ["network.keras", "run.json"])
def test_a_damaged_file_is_a_fault_with_a_remedy(tmp_path, network, broken):
    save_network(tmp_path, network, FinderRecipe(), seed=1, data={}, code=code_identity())
    content = (tmp_path / broken).read_bytes()
    (tmp_path / broken).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="damaged"):
        load_network(tmp_path)


def test_code_is_known_without_git_too(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(runs.subprocess, "run", missing)
    assert code_identity()["commit"] == "unknown"
    failed = subprocess.CompletedProcess([], 128, stdout="", stderr="not a repository")
    monkeypatch.setattr(runs.subprocess, "run", lambda *_, **__: failed)
    assert code_identity()["commit"] == "unknown"


def test_float_outputs_come_in_the_order_of_their_names(network):
    batch = np.zeros((3, 8, 8, 3), np.uint8)
    boxes, scores = KerasNetwork(network)(batch)
    assert (boxes.shape, scores.shape) == ((3, 4), (3, 1))
    assert boxes.dtype == scores.dtype == np.float32


def test_specs_come_from_the_recipe(tmp_path, network):
    for name, recipe in (("finder", FinderRecipe()), ("masknet", ClassifierRecipe()), ("baseline_cnn", BASELINE)):
        (tmp_path / name).mkdir()
        save_network(tmp_path / name, network, recipe, seed=1, data={}, code=code_identity())
    found = finder_spec(load_network(tmp_path / "finder"))
    assert (found.height_px, found.width_px, found.strides) == (320, 512, (8, 16, 32))
    judged = classifier_spec(load_network(tmp_path / "masknet"))
    assert (judged.size_px, judged.output, judged.whole_picture) == (112, "mask_and_face_logits", True)
    assert judged.second_look is not None
    assert judged.second_look.weight == 0, "until it is fitted, the finder alone tells what is a face"
    baseline = classifier_spec(load_network(tmp_path / "baseline_cnn"))
    assert (baseline.size_px, baseline.output, baseline.second_look) == (128, "probabilities", None)
    assert load_keras_pipeline(tmp_path, "baseline_cnn").finder is None
    assert load_keras_pipeline(tmp_path).finder is not None
