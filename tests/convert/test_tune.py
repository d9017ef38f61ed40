"""Comparing sizes: the candidates, what is measured and how, and the verb from data to table and plot."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import cv2
import keras
import pytest
from drawn import write_classification_set, write_detection_set
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.bench import Cost, Spread
from maskwatch.classifier import Look
from maskwatch.cli import main
from maskwatch.finder import Detection
from maskwatch.types import Label
from maskwatch_convert import candidates, tune, tune_measure
from maskwatch_convert.candidates import classifier_candidates, finder_candidates, scaled, training_name
from maskwatch_convert.quantise import quantise
from maskwatch_convert.tune_report import COMPARED, TuneReport
from maskwatch_train import networks, recipes
from maskwatch_train.forms import FloatForm
from maskwatch_train.index import read_data
from maskwatch_train.report import ReportContext

# The candidates


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (
            finder_candidates(recipes.FinderRecipe(stages=(recipes.Stage(320, 416, 16, 1, 1e-3),))),
            ["×0.5 416×320", "×0.75 416×320", "×1 256×192", "×1 320×256", "×1 416×320", "×1 512×384", "×1.25 416×320"],
        ),
        (
            classifier_candidates(recipes.ClassifierRecipe(size_px=104)),
            ["×0.5 104×104", "×0.75 104×104", "×1 80×80", "×1 96×96", "×1 104×104", "×1 112×112", "×1 128×128",
             "×1.25 104×104"],
        ),
    ],
    ids=["finder", "classifier of a size not in the list"],
)  # fmt: skip
def test_widths_at_the_shipped_size_and_sizes_at_the_shipped_width(found, names):
    assert [candidate.name for candidate in found] == names
    (shipped,) = [candidate for candidate in found if candidate.shipped]
    assert shipped.series == ("widths", "sizes")
    assert all(len(candidate.series) == 1 for candidate in found if candidate is not shipped)
    assert sum("widths" in candidate.series for candidate in found) == len(candidates.WIDTH_RATIOS)


def test_a_finder_is_trained_once_a_width_and_a_classifier_every_time():
    schedule = candidates.TuneSchedule(epochs=3, samples_per_epoch=40)
    finders = finder_candidates(recipes.FinderRecipe(), schedule)
    assert len({each.recipe for each in finders}) == len(candidates.WIDTH_RATIOS)
    assert {(each.recipe.stages[0].epochs, each.recipe.scenes_per_epoch) for each in finders} == {(3, 40)}
    for each in finders:  # all alike, and the last at the size that ships
        first, last = each.recipe.stages
        shipped = recipes.FinderRecipe().stages[-1]
        assert (last.epochs, last.height_px, last.width_px) == (1, shipped.height_px, shipped.width_px)
        assert first.height_px < last.height_px
    classifiers = classifier_candidates(recipes.ClassifierRecipe(), schedule)
    assert len({each.recipe for each in classifiers}) == len(classifiers)
    assert {(each.recipe.epochs, each.recipe.crops_per_epoch) for each in classifiers} == {(3, 40)}
    assert {each.recipe.int8_epochs for each in (*finders, *classifiers)} == {0}, "which none of them is trained for"


@given(st.lists(st.integers(1, 400), min_size=1).map(tuple), st.floats(0.05, 4))
def test_scaled_widths_are_the_nearest_multiples_of_eight(widths, ratio):
    assert scaled(widths, 1) == widths
    if ratio != 1:
        for width, found in zip(widths, scaled(widths, ratio), strict=True):
            assert found % 8 == 0
            assert found == 8 or abs(found - width * ratio) <= 4


def test_another_recipe_seed_or_data_set_has_another_folder():
    recipe = recipes.ClassifierRecipe()
    others = [
        training_name(replace(recipe, epochs=recipe.epochs + 1), 1, "data"),
        training_name(recipe, 2, "data"),
        training_name(recipe, 1, "others"),
    ]
    assert len({training_name(recipe, 1, "data"), *others}) == 4
    assert training_name(recipe, 1, "data") == training_name(replace(recipe), 1, "data")


# What is measured


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_classification_set(root / "portraits", 48, 1, faces_csv=True)
    write_detection_set(root / "scenes", 16, 4)  # four faces lower than 32 px among them
    return root


def finds(samples, wanted):
    """A finder that knows the faces whose height pleases; frames come in the order of the samples."""
    turns = iter(samples)

    def find(frame, min_score):
        sample = next(turns)
        assert (frame.width_px, frame.height_px) == (sample.width_px, sample.height_px)
        assert min_score <= 0.01
        return [Detection(face.box, 0.9) for face in sample.boxes if wanted(face.box.height)]

    return SimpleNamespace(find=find)


def test_finders_are_measured_on_faces_of_the_height_that_counts(data):
    scenes = tune_measure.scenes_to_measure(read_data(data))
    assert len(scenes) == 16
    wanted = (lambda _: True, lambda height_px: height_px >= 32, lambda height_px: height_px < 32)
    every, tall, low = tune_measure.finder_figures([finds(scenes, each) for each in wanted], scenes, iter)
    assert every == {"ap50_from_32_px": 1, "ap50_all": 1}
    assert tall["ap50_from_32_px"] == 1
    assert 0 < tall["ap50_all"] < 1
    assert low["ap50_from_32_px"] == 0


def test_classifiers_are_measured_on_the_given_faces(data):
    samples = read_data(data)
    faces = tune_measure.faces_to_measure(samples, recipes.ClassifierRecipe())
    labels = [label for picture in faces for label in picture.labels]
    assert len(labels) == sum(len(sample.boxes) for sample in samples)

    def says(label):
        return SimpleNamespace(faces=lambda _image, boxes: [Look(0.5)] * len(boxes), label=lambda _mask: label)

    masked, bare = tune_measure.classifier_figures([says(Label.WITH_MASK), says(Label.WITHOUT_MASK)], faces, iter)
    assert masked["accuracy"] == pytest.approx(sum(labels) / len(labels))
    assert masked["accuracy"] + bare["accuracy"] == pytest.approx(1)
    for figures in (masked, bare):
        assert figures["accuracy_low"] < figures["accuracy"] < figures["accuracy_high"]


def test_models_are_timed_in_turns():
    now_s, order = count(), []

    class Model:
        input_shape = (1, 8, 8, 3)

        def __init__(self, name, taken_s):
            self.name, self.taken_s = name, taken_s

        def set_picture(self, picture):
            assert picture.shape == (8, 8, 3)

        def invoke(self):
            order.append(self.name)
            for _ in range(self.taken_s - 1):
                next(now_s)

    quick, slow = tune_measure.time_in_turns([Model("a", 2), Model("b", 5)], rounds=3, clock=lambda: next(now_s))
    assert (quick.median_ms, slow.median_ms) == (2000, 5000)
    assert order == ["a", "b"] * (len(order) // 2)
    assert len(order) > 6


# The report


SHIPPED = recipes.FinderRecipe(stages=(recipes.Stage(320, 416, 16, 1, 1e-3),))


def comparison(accuracies, p90_ms=1.1, last_commit="a1"):
    """The finder's seven candidates, each a millisecond slower than the one before."""
    found = finder_candidates(SHIPPED)
    measured = [
        tune.Measured(
            candidate,
            last_commit if place == len(found) - 1 else "a1",
            {"ap50_from_32_px": accuracy, "ap50_all": accuracy / 2},
            Spread(1.0 + place, 1.0 + place, p90_ms + place),
            Cost(1000, 2000),
        )
        for place, (candidate, accuracy) in enumerate(zip(found, accuracies, strict=True))
    ]
    context = ReportContext(data="d", split="validation", seed=1, code="c")
    return TuneReport(tune.Comparison("finder", tuple(measured), (10, 20)), context)


def test_the_report_says_what_to_set_to_ship_the_knee():
    text = comparison([0.5, 0.9, 0.9, 0.91, 0.91, 0.91, 0.92]).text()
    recipe = finder_candidates(SHIPPED)[1].recipe
    assert f"The knee is ×0.75 416×320: {COMPARED['finder']} 0.9000 in 2.000 ms." in text
    assert f"set in recipes.py widths {recipe.widths}, neck {recipe.neck}, input 416×320." in text
    (row,) = [line for line in text.splitlines() if line.endswith("knee")]
    assert row.startswith("×0.75")


def test_a_knee_that_ships_needs_no_change():
    text = comparison([0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.91]).text()
    assert text.rstrip().endswith("It is what the recipe ships.")
    assert "shipped, knee" in text


@pytest.mark.parametrize(("p90_ms", "told"), [(1.4, False), (1.6, True)])
def test_times_of_a_busy_machine_are_not_to_be_trusted(p90_ms, told):
    """Beside a training, a run of 2.5 ms took 6.6 in the median, while shorter ones kept their time."""
    assert ("not to be trusted" in comparison([0.5] * 7, p90_ms).text()) == told


@pytest.mark.parametrize(("commit", "told"), [("a1", False), ("b2", True)])
def test_candidates_of_different_code_are_told(commit, told):
    """A tuning that went on after a commit compared old code with new."""
    assert ("different versions of the code: a1, b2" in comparison([0.5] * 7, last_commit=commit).text()) == told


# The verb


@pytest.fixture(scope="module", autouse=True)
def tiny_networks(tmp_path_factory):
    """One convolution, a handful of sizes: quick to trace and to convert."""
    layers = keras.layers

    def stem(picture, filters, size_px, form):
        x = form.normalised(form.patches(picture, filters, size_px, "stem_conv"), "stem_norm")
        return form.rounded(layers.ReLU(name="stem_relu")(x), "stem_relu")

    def finder(height_px=None, width_px=None, widths=(), neck=0, form=None):
        form = form or FloatForm()
        picture = keras.Input((height_px, width_px, 3))
        x = stem(picture, widths[0] + neck, networks.FINDER_STRIDES[0], form)
        scores, boxes = [], []
        for stride in networks.FINDER_STRIDES:
            score = form.rounded(form.head(x, 1, 0.0, f"score{stride}"), "scores")
            box = form.rounded(form.head(x, 4, 0.0, f"box{stride}"), "boxes")
            scores.append(layers.Reshape((-1, 1))(score))
            boxes.append(layers.Reshape((-1, 4))(box))
            x = layers.MaxPooling2D()(x)
        join = {name: layers.Concatenate(axis=1, name=name) for name in ("scores", "boxes")}
        return keras.Model(picture, {"scores": join["scores"](scores), "boxes": join["boxes"](boxes)})

    def masknet(size_px, widths, form=None):
        form = form or FloatForm()
        picture = keras.Input((size_px, size_px, 3))
        x = layers.GlobalAveragePooling2D(name="pool")(stem(picture, widths[0], 4, form))
        return keras.Model(picture, form.dense(form.rounded(x, "pool"), 2, "logits"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(networks, "finder", finder)
        patch.setattr(networks, "masknet", masknet)
        yield


@pytest.fixture
def few_sizes(monkeypatch):
    """Two widths and two sizes of the finder, two widths of the classifier; each converted once in a test."""
    made = {}

    def quantise_once(network):
        key = network.input_shape, network.count_params()
        made[key] = made.get(key) or quantise(network)
        return made[key]

    monkeypatch.setattr(tune, "quantise", quantise_once)
    finder_recipe = recipes.FinderRecipe(stages=(recipes.Stage(96, 128, 4, 1, 1e-3),), widths=(16, 16), neck=8)
    monkeypatch.setattr(recipes, "FinderRecipe", lambda: finder_recipe)
    small = recipes.ClassifierRecipe(size_px=32, widths=(16,), batch_size=8)
    monkeypatch.setattr(recipes, "CLASSIFIERS", {"masknet": small})
    monkeypatch.setattr(candidates, "WIDTH_RATIOS", (0.5, 1.0))
    monkeypatch.setattr(candidates, "FINDER_SIZES_PX", ((64, 96), (96, 128)))
    monkeypatch.setattr(candidates, "FINDER_STAGE", recipes.Stage(64, 96, 4, 1, 1e-3))
    monkeypatch.setattr(candidates, "CLASSIFIER_SIZES_PX", (32,))


def refuse(*_arguments, **_named):
    raise AssertionError("trained again")


def words(network, data, folder):
    return ["tune", network, "--data", str(data), "--run", str(folder / "run"), "--epochs", "1", "--samples", "8"]


@pytest.mark.usefixtures("few_sizes")
@pytest.mark.parametrize(
    ("network", "fit", "names", "figures"),
    [
        ("finder", "fit_finder", ["×1", "×1"], {"ap50_from_32_px", "ap50_all"}),
        ("classifier", "fit_classifier", ["×0.5", "×1"], {"accuracy", "accuracy_low", "accuracy_high"}),
    ],
)
def test_a_table_a_plot_and_json_and_nothing_is_trained_twice(
    data, tmp_path, monkeypatch, capsys, network, fit, names, figures
):
    if network == "finder":  # both sizes of one training
        monkeypatch.setattr(candidates, "WIDTH_RATIOS", (1.0,))
    out = tmp_path / "out"
    assert main([*words(network, data, tmp_path), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text == (out / f"tune-{network}.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if line.startswith("×")]
    assert [row[0] for row in rows] == names
    assert sum("shipped" in " ".join(row) for row in rows) == 1
    assert "rounded without fine-tuning" in text.splitlines()[1]
    assert re.search(rf"The knee is ×\S+ \S+: {COMPARED[network]} 0\.\d+ in ", text)
    assert cv2.imread(str(out / f"tune-{network}.png")).shape[1] > 1000

    monkeypatch.setattr(tune, fit, refuse)
    assert main([*words(network, data, tmp_path), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [f"×{record['width_ratio']:g}" for record in records] == [row[0] for row in rows]
    assert [f"{record['width_px']}×{record['height_px']}" for record in records] == [row[1] for row in rows]
    assert sum(record["knee"] for record in records) == 1
    for record in records:
        assert figures <= record.keys()
        assert all(0 <= record[figure] <= 1 for figure in figures)
        assert 0 < record["p10_ms"] <= record["median_ms"] <= record["p90_ms"]
        assert record["shipped"] == (record["series"] == ["widths", "sizes"])
    *cheaper, shipped = records
    assert shipped["shipped"]
    assert all(record["multiply_accumulates"] < shipped["multiply_accumulates"] for record in cheaper)
    if network == "classifier":
        assert records[0]["file_bytes"] < shipped["file_bytes"]
        assert records[0]["widths"] < shipped["widths"]
    kept = json.loads((out / f"tune-{network}.json").read_text())
    assert kept["shipped"] == f"×1 {shipped['width_px']}×{shipped['height_px']}"
    assert [before.keys() for before in kept["candidates"]] == [record.keys() for record in records]


@pytest.mark.usefixtures("few_sizes")
def test_what_was_trained_before_an_interruption_stays(data, tmp_path, monkeypatch, capsys):
    """Narrow comes first, then one training that serves both sizes."""
    began = []

    def untrained(_train, _validation, folder, recipe, *, seed, verbose):
        began.append(recipe.widths)
        if len(began) == 2:
            raise KeyboardInterrupt
        folder.mkdir(parents=True)
        return networks.finder(widths=recipe.widths, neck=recipe.neck)

    monkeypatch.setattr(tune, "fit_finder", untrained)
    monkeypatch.setattr(tune, "quantise", lambda *_: b"")
    assert main(words("finder", data, tmp_path)) == 130
    monkeypatch.setattr(tune_measure, "finder_figures", refuse)  # only which are trained is looked at here
    main(words("finder", data, tmp_path))
    assert began == [(8, 8), (16, 16), (16, 16)]
    assert "training 2 of 2" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--epochs", "--samples"])
def test_no_epochs_and_no_samples_are_refused(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["tune", "finder", option, "0"])
    assert stopped.value.code == 2
    assert option in capsys.readouterr().err


@pytest.fixture
def one_fault(monkeypatch, capsys):
    """Runs a command that must fail with one line and exit 3 before anything is trained; returns the line."""

    def run(arguments):
        monkeypatch.setattr(tune, "fit_finder", refuse)
        monkeypatch.setattr(tune, "fit_classifier", refuse)
        assert main(arguments) == 3
        printed = capsys.readouterr()
        assert printed.out == ""
        (line,) = printed.err.splitlines()
        return line

    return run


def test_no_data_is_one_line(tmp_path, one_fault):
    line = one_fault(words("finder", tmp_path / "nowhere", tmp_path))
    assert "nowhere" in line
    assert "data fetch" in line


@pytest.mark.parametrize(("network", "remedy"), [("finder", "data fetch"), ("classifier", "data boxes")])
def test_nothing_to_measure_on_is_one_line(tmp_path, one_fault, network, remedy):
    """Portraits without boxes: no scene, no face."""
    write_classification_set(tmp_path / "data", 24, 3)
    assert remedy in one_fault(words(network, tmp_path / "data", tmp_path))


def test_a_folder_that_cannot_be_written_is_told_before_training(data, tmp_path, one_fault):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    assert str(taken) in one_fault([*words("finder", data, tmp_path), "--out", str(taken)])
