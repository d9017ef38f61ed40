"""Reading both Kaggle layouts, whole and in pieces."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from drawn import DrawnFace, voc, write_classification_set, write_detection_set
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.errors import DataError
from maskwatch.types import Box
from maskwatch_train.index import CLASSIFICATION, DETECTION, Sample, default_faces_csv, read_data, read_voc
from PIL import Image as PILImage

HEADER = "image,xmin,ymin,xmax,ymax,score,label\n"


@pytest.fixture(scope="module")
def drawn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_classification_set(root / "face-mask-dataset", 6, 1)
    write_detection_set(root / "face-mask-detection", 3, 2)
    return root


@pytest.fixture
def data(drawn_data: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(drawn_data, tmp_path / "data"))


def test_reads_both_sets_sorted_by_name(drawn_data: Path) -> None:
    samples = read_data(drawn_data)
    assert [sample.source for sample in samples] == [CLASSIFICATION] * 6 + [DETECTION] * 3
    assert [sample.label for sample in samples] == [1, 1, 1, 0, 0, 0, None, None, None]
    names = [sample.name for sample in samples]
    assert names == sorted(names)
    assert names[0] == "face-mask-dataset/with_mask/with_mask_1.jpg"
    assert names[-1] == "face-mask-detection/images/maksssksksss2.png"
    for sample in samples:
        with PILImage.open(sample.path) as picture:
            assert (sample.width_px, sample.height_px) == picture.size


@pytest.mark.parametrize("inner", ["face-mask-dataset", "face-mask-dataset/data"])
def test_a_sample_has_the_same_name_from_whichever_folder_it_is_read(drawn_data: Path, inner: str) -> None:
    assert read_data(drawn_data / inner) == read_data(drawn_data)[:6]


def test_a_set_without_its_data_folder_is_read_too(data: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    shutil.copytree(data / "face-mask-dataset" / "data", flat)
    assert [sample.label for sample in read_data(flat)] == [1, 1, 1, 0, 0, 0]


def test_detection_labels_keep_the_original_word(data: Path) -> None:
    faces = [
        DrawnFace(10, 20, 50, 60, "with_mask"),
        DrawnFace(60, 20, 90, 60, "without_mask"),
        DrawnFace(100, 20, 150, 60, "mask_weared_incorrect"),
    ]
    (data / "face-mask-detection/annotations/maksssksksss0.xml").write_text(voc("x.png", 300, 200, faces))
    boxes = _by_name(data, "maksssksksss0.png").boxes
    assert [(face.label, face.name) for face in boxes] == [
        (1, "with_mask"), (0, "without_mask"), (0, "mask_weared_incorrect")
    ]  # fmt: skip
    assert boxes[0].box == Box(10, 20, 50, 60)


def test_boxes_are_clipped_to_the_picture_and_dropped_where_nothing_is_left(data: Path) -> None:
    sample = _by_name(data, "maksssksksss0.png")
    width, height = sample.width_px, sample.height_px
    faces = [
        DrawnFace(-5, -7, 40, 50, "with_mask"),
        DrawnFace(width, 10, width + 30, 40, "with_mask"),
        DrawnFace(30, 10, 30, 40, "with_mask"),
        DrawnFace(50, 40, 20, 90, "with_mask"),
        DrawnFace(width - 20, height - 20, width + 1, height + 9, "with_mask"),
    ]
    (data / "face-mask-detection/annotations/maksssksksss0.xml").write_text(voc("x.png", width, height, faces))
    kept = [face.box for face in _by_name(data, "maksssksksss0.png").boxes]
    assert kept == [Box(0, 0, 40, 50), Box(width - 20, height - 20, width, height)]


def test_faces_csv_beside_the_set_gives_boxes_and_an_empty_label_is_unknown(data: Path) -> None:
    home = data / "face-mask-dataset"
    assert all(not sample.boxes for sample in read_data(home))
    assert default_faces_csv(data) == home / "faces.csv"
    (home / "faces.csv").write_text(
        HEADER + "with_mask/with_mask_1.jpg,1.5,2,30,40,0.9,with_mask\n"
        "with_mask/with_mask_2.jpg,1,2,30,40,0.8,\nwith_mask/with_mask_2.jpg,5,2,35,40,0.7,\n"
    )
    samples = {sample.path.name: sample for sample in read_data(data)}
    (face,) = samples["with_mask_1.jpg"].boxes
    assert (face.box, face.label, face.name, face.score) == (Box(1.5, 2, 30, 40), 1, "with_mask", 0.9)
    assert [face.label for face in samples["with_mask_2.jpg"].boxes] == [None, None]
    assert samples["with_mask_3.jpg"].boxes == ()


def test_boxes_kept_elsewhere_are_used_when_named(data: Path, tmp_path: Path) -> None:
    (data / "face-mask-dataset/faces.csv").write_text(HEADER + "with_mask/with_mask_1.jpg,1,2,30,40,0.9,with_mask\n")
    elsewhere = tmp_path / "boxes.csv"
    elsewhere.write_text(HEADER + "with_mask/with_mask_2.jpg,1,2,30,40,0.9,with_mask\n")
    with_boxes = [sample.path.name for sample in read_data(data / "face-mask-dataset", elsewhere) if sample.boxes]
    assert with_boxes == ["with_mask_2.jpg"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,xmin\n", "lacks the columns label, score, xmax, ymax, ymin"),
        (HEADER + "a.jpg,1,2,x,4,0.5,\n", "line 2"),
        (HEADER + "a.jpg,1,2,3,4,0.5,\na.jpg,1,2,3,4,0.5,masked\n", "line 3"),
        (HEADER + "a.jpg,1,2,nan,4,0.5,\n", "line 2: a number is not finite"),
        (HEADER + "a.jpg,1,2\n", "line 2"),
        ("", "lacks the columns"),
    ],
)
def test_a_bad_faces_csv_is_named_with_the_line(data: Path, text: str, words: str) -> None:
    (data / "face-mask-dataset/faces.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_data(data)


def test_a_named_faces_csv_that_is_missing_is_an_error(data: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv cannot be read"):
        read_data(data, data / "nowhere.csv")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("face-mask-dataset/data/without_mask", "without_mask holds no picture"),
        ("face-mask-detection/images", "images holds no picture"),
        ("face-mask-detection/annotations", r"has no maksssksksss0\.xml"),
        ("face-mask-detection/annotations/maksssksksss1.xml", r"has no maksssksksss1\.xml"),
    ],
)
def test_a_set_in_pieces_says_what_is_missing_and_what_to_do(data: Path, spoil: str, words: str) -> None:
    broken = data / spoil
    shutil.rmtree(broken) if broken.is_dir() else broken.unlink()
    with pytest.raises(DataError, match=f"{words}.*maskwatch data fetch"):
        read_data(data)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 cut", b"not a picture"])
def test_an_unreadable_picture_is_named(data: Path, content: bytes) -> None:
    (data / "face-mask-dataset/data/with_mask/with_mask_2.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"with_mask_2\.jpg is not a readable picture"):
        read_data(data)


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_folder_without_a_set_says_how_to_get_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="maskwatch data fetch"):
        read_data(tmp_path / name)


def test_a_folder_in_both_layouts_is_read_once(data: Path) -> None:
    home = data / "face-mask-dataset"
    for part in ("images", "annotations"):
        shutil.copytree(data / "face-mask-detection" / part, home / part)
    assert [sample.source for sample in read_data(home)] == [CLASSIFICATION] * 6


def test_size_counts_exif_rotation(data: Path) -> None:
    path = data / "face-mask-dataset/data/with_mask/with_mask_1.jpg"
    exif = PILImage.Exif()
    exif[0x0112] = 6
    PILImage.fromarray(np.zeros((50, 90, 3), np.uint8)).save(path, exif=exif)
    sample = _by_name(data, "with_mask_1.jpg")
    assert (sample.width_px, sample.height_px) == (50, 90)


@pytest.mark.parametrize(
    ("longer_px", "band"),
    [(95, "under 96 px"), (96, "96-159 px"), (320, "320-479 px"), (479, "320-479 px"), (480, "480 px and over")],
)
def test_size_band_goes_by_the_longer_side(longer_px: int, band: str) -> None:
    assert Sample(Path("x"), DETECTION, None, (), "x", longer_px, 20).size_band == band
    assert Sample(Path("x"), DETECTION, None, (), "x", 20, longer_px).size_band == band


def test_entities_in_an_annotation_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xml"
    path.write_text(
        '<!DOCTYPE a [<!ENTITY a "with"><!ENTITY b "&a;&a;&a;&a;">]><annotation><object><name>&b;</name></object>'
        "</annotation>"
    )
    with pytest.raises(DataError, match="declares a document type"):
        read_voc(path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("<annotation><object><name>hat</name></object></annotation>", "unknown label 'hat'"),
        ("<annotation><object><name>with_mask</name></object></annotation>", "could not convert"),
        (voc("x", 9, 9, [DrawnFace(1, 2, 3, 4, "with_mask")]).replace(">3<", ">inf<"), "not finite"),
        ("<annotation>", "no element found"),
        ("", "no element found"),
    ],
)
def test_a_bad_annotation_is_named(tmp_path: Path, given: str, words: str) -> None:
    path = tmp_path / "bad.xml"
    path.write_text(given)
    with pytest.raises(DataError, match=rf"bad\.xml is not .*{words}"):
        read_voc(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_as_bad_data(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.xml"
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        assert read_voc(path) == ()


def _by_name(root: Path, file_name: str) -> Sample:
    (sample,) = (sample for sample in read_data(root) if sample.path.name == file_name)
    return sample
