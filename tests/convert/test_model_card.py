"""MODEL_CARD.md: every figure comes from the manifest, and one that is not known is a dash."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
from maskwatch.types import Box, Face, Label
from maskwatch_convert.model_card import model_card
from maskwatch_train.evaluate import PictureVerdict, SceneFaces, summarise
from maskwatch_train.index import CLASSIFICATION, DETECTION, LabelledBox, Sample
from maskwatch_train.report import summary
from tiny_models import tiny_manifest

SIZES = {"finder.tflite": 123456, "classifier.tflite": 65432}
FOUND = Face(Box(10, 10, 50, 60), 0.9, 0.8, Label.WITH_MASK)


def verdict(truth: int, said: Label) -> PictureVerdict:
    sample = Sample(Path("a.png"), CLASSIFICATION, truth, (), "a", 100, 100)
    return PictureVerdict(sample, said, 0.6, (), 0.5)


def report(*, scenes: bool) -> dict[str, object]:
    verdicts = [verdict(1, Label.WITH_MASK)] * 7 + [verdict(0, Label.WITHOUT_MASK)] * 2 + [verdict(0, Label.WITH_MASK)]
    scene = Sample(Path("b.png"), DETECTION, None, (LabelledBox(FOUND.box, 1, "with_mask"),), "b", 100, 100)
    found = [SceneFaces(scene, (FOUND,))] * 3 if scenes else []
    return summary(summarise(verdicts, found, has_finder=scenes))


@pytest.fixture
def manifest():
    return tiny_manifest(report=report(scenes=True))


def test_the_card_says_what_the_manifest_says(manifest):
    card = model_card(manifest, SIZES)
    assert card.startswith("# tiny 1.2.3\n")
    assert "| face finder | 32×24 RGB | 123,456 bytes |" in card
    assert "| masknet | 16×16 RGB | 65,432 bytes |" in card
    assert "Test split of 10 photographs" in card
    assert "Accuracy 0.900 (95 % interval 0." in card
    assert "| without mask | 1.000 | 0.667 | 0.800 |" in card
    assert "Expected calibration error of P(mask) 0.100." in card
    assert "| with mask | 0.875 | 1.000 | 0.933 |" in card


def test_average_precision_is_a_table_by_height(manifest):
    card = model_card(manifest, SIZES)
    assert "Faces in 3 scenes" in card
    assert "| | all | ≥ 20 px | ≥ 32 px | ≥ 48 px |" in card
    assert "| face | 1.000 | 1.000 | 1.000 | 1.000 |" in card
    assert "| unmasked | – | – | – | – |" in card
    assert "Expected calibration error, faces ≥ 20 px: score 0.100, P(mask) 0.200." in card


def test_a_bundle_without_a_finder_has_no_word_of_scenes(manifest):
    card = model_card(dataclasses.replace(manifest, finder=None, report=report(scenes=False)), SIZES)
    assert "face finder" not in card
    assert "scenes" not in card
    assert "Accuracy 0.900" in card


def test_tables_are_whole(manifest):
    """Every row of a table has as many cells as its head."""
    rows = [line.count("|") if line.startswith("|") else 0 for line in model_card(manifest, SIZES).splitlines()]
    assert all(one == other for one, other in itertools.pairwise(rows) if one and other)
    assert len({count for count in rows if count}) == 3
