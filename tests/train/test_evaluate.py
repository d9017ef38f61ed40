"""Evaluation runs a pipeline over files and files its answers where they belong."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from maskwatch.errors import ImageError
from maskwatch.images import write_image
from maskwatch.types import Box, Face, Label
from maskwatch_train.evaluate import (
    MIN_SCORE,
    MOST_MISTAKES,
    WHOLE_PICTURE,
    MistakeKind,
    SceneFaces,
    evaluate_pipeline,
    histograms,
    lowest_score,
    summarise,
)
from maskwatch_train.index import LabelledBox, Sample

LEFT, RIGHT, LOW, BACKGROUND = Box(0, 0, 40, 40), Box(60, 0, 100, 40), Box(0, 60, 25, 85), Box(60, 60, 100, 100)


def label(mask):
    return Label.WITH_MASK if mask >= 0.5 else Label.WITHOUT_MASK


def face(box, score, mask):
    return Face(box, score, mask, label(mask))


@dataclass
class Answer:
    """What `Pipeline.classify` returns."""

    label: Label
    score: float
    mask: float
    faces: tuple[Face, ...]


def rows(claims):
    """What a Claims holds, one tuple a claim."""
    return list(zip(claims.probability.tolist(), claims.truth.tolist(), claims.height_px.tolist(), strict=True))


class StubPipeline:
    """Answers by a picture's grey level, and remembers how it was asked."""

    def __init__(self, answers, scenes=None, temperature=1.0):
        self.finder = None if scenes is None else SimpleNamespace(spec=SimpleNamespace(temperature=temperature))
        self.answers, self.scenes = answers, scenes or {}
        self.min_scores = []

    def classify(self, image):
        mask, faces = self.answers[int(image[0, 0, 0])]
        return Answer(label(mask), max(mask, 1 - mask), mask, faces)

    def faces(self, frame, min_score=None):
        self.min_scores.append(min_score)
        return self.scenes[int(frame.image[0, 0, 0])]


@pytest.fixture
def sample(tmp_path):
    def make(grey, truth=None, boxes=(), side_px=100):
        path = tmp_path / f"{grey}.png"
        write_image(path, np.full((side_px, side_px, 3), grey, np.uint8))
        source = "detection" if truth is None else "classification"
        known = tuple(LabelledBox(box, box_label) for box, box_label in boxes)
        return Sample(path, source, truth, known, f"set/{grey}.png", side_px, side_px)

    return make


def test_pictures_and_scenes_are_each_measured_their_own_way(sample):
    pipeline = StubPipeline(
        answers={10: (0.9, (face(LEFT, 0.8, 0.9),)), 20: (0.3, ()), 30: (0.7, (face(RIGHT, 0.6, 0.7),))},
        scenes={40: (face(LEFT, 0.9, 0.8), face(RIGHT, 0.7, 0.6))},
    )
    samples = [
        sample(10, 1, side_px=64),
        sample(20, 0),
        sample(30, 0),
        sample(40, boxes=[(LEFT, 1), (RIGHT, 0)]),
    ]
    found = evaluate_pipeline(pipeline, samples)
    assert found.classification.confusion == ((1, 1), (0, 1))
    assert {name: group.pictures for name, group in found.groups.items()} == {
        "under 96 px": 1,
        "96-159 px": 2,
        WHOLE_PICTURE: 1,
    }
    assert found.groups[WHOLE_PICTURE].accuracy == 1
    assert found.scenes == 1
    assert found.detection["face"][0].value == 1
    assert found.detection["masked"][0].value == 1
    assert found.detection["unmasked"][0].value == 0
    assert pipeline.min_scores == [pytest.approx(MIN_SCORE, rel=1e-12)]


def test_what_was_claimed_is_kept_beside_the_truth(sample):
    pipeline = StubPipeline(
        answers={10: (0.9, (face(LEFT, 0.8, 0.9),)), 20: (0.3, ())},
        scenes={40: (face(RIGHT, 0.7, 0.6), face(BACKGROUND, 0.2, 0.5))},
    )
    samples = [sample(10, 1, side_px=64), sample(20, 0), sample(40, boxes=[(LEFT, 1), (RIGHT, 0)])]
    found = evaluate_pipeline(pipeline, samples)
    assert rows(found.picture_masks) == [(0.9, 1, 64), (0.3, 0, 100)]
    assert rows(found.face_masks) == [(0.6, 0, 40)]
    assert rows(found.face_scores) == [(0.7, 1, 40), (0.2, 0, 40)]


@pytest.mark.parametrize("temperature", [0.1, 0.3, 1.0, 4.0, 1000.0])
def test_the_same_detections_are_ranked_at_any_temperature(sample, temperature):
    """At 0.3 the curve's tail was cut off: what scored 0.2 at temperature 1 scores under 0.01 there."""
    pipeline = StubPipeline({}, {40: ()}, temperature)
    evaluate_pipeline(pipeline, [sample(40, boxes=[(LEFT, 1)])])
    (asked,) = pipeline.min_scores
    logit = math.log(asked / (1 - asked)) * temperature
    assert 1 / (1 + math.exp(-logit)) == pytest.approx(MIN_SCORE)


def test_a_temperature_next_to_nothing_asks_for_every_detection():
    assert lowest_score(1e-6) == 0


def test_a_classifier_alone_is_measured_on_whole_pictures_only(sample):
    pipeline = StubPipeline(answers={10: (0.9, ()), 20: (0.2, ())})
    seen = []

    def progress(samples):
        for each in samples:
            seen.append(each)
            yield each

    samples = [sample(10, 1), sample(20, 0), sample(40, boxes=[(LEFT, 1)])]
    found = evaluate_pipeline(pipeline, samples, progress)
    assert seen == samples[:2]
    assert found.detection is None
    assert found.classification.accuracy == 1
    assert WHOLE_PICTURE not in found.groups
    assert sum(found.histograms["mask"]) == 2
    assert sum(found.histograms["face_score"]) == 0


def test_scenes_alone_leave_classification_out(sample):
    pipeline = StubPipeline({}, {40: ()})
    found = evaluate_pipeline(pipeline, [sample(40, boxes=[(LEFT, 1)])])
    assert found.classification is None
    assert (found.curves, found.groups) == ({}, {})
    assert found.detection["face"][32].value == 0


def test_the_labels_curves_each_take_their_own_positive(sample):
    pipeline = StubPipeline({10: (0.75, ()), 20: (0.25, ())})
    found = evaluate_pipeline(pipeline, [sample(10, 1), sample(20, 0)])
    for curve in found.curves.values():
        assert curve.threshold.tolist() == [0.75, 0.25]
        assert curve.precision.tolist() == [1, 0.5]


def test_mistakes_are_named_with_what_they_take_to_be_looked_at(sample):
    pipeline = StubPipeline(
        answers={10: (0.2, (face(LEFT, 0.8, 0.2),)), 20: (0.95, ()), 30: (0.9, ())},
        scenes={40: (face(LEFT, 0.9, 0.25), face(RIGHT, 0.8, 0.1), face(BACKGROUND, 0.6, 0.7), face(LOW, 0.5, 0.9))},
    )
    scene = sample(40, boxes=[(LEFT, 1), (RIGHT, 0), (LOW, None)])
    found = evaluate_pipeline(pipeline, [sample(10, 1), sample(20, 0), sample(30, 1), scene]).mistakes
    assert [(each.kind, each.name, each.truth, each.said, each.box) for each in found] == [
        (MistakeKind.PICTURE, "set/20.png", Label.WITHOUT_MASK, Label.WITH_MASK, None),
        (MistakeKind.PICTURE, "set/10.png", Label.WITH_MASK, Label.WITHOUT_MASK, LEFT),
        (MistakeKind.FACE_LABEL, "set/40.png", Label.WITH_MASK, Label.WITHOUT_MASK, LEFT),
        (MistakeKind.NO_FACE, "set/40.png", None, Label.WITH_MASK, BACKGROUND),
    ]
    assert [each.confidence for each in found] == pytest.approx([0.95, 0.8, 0.9 * 0.75, 0.6])


def test_only_the_most_confident_mistakes_are_kept(sample):
    scene = sample(40)
    faces = tuple(face(Box(x, 0, x + 10, 10), 0.9 - x / 1000, 0.9) for x in range(0, 500, 10))
    found = summarise([], [SceneFaces(scene, faces)], has_finder=True).mistakes
    assert len(found) == MOST_MISTAKES
    assert [each.box.xmin for each in found] == [10 * place for place in range(MOST_MISTAKES)]


def test_reference_histograms_count_faces_and_pictures(sample):
    pipeline = StubPipeline({0: (0.92, (face(LEFT, 1.0, 0.92), face(RIGHT, 0.52, 0.03))), 255: (0.5, ())}, {})
    found = evaluate_pipeline(pipeline, [sample(0, 1), sample(255, 1)]).histograms
    assert {name: len(counts) for name, counts in found.items()} == {"mask": 20, "face_score": 20, "brightness": 20}
    assert (found["mask"][18], found["mask"][0], sum(found["mask"])) == (1, 1, 2)
    assert (found["face_score"][19], found["face_score"][10], sum(found["face_score"])) == (1, 1, 2)
    assert (found["brightness"][0], found["brightness"][19], sum(found["brightness"])) == (1, 1, 2)


def test_histograms_of_nothing_are_zeros():
    assert histograms([], [], []) == dict.fromkeys(("mask", "face_score", "brightness"), (0,) * 20)


def test_nothing_at_all_gives_no_figures():
    found = evaluate_pipeline(StubPipeline({}, {}), [])
    assert found.classification is None
    assert found.detection is None
    assert found.mistakes == ()


def test_a_picture_that_has_gone_is_named(sample):
    gone = dataclasses.replace(sample(10, 1), path=Path("nowhere/gone.png"))
    with pytest.raises(ImageError, match=r"gone\.png"):
        evaluate_pipeline(StubPipeline({10: (0.9, ())}), [gone])


def test_a_band_without_faces_has_no_average_precision(sample):
    found = evaluate_pipeline(StubPipeline({}, {40: ()}), [sample(40, boxes=[(LOW, 1)])])
    assert found.detection["face"][20].faces == 1
    assert math.isnan(found.detection["face"][32].value)
