from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from maskwatch.bundle import open_bundle
from maskwatch.classifier import MaskClassifier
from maskwatch.errors import BundleError
from maskwatch.finder import FaceFinder
from maskwatch.manifest import ClassifierSpec, FinderSpec, SecondLookSpec
from maskwatch.pipeline import Pipeline, load_pipeline, prominence
from maskwatch.types import Box, Face, Frame, Image, Label
from maskwatch_convert.pack import write_bundle
from stub_networks import StubFinderNetwork
from tiny_models import tiny_bundle, tiny_manifest, tiny_members

FINDER = FinderSpec("finder.tflite", 64, 96, (8,), 1.0, 0.5, 0.5)
CLASSIFIER = ClassifierSpec("c.tflite", "masknet", 16, 0.0, ("without_mask", "with_mask"), "logit", 1.0, 0.5, True)
MASKED, BARE = 250, 5  # grey levels that the stub classifier tells apart


def brightness_network(batch: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], ...]:
    """Takes what is bright for masked: a logit of −4 for black to 4 for white."""
    return ((batch.mean(axis=(1, 2, 3), dtype=np.float32)[:, None] - 127.5) / 32,)


def pipeline(*faces: tuple[int, int, float, float]) -> Pipeline:
    return Pipeline(FaceFinder(StubFinderNetwork(*faces), FINDER), MaskClassifier(brightness_network, CLASSIFIER))


def picture(left: int, right: int) -> Image:
    """64×96, its halves of two grey levels."""
    image = np.full((64, 96, 3), left, np.uint8)
    image[:, 48:] = right
    return image


LARGE_LEFT, SMALL_RIGHT = (3, 2, 16.0, 1.0), (4, 9, 8.0, 3.0)


def test_faces_carry_their_own_mask_most_prominent_first() -> None:
    large, small = pipeline(LARGE_LEFT, SMALL_RIGHT).faces(Frame(picture(BARE, MASKED), 0.0))
    assert (large.box.xmin, large.box.ymin, large.box.xmax) == pytest.approx((4, 12, 36), abs=1e-3)
    assert (large.label, small.label) == (Label.WITHOUT_MASK, Label.WITH_MASK)
    assert large.mask < 0.05 < 0.95 < small.mask
    assert large.score < small.score  # the surer face is the smaller one


def test_prominence_weighs_area_by_score() -> None:
    box = Box(0, 0, 10, 20)
    assert prominence(Face(box, 0.5, 0.1, Label.WITHOUT_MASK)) == 100


def test_a_score_can_be_asked_for() -> None:
    both = pipeline(LARGE_LEFT, SMALL_RIGHT)
    frame = Frame(picture(BARE, MASKED), 0.0)
    assert [face.label for face in both.faces(frame, min_score=0.9)] == [Label.WITH_MASK]
    assert both.faces(frame, min_score=1.0) == ()


def test_faces_are_cut_from_the_high_resolution_picture() -> None:
    frame = Frame(picture(MASKED, BARE).repeat(10, axis=0).repeat(10, axis=1), 0.0, lores=picture(BARE, BARE))
    (face,) = pipeline(LARGE_LEFT).faces(frame)
    assert face.label is Label.WITH_MASK
    assert face.box.width == pytest.approx(320, abs=0.05)


def test_the_verdict_on_a_picture_is_its_most_prominent_faces() -> None:
    verdict = pipeline(LARGE_LEFT, SMALL_RIGHT).classify(picture(BARE, MASKED))
    assert (verdict.label, len(verdict.faces)) == (Label.WITHOUT_MASK, 2)
    assert verdict.mask == verdict.faces[0].mask
    assert verdict.score == pytest.approx(1 - verdict.mask)


def test_a_picture_without_a_face_is_judged_whole() -> None:
    verdict = pipeline().classify(picture(MASKED, MASKED))
    assert (verdict.label, verdict.faces) == (Label.WITH_MASK, ())
    assert verdict.score == verdict.mask > 0.9


def test_without_a_finder_whole_pictures_are_judged() -> None:
    alone = Pipeline(None, MaskClassifier(brightness_network, CLASSIFIER))
    assert alone.faces(Frame(picture(BARE, BARE), 0.0)) == ()
    assert alone.classify(picture(BARE, BARE)).label is Label.WITHOUT_MASK


# With a second look

FACE, NO_FACE = 255, 0  # levels of blue by which the stub classifier tells a face
SAYS = 127.5 / 32  # the face logit of FACE, and less than nothing of NO_FACE
WEIGHT, BIAS = 1.5, 0.25
WEAK_LEFT, STRONG_RIGHT = (3, 2, 16.0, -2.0), (3, 8, 16.0, 2.0)
LIFTED = 1 / (1 + math.exp(2 - WEIGHT * SAYS - BIAS))  # WEAK_LEFT where there is a face: 0.985
SUNK = 1 / (1 + math.exp(-2 + WEIGHT * SAYS - BIAS))  # STRONG_RIGHT where there is none: 0.024


class TwoLogits:
    """The logit of a mask by red, that of a face by blue, −4 to 4 both; counts the crops that it was shown."""

    def __init__(self) -> None:
        self.crops = 0

    def __call__(self, batch: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], ...]:
        self.crops += len(batch)
        levels = batch.mean(axis=(1, 2), dtype=np.float32)
        return ((levels[:, [0, 2]] - 127.5) / 32,)


def looking_twice(
    *faces: tuple[int, int, float, float], worth_a_look: float = 0.1, threshold: float = 0.5
) -> tuple[Pipeline, TwoLogits]:
    network = TwoLogits()
    second_look = SecondLookSpec(WEIGHT, BIAS, threshold)
    spec = replace(CLASSIFIER, output="mask_and_face_logits", second_look=second_look)
    finder = FaceFinder(StubFinderNetwork(*faces), replace(FINDER, score_threshold=worth_a_look))
    return Pipeline(finder, MaskClassifier(network, spec)), network


def scene(left: int = FACE, right: int = NO_FACE, red: tuple[int, int] = (MASKED, BARE)) -> Image:
    """64×96, its halves of two levels of blue, and of red."""
    image = picture(*red)
    image[:, :48, 2], image[:, 48:, 2] = left, right
    return image


def test_a_second_look_lifts_a_weak_find_and_drops_a_strong_one() -> None:
    twice, network = looking_twice(WEAK_LEFT, STRONG_RIGHT)
    (face,) = twice.faces(Frame(scene(), 0.0))
    assert (face.box.xmin, face.label) == (pytest.approx(4, abs=1e-3), Label.WITH_MASK)
    assert face.score == pytest.approx(LIFTED, abs=1e-5)
    assert network.crops == 2  # both in one go


def test_a_find_that_is_not_worth_a_look_gets_none() -> None:
    twice, network = looking_twice(WEAK_LEFT, STRONG_RIGHT, worth_a_look=0.2)
    assert twice.faces(Frame(scene(), 0.0)) == ()
    assert network.crops == 1


@pytest.mark.parametrize("threshold", [LIFTED - 1e-4, LIFTED + 1e-4])
def test_the_threshold_is_that_of_both_looks(threshold: float) -> None:
    twice, _ = looking_twice(WEAK_LEFT, threshold=threshold)
    assert len(twice.faces(Frame(scene(), 0.0))) == (threshold < LIFTED)


def test_the_score_asked_for_takes_the_place_of_the_threshold_of_both_looks() -> None:
    twice, _ = looking_twice(WEAK_LEFT, STRONG_RIGHT)
    frame = Frame(scene(), 0.0)
    scores = [face.score for face in twice.faces(frame, min_score=0.02)]
    assert scores == pytest.approx([LIFTED, SUNK], abs=1e-5)
    assert len(twice.faces(frame, min_score=LIFTED - 1e-4)) == 1
    assert twice.faces(frame, min_score=LIFTED + 1e-4) == ()


def test_the_score_asked_for_widens_what_is_worth_a_look_and_never_narrows_it() -> None:
    frame = Frame(scene(), 0.0)
    wary, _ = looking_twice(WEAK_LEFT, worth_a_look=0.2)
    assert len(wary.faces(frame, min_score=0.11)) == 1  # the finder gives 0.119
    eager, _ = looking_twice(WEAK_LEFT, worth_a_look=0.1)
    assert len(eager.faces(frame, min_score=0.9)) == 1


def test_prominence_goes_by_both_looks() -> None:
    """The finder alone has the right one for the subject."""
    twice, _ = looking_twice(WEAK_LEFT, STRONG_RIGHT, threshold=0.01)
    verdict = twice.classify(scene())
    assert len(verdict.faces) == 2
    assert verdict.label is Label.WITH_MASK
    assert twice.classify(scene(left=NO_FACE, right=FACE)).label is Label.WITHOUT_MASK


def test_where_the_second_look_leaves_no_face_the_picture_is_judged_whole() -> None:
    twice, _ = looking_twice(STRONG_RIGHT)
    verdict = twice.classify(scene(red=(MASKED, MASKED)))
    assert (verdict.label, verdict.faces) == (Label.WITH_MASK, ())


def test_a_bundle_becomes_a_pipeline(tiny_bundle_path: Path) -> None:
    loaded = load_pipeline(open_bundle(tiny_bundle_path))
    faces = loaded.faces(Frame(picture(BARE, MASKED), 0.0), min_score=0.0)
    assert faces
    assert all(0 <= face.score <= 1 and 0 <= face.mask <= 1 for face in faces)
    assert list(faces) == sorted(faces, key=prominence, reverse=True)


def test_a_bundle_without_a_finder_becomes_a_pipeline(tmp_path: Path) -> None:
    members = {"classifier.tflite": tiny_members()["classifier.tflite"]}
    written = write_bundle(tmp_path, tiny_manifest(finder=None), members)
    loaded = load_pipeline(open_bundle(written.path))
    assert loaded.finder is None
    assert loaded.classify(picture(BARE, MASKED)).faces == ()


def test_a_network_of_another_size_than_its_manifest_says_is_refused(tmp_path: Path) -> None:
    """It was called an internal error."""
    wrong_finder = replace(tiny_manifest().finder, width_px=64)
    with pytest.raises(BundleError, match=r"tiny-1.2.3.maskwatch: finder.tflite takes 32×24 pixels, not .* 64×24"):
        load_pipeline(open_bundle(tiny_bundle(tmp_path, finder=wrong_finder)))
    wrong_classifier = replace(tiny_manifest().classifier, size_px=32)
    with pytest.raises(BundleError, match=r"classifier.tflite takes 16×16 pixels, not .* 32×32"):
        load_pipeline(open_bundle(tiny_bundle(tmp_path, classifier=wrong_classifier)))


def test_a_member_that_is_no_network_is_named(tmp_path: Path) -> None:
    members = tiny_members() | {"classifier.tflite": b"not a network"}
    written = write_bundle(tmp_path, tiny_manifest(), members)
    with pytest.raises(BundleError, match=r"tiny-1.2.3.maskwatch: classifier.tflite: not a TFLite model"):
        load_pipeline(open_bundle(written.path))
