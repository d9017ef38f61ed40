"""The second look: weights that data were drawn with are found, and little is lost by looking less often."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn import draw_background
from hypothesis import example, given
from hypothesis import strategies as st
from maskwatch.classifier import Look, MaskClassifier
from maskwatch.errors import FindingError
from maskwatch.finder import FaceFinder
from maskwatch.images import read_image, write_image
from maskwatch.manifest import ClassifierSpec, FinderSpec, SecondLookSpec
from maskwatch.pipeline import Pipeline
from maskwatch.types import Box
from maskwatch_convert.second_look import MOST_LOST, Evidence, Weights, fit_weights, gather, worth_a_look
from maskwatch_train.index import CLASSIFICATION, DETECTION, LabelledBox, Sample
from stub_networks import StubFinderNetwork

FINDER = FinderSpec("finder.tflite", 64, 96, (8,), 1.0, 0.4, 0.5)
CLASSIFIER = ClassifierSpec(
    "classifier.tflite", "masknet", 16, 0.0, ("without_mask", "with_mask"), "mask_and_face_logits", 1.0, 0.5, True,
    SecondLookSpec(0.0, 0.0, 0.4),
)  # fmt: skip
AS_IT_IS = Weights(temperature=1.0, weight=0.0, bias=0.0)


def evidence(found, looked, truth, height_px=100.0) -> Evidence:
    found, looked = np.array(found, np.float64), np.array(looked, np.float64)
    return Evidence(found, looked, np.array(truth, np.int64), np.broadcast_to(np.float64(height_px), found.shape))


def sigmoid(logit):
    return 1 / (1 + np.exp(-np.asarray(logit, np.float64)))


def drawn_with(temperature: float, weight: float, bias: float, count: int = 40_000) -> Evidence:
    """Two looks whose truths were drawn with the probabilities that these weights make of them."""
    rng = np.random.default_rng(3)
    found, looked = rng.normal(-1, 2, count), rng.normal(0.5, 3, count)
    return evidence(found, looked, rng.random(count) < sigmoid(found / temperature + weight * looked + bias))


# Weights


@pytest.mark.parametrize(
    ("temperature", "weight", "bias"), [(1.0, 0.5, 0.0), (0.8, 1.2, -1.5), (2.5, 0.3, 0.7), (1.5, 0.0, -1.0)]
)
def test_the_weights_of_the_data_are_found(temperature, weight, bias):
    found = fit_weights(drawn_with(temperature, weight, bias))
    assert found.temperature == pytest.approx(temperature, rel=0.06)
    assert found.weight == pytest.approx(weight, abs=0.05)
    assert found.bias == pytest.approx(bias, abs=0.07)


def test_no_weights_near_by_are_likelier():
    said = drawn_with(1.3, 0.6, -0.5, 500)
    true, false = said.truth.sum(), (1 - said.truth).sum()
    target = np.where(said.truth == 1, (true + 1) / (true + 2), 1 / (false + 2))

    def loss(weights: Weights) -> float:
        score = weights.scores(said)
        return float(-np.mean(target * np.log(score) + (1 - target) * np.log(1 - score)))

    best = fit_weights(said)
    assert all(
        loss(best) < loss(replace(best, **{name: getattr(best, name) + step}))
        for name in ("temperature", "weight", "bias")
        for step in (-0.02, 0.02)
    )


def test_a_few_finds_that_all_came_true_make_nothing_certain():
    said = evidence([2] * 5 + [-2] * 5, [0] * 10, [1] * 5 + [0] * 5)
    assert fit_weights(said).scores(said).max() == pytest.approx(6 / 7, abs=1e-3)


@pytest.mark.parametrize("truth", [[], [0, 0, 0], [1, 1, 1]], ids=["nothing", "no face", "faces only"])
def test_without_both_truths_the_finders_word_stands(truth):
    assert fit_weights(evidence([-1.0, 0.5, 2.0][: len(truth)], [1.0, 3.0, -2.0][: len(truth)], truth)) == AS_IT_IS


def test_a_second_look_that_counts_against_faces_is_left_out():
    """And the finder's word is weighed as if there were none: beside this one it would weigh five times as much."""
    said = drawn_with(1.4, 0.0, -0.6)
    noise = np.random.default_rng(8).normal(0, 1, len(said.found))
    found = fit_weights(replace(said, looked=said.found - 3 * said.truth + noise))
    assert found.weight == 0
    assert found.temperature == pytest.approx(1.4, rel=0.06)
    assert found.bias == pytest.approx(-0.6, abs=0.07)


def test_a_finder_that_is_surer_of_what_is_no_face_is_a_finding():
    said = drawn_with(1.0, 0.5, 0.0, 2000)
    with pytest.raises(FindingError, match="train it for longer"):
        fit_weights(replace(said, found=-said.found))


def test_a_finder_that_always_says_the_same_is_a_finding():
    said = drawn_with(1.0, 0.5, 0.0, 2000)
    with pytest.raises(FindingError, match="train it for longer"):
        fit_weights(replace(said, found=np.zeros(2000)))


def test_a_temperature_that_no_manifest_takes_is_a_finding():
    """The bundle would be refused by its own manifest, at the very end."""
    found, truth = [1] * 20_001 + [-1] * 20_000, [1] * 10_001 + [0] * 10_000 + [1] * 10_000 + [0] * 10_000
    with pytest.raises(FindingError, match="train it for longer"):
        fit_weights(evidence(found, np.zeros(len(found)), truth))


@given(st.floats(-4.5, 8), st.floats(-20, 20), st.floats(0.5, 5), st.floats(0, 3), st.floats(-5, 5))
@example(2.0, -3.0, 2.0, 0.5, 1.0)
def test_a_face_scores_at_the_door_as_it_was_fitted(found, looked, temperature, weight, bias):
    classifier = MaskClassifier(says_face, replace(CLASSIFIER, second_look=SecondLookSpec(weight, bias, 0.5)))
    (fitted,) = Weights(temperature, weight, bias).scores(evidence([found], [looked], [1]))
    served = classifier.face_score(float(sigmoid(found / temperature)), Look(0.5, looked))
    assert served == pytest.approx(fitted, abs=1e-9)


# Worth a look


def lost_at(lowest: float, said: Evidence, weights: Weights, threshold: float) -> float:
    """The share of faces ≥ 32 px that pass both looks together but, by the finder's word, get no second one."""
    passing = (said.truth == 1) & (said.height_px >= 32) & (weights.scores(said) >= threshold)
    return float((sigmoid(said.found / weights.temperature) < lowest)[passing].mean())


def test_little_is_lost_by_looking_less_often_and_no_higher_score_does():
    weights, threshold = Weights(1.6, 0.9, -0.4), 0.45
    said = drawn_with(1.6, 0.9, -0.4, 5000)
    lowest = worth_a_look(said, weights, threshold)
    assert 0 < lost_at(lowest, said, weights, threshold) <= MOST_LOST
    assert lost_at(lowest + 0.005, said, weights, threshold) > MOST_LOST


@given(
    st.lists(
        st.tuples(st.floats(-4.5, 9), st.floats(-9, 9), st.booleans(), st.floats(20, 60)), min_size=1, max_size=40
    ),
    st.floats(0.3, 4),
    st.floats(0, 2),
    st.floats(0.2, 0.8),
)
@example([(-4.5, 9.0, True, 40.0)], 0.35, 2.0, 0.5)
def test_never_is_more_lost_and_never_is_everything_looked_at(rows, temperature, weight, threshold):
    said, weights = evidence(*zip(*rows, strict=True)), Weights(temperature, weight, 0.0)
    lowest = worth_a_look(said, weights, threshold)
    passing = (said.truth == 1) & (said.height_px >= 32) & (weights.scores(said) >= threshold)
    if not passing.any():
        assert lowest == threshold
    else:
        assert 0 < lowest <= sigmoid(said.found[passing].max() / temperature)
        assert lost_at(lowest - 1e-9, said, weights, threshold) <= MOST_LOST


def test_only_faces_at_the_door_that_pass_decide_what_is_worth_a_look():
    weights = Weights(1.0, 1.0, 0.0)
    alone = evidence([-1.0], [5.0], [1], 32.0)
    lowest = worth_a_look(alone, weights, 0.5)
    assert lowest == pytest.approx(sigmoid(-1), abs=1e-5)
    for looked, truth, height_px in ((5.0, 1, 31.9), (5.0, 0, 40.0), (1.0, 1, 40.0)):  # low, no face, not passing
        more = evidence([-1.0, -3.0], [5.0, looked], [1, truth], [32.0, height_px])
        assert worth_a_look(more, weights, 0.5) == lowest
    weaker = evidence([-1.0, -3.0], [5.0, 5.0], [1, 1], [32.0, 40.0])
    assert worth_a_look(weaker, weights, 0.5) == pytest.approx(sigmoid(-3), abs=1e-5)


# What both said of scenes


def says_face(batch):
    """A mask logit that says nothing, and a face logit of the crop's mean over 100."""
    return (np.stack([np.zeros(len(batch)), batch.mean(axis=(1, 2, 3)) / 100], axis=1).astype(np.float32),)


# Their boxes are 4 to 36 × 12 to 44, 56 to 80 × 16 to 40, 32 to 56 × 0 to 24, and 76 to 92 × 52 to the lower edge.
LARGE, SURE, HIGH, LOW = (3, 2, 16.0, -1.5), (3, 8, 12.0, 2.0), (1, 5, 12.0, 1.0), (7, 10, 8.0, 3.0)
PIPELINE = Pipeline(
    FaceFinder(StubFinderNetwork(LARGE, SURE, HIGH, LOW), FINDER), MaskClassifier(says_face, CLASSIFIER)
)


def sample(path: Path, *boxes: Box, source: str = DETECTION, label: int | None = None) -> Sample:
    return Sample(path, source, label, tuple(LabelledBox(box, 1) for box in boxes), path.name, 96, 64)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    write_image(path, draw_background(64, 96, np.random.default_rng(4)))
    return path


def test_finds_are_matched_with_the_faces_of_a_scene(scene):
    """The large one is a face of 30 px, the sure one none, the low one too low to tell."""
    said = gather(PIPELINE, [sample(scene, Box(4, 12, 36, 42))])
    assert said.found == pytest.approx([2.0, 1.0, -1.5], abs=1e-5)  # the surest first
    assert said.truth.tolist() == [0, 0, 1]
    assert said.height_px == pytest.approx([24, 24, 30], abs=1e-3)
    assert (said.truth.dtype, said.found.dtype) == (np.int64, np.float64)


def test_each_find_has_its_own_second_look(scene):
    image = read_image(scene)
    said = gather(PIPELINE, [sample(scene)])
    means = [image[16:40, 56:80].mean(), image[:24, 32:56].mean(), image[12:44, 4:36].mean()]
    assert len(set(np.round(means))) == 3
    assert said.looked == pytest.approx(np.array(means) / 100, abs=0.03)


@pytest.mark.parametrize(("bottom", "truth"), [(19, [0, 0]), (20, [0, 1, 0])], ids=["19 px", "20 px"])
def test_what_is_matched_to_a_tiny_face_is_neither_right_nor_wrong(scene, bottom, truth):
    """Though what was found there is 24 px high."""
    assert gather(PIPELINE, [sample(scene, Box(32, 0, 56, bottom))]).truth.tolist() == truth


def test_a_tiny_face_is_matched_only_where_no_other_will_do(scene):
    """Though the find overlaps the tiny one more."""
    said = gather(PIPELINE, [sample(scene, Box(32, 0, 56, 19), Box(32, 0, 47, 24))])
    assert said.truth.tolist() == [0, 1, 0]


def test_a_face_counts_once(scene):
    """Of two finds that overlap it, the surer one has it."""
    both = Pipeline(
        FaceFinder(StubFinderNetwork((3, 2, 16.0, 2.0), (3, 3, 16.0, 1.0)), replace(FINDER, iou_threshold=0.9)),
        PIPELINE.classifier,
    )
    assert gather(both, [sample(scene, Box(4, 12, 36, 44))]).truth.tolist() == [1, 0]


def test_scenes_alone_are_looked_at(scene, tmp_path):
    """Faces of portraits have boxes that a finder drew."""
    portrait = sample(tmp_path / "not there.png", source=CLASSIFICATION, label=1)
    asked = []

    def progress(samples):
        asked.extend(samples)
        return samples

    scenes = [sample(scene), sample(scene, Box(4, 12, 36, 44))]
    said = gather(PIPELINE, [scenes[0], portrait, scenes[1]], progress)
    assert asked == scenes
    assert said.truth.tolist() == [0, 0, 0, 0, 0, 1]


def test_what_no_threshold_would_let_through_is_gathered_too(scene):
    """A find of 0.02, far below the finder's own threshold; one of 0.005 is no find."""
    faint = Pipeline(FaceFinder(StubFinderNetwork((3, 2, 16.0, -3.9), (3, 8, 12.0, -5.3)), FINDER), PIPELINE.classifier)
    assert gather(faint, [sample(scene)]).found == pytest.approx([-3.9], abs=1e-4)


@pytest.mark.parametrize("with_scene", [False, True])
def test_nothing_found_is_no_evidence(scene, with_scene):
    blind = Pipeline(FaceFinder(StubFinderNetwork(), FINDER), PIPELINE.classifier)
    said = gather(blind, [sample(scene, Box(4, 12, 36, 44))] if with_scene else [])
    assert [len(column) for column in (said.found, said.looked, said.truth, said.height_px)] == [0, 0, 0, 0]
    assert fit_weights(said) == AS_IT_IS
    assert worth_a_look(said, AS_IT_IS, 0.4) == 0.4


def test_without_a_finder_there_is_no_second_look(scene):
    with pytest.raises(ValueError, match="first one"):
        gather(Pipeline(None, PIPELINE.classifier), [sample(scene)])
