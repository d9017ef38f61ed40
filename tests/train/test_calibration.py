"""The calibration list: seeded, balanced, and pictures that went through serving's own preprocessing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn import write_classification_set, write_detection_set
from maskwatch.images import read_image
from maskwatch.preprocess import crop_face, letterbox, whole_picture
from maskwatch.types import Box
from maskwatch_train.calibration import classifier_batches, classifier_pictures, finder_batches, finder_pictures
from maskwatch_train.index import CLASSIFICATION, DETECTION, LabelledBox, Sample, read_data


def sample(name: str, source: str, label: int | None, *face_labels: int | None) -> Sample:
    faces = tuple(LabelledBox(Box(1, 1, 20 + n, 20 + n), face, "") for n, face in enumerate(face_labels))
    return Sample(Path(name), source, label, faces, name, 100, 100)


PORTRAITS = [sample(f"{label}/{n}", CLASSIFICATION, label, label) for label in (0, 1) for n in range(300)]
SCENES = [sample(f"scene/{n}", DETECTION, None, 1, 1, 0) for n in range(300)]


def test_the_list_hangs_on_the_seed_alone():
    everything = [*PORTRAITS, *SCENES]
    assert finder_pictures(everything, 5) == finder_pictures(everything, 5)
    assert finder_pictures(everything, 5) != finder_pictures(everything, 6)
    first, second, other = (classifier_pictures(everything, seed, faces=True) for seed in (5, 5, 6))
    assert first == second
    assert first != other


def test_the_finder_sees_scenes_and_portraits_half_and_half():
    chosen = finder_pictures([*PORTRAITS, *SCENES], 1, 100)
    assert Counter(each.source for each in chosen) == {DETECTION: 50, CLASSIFICATION: 50}
    assert len({each.name for each in chosen}) == 100


def test_the_finder_takes_what_there_is():
    assert len(finder_pictures([*PORTRAITS, *SCENES[:10]], 1, 100)) == 100
    assert Counter(each.source for each in finder_pictures(SCENES, 1, 100)) == {DETECTION: 50}
    assert len(finder_pictures(PORTRAITS[:7], 1, 100)) == 7


def labels_of(chosen) -> list[int]:
    def label(each: Sample, box: Box | None) -> int | None:
        return each.label if box is None else next(face.label for face in each.boxes if face.box == box)

    return [label(each, box) for each, box in chosen]


def test_the_classifier_sees_both_classes_alike():
    chosen = classifier_pictures([*PORTRAITS, *SCENES], 1, faces=True, count=80)
    assert Counter(labels_of(chosen)) == {0: 40, 1: 40}
    assert sum(box is None for _, box in chosen) == 20
    assert len(set(chosen)) == 80


@pytest.mark.parametrize("scarce", [0, 1])
def test_both_classes_are_alike_where_one_is_scarce(scarce):
    """Few unmasked faces beside a hundred masked ones would set scales that suit the masked."""
    few = [each for each in PORTRAITS if each.label != scarce] + [each for each in PORTRAITS if each.label == scarce][
        :6
    ]
    counts = Counter(labels_of(classifier_pictures(few, 1, faces=True, count=80)))
    assert counts[0] == counts[1] == 12  # six faces and six whole pictures
    counts = Counter(labels_of(classifier_pictures(few, 1, faces=False, count=80)))
    assert counts[0] == counts[1] == 6


def test_scenes_alone_give_faces_alone():
    chosen = classifier_pictures(SCENES, 1, faces=True, count=80)
    assert all(box is not None for _, box in chosen)
    assert Counter(labels_of(chosen)) == {0: 40, 1: 40}


def test_a_network_that_knows_no_faces_sees_whole_pictures_only():
    chosen = classifier_pictures([*PORTRAITS, *SCENES], 1, faces=False, count=80)
    assert all(box is None for _, box in chosen)
    assert Counter(each.label for each, _ in chosen) == {0: 40, 1: 40}


def test_faces_of_unknown_label_are_left_out():
    unknown = [replace(each, label=None, boxes=(replace(each.boxes[0], label=None),)) for each in PORTRAITS]
    assert classifier_pictures(unknown, 1, faces=True) == ()


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_classification_set(root / "portraits", 4, 1, faces_csv=True)
    write_detection_set(root / "scenes", 2, 2)
    return read_data(root)


def check(batch, expected):
    """One picture as floats, as it is served but for the two corners that pin the scale."""
    assert batch.shape == (1, *expected.shape)
    assert batch.dtype == np.float32
    assert batch.min() == 0
    assert batch.max() == 255
    different = (batch[0] != expected).any(axis=2)
    assert not different[1:-1].any()
    assert different.sum() <= 2


def test_finder_inputs_are_letterboxed_as_at_the_door(samples):
    batches = list(finder_batches(samples, 64, 96))
    assert len(batches) == 6
    for each, batch in zip(samples, batches, strict=True):
        check(batch, letterbox(read_image(each.path), 64, 96)[0])


def test_classifier_inputs_are_cut_as_at_the_door(samples):
    portrait = samples[0]
    box = portrait.boxes[0].box
    face, whole = classifier_batches([(portrait, box), (portrait, None)], 48, 0.25)
    image = read_image(portrait.path)
    check(face, crop_face(image, box, 48, 0.25))
    check(whole, whole_picture(image, 48))
