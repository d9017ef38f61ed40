"""The whole way on drawn pictures: train, convert, verify, classify, detect, evaluate, all by the command line.

The real networks, but small inputs and a few steps: what a trained network is worth is not measured here, only that
every part hands on what the next one needs, and that a mask can be learnt from it.
"""

from __future__ import annotations

import csv
import functools
import json
import shutil
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from drawn import write_classification_set, write_detection_set
from maskwatch.bundle import open_bundle
from maskwatch.cli import main
from maskwatch.images import read_image
from maskwatch.pipeline import load_pipeline
from maskwatch.types import Box, Label
from maskwatch_convert import convert, parity
from maskwatch_train import crops, recipes
from maskwatch_train.decoys import MOST_OVERLAP
from maskwatch_train.index import CLASSIFICATION, read_data
from maskwatch_train.runs import load_network
from maskwatch_train.split import load_split

pytestmark = pytest.mark.timeout(900)

SIDE_PX = 48

LENGTH = ["--epochs", "4", "--samples", "2400"]
"""Of masknet's training: some 300 steps, a quarter of whose crops are decoys."""


@dataclass(frozen=True)
class Workshop:
    """Where the data, the run and the bundle lie."""

    data: Path
    run: Path
    bundle: Path

    @property
    def places(self) -> list[str]:
        return ["--data", str(self.data), "--run", str(self.run)]

    @property
    def threshold(self) -> float:
        return open_bundle(self.bundle).manifest.classifier.threshold

    def photographs(self) -> list[Path]:
        return [sample.path for sample in load_split(self.data).test if sample.source == CLASSIFICATION]


@pytest.fixture(scope="module", autouse=True)
def small_recipes(tmp_path_factory):
    """Inputs of 48 px and no door camera: drawn faces are learnt in some 300 steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        stage = recipes.Stage(96, 128, batch_size=8, epochs=1, learning_rate=8e-3)
        patch.setattr(recipes, "FinderRecipe", functools.partial(recipes.FinderRecipe, stages=(stage,)))
        small = {
            name: replace(recipe, size_px=SIDE_PX, batch_size=32, learning_rate=rate)
            for (name, recipe), rate in zip(recipes.CLASSIFIERS.items(), (0.02, 0.001), strict=True)
        }
        patch.setattr(recipes, "CLASSIFIERS", small)
        patch.setattr(crops, "door_camera", lambda image, rng: image)
        # One picture of a small split is two points of accuracy; the gate's own bound is tested on its own.
        patch.setattr(parity, "MOST_ACCURACY_LOST", 0.05)
        patch.setattr(parity, "MOST_PRECISION_LOST", 0.2)
        yield


@pytest.fixture(scope="module")
def workshop(small_recipes, tmp_path_factory) -> Workshop:
    """Both sets drawn, both networks and the baseline trained, the bundle made."""
    root = tmp_path_factory.mktemp("workshop")
    made = Workshop(root / "data", root / "run", root / "bundles" / "masknet-0.1.0.maskwatch")
    write_classification_set(made.data / "face-mask-dataset", 300, 1, faces_csv=True)
    write_detection_set(made.data / "face-mask-detection", 24, 2)
    assert main(["train", "finder", *made.places, "--epochs", "3", "--samples", "512"]) == 0
    assert main(["train", "classifier", *made.places, *LENGTH]) == 0
    baseline = ["--architecture", "baseline_cnn", "--epochs", "2", "--samples", "320"]
    assert main(["train", "classifier", *made.places, *baseline]) == 0
    assert main(["convert", *made.places, "--out", str(made.bundle.parent)]) == 0
    return made


def test_training_leaves_networks_logs_and_identities(workshop):
    stages_of = (
        ("finder", "stage1/"),
        ("finder", "int8/"),
        ("masknet", ""),
        ("masknet", "int8/"),
        ("baseline_cnn", ""),
    )
    for name, stages in stages_of:
        folder = workshop.run / name
        assert (folder / "network.keras").is_file()
        assert (folder / f"{stages}weights.weights.h5").is_file()
        identity = json.loads((folder / "run.json").read_text())
        assert identity["seed"] == recipes.DEFAULT_SEED
        assert len(identity["data"]["train"]) == 64
        with (folder / f"{stages}log.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [int(row["epoch"]) for row in rows] == list(range(len(rows)))
        if name != "baseline_cnn" and stages != "int8/":  # which get too few steps to tell
            assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
        assert (folder / "float.keras").is_file() is (name != "baseline_cnn")
    identity = json.loads((workshop.run / "masknet" / "run.json").read_text())
    assert (identity["recipe"]["epochs"], identity["recipe"]["int8_epochs"]) == (4, 4)
    assert identity["data"]["finder"] == load_network(workshop.run / "finder").weights_sha256


def test_the_classifier_learns_from_decoys_of_the_training_photographs(workshop):
    rows = json.loads((workshop.run / "masknet" / "decoys.json").read_text())["boxes"]
    trained = {sample.name: sample for sample in load_split(workshop.data).train}
    assert len(rows) > 0
    for name, *edges in rows:
        assert all(Box(*edges).iou(face.box) < MOST_OVERLAP for face in trained[name].boxes)
    with (workshop.run / "masknet" / "log.csv").open(newline="") as stream:
        *_, last = csv.DictReader(stream)
    assert 0.5 < float(last["face_accuracy"]) <= 1
    assert not (workshop.run / "baseline_cnn" / "decoys.json").exists()


def test_the_classifier_learnt_the_drawn_masks(workshop):
    """On test pictures, cut at the annotated faces, through the int8 network of the bundle."""
    classifier = load_pipeline(open_bundle(workshop.bundle)).classifier
    right = []
    for sample in load_split(workshop.data).test:
        looks = classifier.faces(read_image(sample.path), [face.box for face in sample.boxes])
        said = [classifier.label(look.mask) is Label.WITH_MASK for look in looks]
        right += [answer == bool(face.label) for answer, face in zip(said, sample.boxes, strict=True)]
    assert len(right) > 40
    assert np.mean(right) > 0.75


def test_the_bundle_is_whole_and_small(workshop, capsys):
    assert main(["bundle", "verify", str(workshop.bundle)]) == 0
    answer = capsys.readouterr().out
    assert answer.count("answered bit for bit") == 6
    assert workshop.bundle.stat().st_size < 1_000_000
    manifest = open_bundle(workshop.bundle).manifest
    assert manifest.classifier.size_px == SIDE_PX
    assert (manifest.finder.height_px, manifest.finder.width_px) == (96, 128)
    assert set(manifest.members) == {"finder.tflite", "classifier.tflite", "MODEL_CARD.md"}
    assert set(manifest.reference_histograms) == {"mask", "face_score", "brightness"}
    assert manifest.report["classification"]["pictures"] == len(workshop.photographs())
    accuracy = manifest.training["parity"]["accuracy"]
    assert all(accuracy[form] > 0.5 for form in ("float", "as_trained", "int8"))
    assert manifest.finder.temperature != 1 != manifest.classifier.temperature, "fitted on validation"


def contents(bundle: Path) -> dict[str, object]:
    """Every member's bytes, and the manifest without the time it was made at."""
    with zipfile.ZipFile(bundle) as archive:
        found: dict[str, object] = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(found["manifest.json"])
    del manifest["made_at"]
    del manifest["training"]["code"]  # a commit may come between
    return found | {"manifest.json": manifest}


def test_converting_again_gives_the_same_bundle_but_for_its_time(workshop, tmp_path, capsys):
    assert main(["convert", *workshop.places, "--out", str(tmp_path)]) == 0
    again = tmp_path / workshop.bundle.name
    assert capsys.readouterr().out == f"{again}\n"
    assert contents(again) == contents(workshop.bundle)


def copy_of_run(workshop, folder: Path) -> Path:
    """The run folder's networks, to be changed."""
    for name in ("finder", "masknet"):
        left_out = shutil.ignore_patterns("tensorboard", "checkpoint")
        shutil.copytree(workshop.run / name, folder / name, ignore=left_out)
    return folder


def test_float_is_measured_at_a_temperature_of_its_own(workshop, tmp_path):
    """One that is four times as sure of all it says is the same network, for a temperature of four times as much."""
    run = copy_of_run(workshop, tmp_path / "run")
    surer = load_network(run / "masknet", as_float=True).network
    logits = surer.get_layer("logits")
    logits.set_weights([weights * [4, 1] for weights in logits.get_weights()])
    surer.save(run / "masknet" / "float.keras")
    assert main(["convert", "--data", str(workshop.data), "--run", str(run), "--out", str(tmp_path)]) == 0
    bundles = workshop.bundle, tmp_path / workshop.bundle.name
    expected, found = (open_bundle(bundle).manifest.training["parity"] for bundle in bundles)
    for key in ("accuracy", "ece_pictures", "ece_faces"):
        assert found[key]["float"] == pytest.approx(expected[key]["float"], abs=0.005)


def reversed_masknet(network: keras.Model) -> keras.Model:
    """One that says the opposite."""
    changed = keras.models.clone_model(network)
    changed.set_weights(network.get_weights())
    logits = changed.get_layer("logits")
    logits.set_weights([-weights for weights in logits.get_weights()])
    return changed


def refusal(workshop, run: Path, out: Path, capsys) -> str:
    """The line that refuses a run, without a bundle."""
    assert main(["convert", "--data", str(workshop.data), "--run", str(run), "--out", str(out)]) == 1
    answer = capsys.readouterr()
    assert answer.out == ""
    assert not out.exists()
    line = answer.err.splitlines()[-1]
    assert "int8 is refused: accuracy of pictures " in line
    return line


def test_int8_that_strays_from_what_was_trained_gives_no_bundle(workshop, tmp_path, monkeypatch, capsys):
    """The gate, through the verb: the file says the opposite of the network."""
    quantise = convert.quantise

    def reversed_if_classifier(network: keras.Model):
        if network.name != "masknet":
            return open_bundle(workshop.bundle).member("finder.tflite")
        return quantise(reversed_masknet(network))

    monkeypatch.setattr(convert, "quantise", reversed_if_classifier)
    assert "points apart" in refusal(workshop, workshop.run, tmp_path / "out", capsys)


def test_an_int8_form_that_lost_what_float_knew_gives_no_bundle(workshop, tmp_path, capsys):
    """The file is what was trained, which says the opposite of the float network that it began as."""
    run = copy_of_run(workshop, tmp_path / "run")
    reversed_masknet(load_network(run / "masknet").network).save(run / "masknet" / "network.keras")
    line = refusal(workshop, run, tmp_path / "out", capsys)
    assert "in float and" in line
    assert "points lost" in line
    assert "apart" not in line


def test_the_baseline_converts_too_without_a_finder(workshop, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parity, "MOST_ACCURACY_LOST", 1.0)  # hardly trained: pictures sit at the threshold
    assert main(["convert", *workshop.places, "--architecture", "baseline_cnn", "--out", str(tmp_path)]) == 0
    bundle = tmp_path / "baseline-cnn-0.1.0.maskwatch"
    manifest = open_bundle(bundle).manifest
    assert manifest.finder is None
    assert manifest.classifier.temperature == 1, "its output is no logit"
    accuracy = manifest.training["parity"]["accuracy"]
    assert accuracy["float"] is None, "it never took another form"
    assert accuracy["as_trained"] is not None
    photograph = str(workshop.photographs()[0])
    capsys.readouterr()
    assert main(["classify", "--json", "--bundle", str(bundle), photograph]) == 0
    assert json.loads(capsys.readouterr().out)["faces"] == []
    assert main(["detect", "--bundle", str(bundle), photograph]) == 3


def check_record(record: dict[str, object], path: Path, labels: set[str], threshold: float) -> None:
    """The command line's contract, to the letter; faces are labelled at the bundle's own threshold."""
    image = read_image(path)
    assert list(record) == ["path", "width", "height", "label", "score", "faces"]
    assert (record["path"], record["width"], record["height"]) == (str(path), image.shape[1], image.shape[0])
    assert record["label"] in labels
    assert 0 <= record["score"] <= 1
    for face in record["faces"]:
        assert list(face) == ["box", "score", "label", "mask"]
        xmin, ymin, xmax, ymax = face["box"]
        assert 0 <= xmin <= xmax <= image.shape[1]
        assert 0 <= ymin <= ymax <= image.shape[0]
        if abs(face["mask"] - threshold) > 1e-4:  # as printed, it is rounded
            assert face["label"] == ("with_mask" if face["mask"] > threshold else "without_mask")


def test_classify_answers_every_picture(workshop, capsys):
    photographs = workshop.photographs()
    assert main(["classify", "--json", "--bundle", str(workshop.bundle), *map(str, photographs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(photographs)
    for line, path in zip(lines, photographs, strict=True):
        check_record(json.loads(line), path, {"with_mask", "without_mask"}, workshop.threshold)


def test_detect_finds_faces_in_a_folder(workshop, tmp_path, capsys):
    scenes = workshop.data / "face-mask-detection" / "images"
    words = ["detect", "--json", "--min-score", "0.02", "--save", str(tmp_path), "--bundle", str(workshop.bundle)]
    assert main([*words, str(scenes)]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(records) == len(list(tmp_path.iterdir())) == 24
    for record in records:
        check_record(record, Path(record["path"]), {"with_mask", "without_mask", "no_face"}, workshop.threshold)
    assert sum(len(record["faces"]) for record in records) > 0


def test_evaluate_reports_int8_and_float_side_by_side(workshop, tmp_path, capsys):
    words = ["--bundle", str(workshop.bundle), "--keras", str(workshop.run), "--out", str(tmp_path / "report")]
    assert main(["evaluate", "--data", str(workshop.data), *words]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert set(report["pipelines"]) == {"masknet 0.1.0 int8", "run float"}
    int8 = report["pipelines"]["masknet 0.1.0 int8"]
    assert int8["classification"] == open_bundle(workshop.bundle).manifest.report["classification"]
    for name in ("report.txt", "report.png", "mistakes.png"):
        assert (tmp_path / "report" / name).stat().st_size > 0
    assert "masknet 0.1.0 int8" in capsys.readouterr().out


def test_data_boxes_uses_the_new_finder(workshop, tmp_path, capsys):
    write_classification_set(tmp_path / "data" / "bare", 6, 5)
    assert main(["data", "boxes", str(tmp_path / "data"), "--bundle", str(workshop.bundle)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'data' / 'bare' / 'faces.csv'}\n"
    assert len(read_data(tmp_path / "data")) == 6


def test_training_again_trains_nothing(workshop, capsys):
    folder = workshop.run / "masknet"
    before = {name: (folder / name).read_bytes() for name in ("log.csv", "int8/log.csv", "decoys.json")}
    weights = [load_network(folder, as_float=each).weights_sha256 for each in (False, True)]
    assert main(["train", "classifier", *workshop.places, *LENGTH]) == 0
    assert capsys.readouterr().out == ""
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert [load_network(folder, as_float=each).weights_sha256 for each in (False, True)] == weights


@pytest.mark.parametrize("change", [["--epochs", "5"], ["--seed", "7"]])
def test_training_otherwise_in_a_finished_run_is_refused(workshop, change, capsys):
    """Nothing was trained, and yet run.json was written over with a recipe that the network never saw."""
    before = (workshop.run / "masknet" / "run.json").read_bytes()
    assert main(["train", "classifier", *workshop.places, *LENGTH, *change]) == 3
    assert "--run" in capsys.readouterr().err.splitlines()[-1]
    assert (workshop.run / "masknet" / "run.json").read_bytes() == before
