"""Reads the two Kaggle layouts, classification folders and Pascal VOC boxes, into one list of samples."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from maskwatch.errors import DataError
from maskwatch.types import Box
from PIL import Image as PILImage

logger = logging.getLogger(__name__)

CLASSIFICATION: Final = "classification"
DETECTION: Final = "detection"
PICTURE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png"})
FACES_CSV: Final = "faces.csv"
FACES_COLUMNS: Final = ("image", "xmin", "ymin", "xmax", "ymax", "score", "label")

LABELS: Final = {"with_mask": 1, "without_mask": 0, "mask_weared_incorrect": 0}
"""The names that the data sets use, with what they count for; `mask_weared_incorrect` is Kaggle's own spelling."""

SIZE_BANDS_PX: Final = ((96, "under 96 px"), (160, "96-159 px"), (320, "160-319 px"), (480, "320-479 px"))
"""Upper bounds (exclusive) of a picture's longer side. They part face crops, thumbnails, portraits and whole scenes."""
LARGEST_BAND: Final = "480 px and over"
SIZE_BANDS: Final = (*(band for _, band in SIZE_BANDS_PX), LARGEST_BAND)

_FETCH_HINT: Final = "run `maskwatch data fetch`"


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """One face: `label` is 1 masked, 0 not masked, None unknown; `name` is the label's word in the data set or ''.

    `score` is 1.0 for boxes that people drew, and the finder's confidence (0 to 1) for those read from faces.csv.
    """

    box: Box
    label: int | None
    name: str = ""
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture on disk. `label` is the whole picture's (1, 0), None in a detection set; boxes are in its pixels.

    `name` identifies the sample wherever the data lie: the set's folder name, then the path inside the set.
    """

    path: Path
    source: str
    label: int | None
    boxes: tuple[LabelledBox, ...]
    name: str
    width_px: int
    height_px: int

    @property
    def size_band(self) -> str:
        """Which of SIZE_BANDS_PX the longer side falls in: the nearest to a photograph's origin that the file tells."""
        longer_px = max(self.width_px, self.height_px)
        return next((band for limit_px, band in SIZE_BANDS_PX if longer_px < limit_px), LARGEST_BAND)


def read_data(root: Path, faces_csv: Path | None = None) -> tuple[Sample, ...]:
    """All samples of the sets at or right under `root`, sorted by name.

    A set is a folder with `with_mask` and `without_mask` (or `data/` holding them), or one with `images` and
    `annotations`. Face boxes of a classification set come from `faces_csv`, or else from `faces.csv` in the set's
    folder; without either, its samples have no boxes.

    Raises:
        DataError: no set there, a set in pieces, or a file that cannot be read.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder: {_FETCH_HINT}, or name the folder that holds the data sets")
    samples: list[Sample] = []
    for folder in set_folders(root):
        home = _classification_home(folder)
        found = _read_detection(folder) if home is None else _read_classification(folder, home, faces_csv)
        logger.info("%s: %d pictures", folder, len(found))
        samples += found
    return tuple(sorted(samples, key=lambda sample: sample.name))


def default_faces_csv(root: Path) -> Path | None:
    """Where `read_data` looks for the face boxes of the classification set at or under `root`; None without a set."""
    for folder in set_folders(root):
        if _classification_home(folder) is not None:
            return folder / FACES_CSV
    return None


def set_folders(root: Path) -> list[Path]:
    """Folders of the sets at `root` or, where it is none itself, right under it; DataError where there is none."""
    root = root.resolve()
    if root.name == "data" and _holds(root, "with_mask", "without_mask"):
        return [root.parent]
    folders = [folder for folder in (root, *sorted(root.iterdir())) if folder.is_dir() and _is_set(folder)]
    if not folders:
        raise DataError(
            f"no data set in {root}: expected with_mask/ and without_mask/, or images/ and annotations/; {_FETCH_HINT}"
        )
    return folders[:1] if folders[0] == root else folders


def _is_set(folder: Path) -> bool:
    return _classification_home(folder) is not None or _holds(folder, "images", "annotations")


def _classification_home(folder: Path) -> Path | None:
    """The folder that holds with_mask/ and without_mask/, be it `folder` or its data/; None where there is neither."""
    homes = (folder / "data", folder)
    return next((home for home in homes if _holds(home, "with_mask", "without_mask")), None)


def _holds(folder: Path, *names: str) -> bool:
    """Whether any of the named folders is there: one of two is a set too, but one in pieces."""
    return any((folder / name).is_dir() for name in names)


def _pictures(folder: Path) -> list[Path]:
    """The pictures right in a folder, sorted; DataError where there is none."""
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES) if folder.is_dir() else []
    if not found:
        raise DataError(f"{folder} holds no picture, so its data set is incomplete: delete the set and {_FETCH_HINT}")
    return found


def _size_px(path: Path) -> tuple[int, int]:
    """Width and height as shown, EXIF rotation applied, read from the header alone."""
    try:
        with PILImage.open(path) as picture:
            width_px, height_px = picture.size
            turned = picture.getexif().get(0x0112, 1) >= 5  # orientations 5 to 8 lie on their side
    except (OSError, SyntaxError, ValueError, PILImage.DecompressionBombError) as error:
        raise DataError(f"{path} is not a readable picture: delete it, or delete its set and {_FETCH_HINT}") from error
    return (height_px, width_px) if turned else (width_px, height_px)


def _clean(box: Box, width_px: int, height_px: int) -> Box | None:
    """The box clipped to its picture; None where less than one pixel is left in either direction."""
    clipped = box.clipped(width_px, height_px)
    return clipped if clipped.width >= 1 and clipped.height >= 1 else None


def _read_classification(folder: Path, home: Path, faces_csv: Path | None) -> list[Sample]:
    rows = faces_csv if faces_csv is not None else folder / FACES_CSV
    faces = _read_faces(rows) if faces_csv is not None or rows.is_file() else {}
    samples = []
    for word in ("with_mask", "without_mask"):
        for path in _pictures(home / word):
            width_px, height_px = _size_px(path)
            boxes = []
            for face in faces.get(f"{word}/{path.name}", ()):
                box = _clean(face.box, width_px, height_px)
                if box is not None:
                    boxes.append(LabelledBox(box, face.label, face.name, face.score))
            name = f"{folder.name}/{word}/{path.name}"
            samples.append(Sample(path, CLASSIFICATION, LABELS[word], tuple(boxes), name, width_px, height_px))
    return samples


def _read_faces(path: Path) -> dict[str, list[LabelledBox]]:
    """Boxes by picture, as `with_mask/NAME.jpg`; an empty label is unknown (several faces share a picture)."""
    faces: dict[str, list[LabelledBox]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream)
            if missing := set(FACES_COLUMNS) - set(rows.fieldnames or ()):
                raise DataError(f"{path} lacks the columns {', '.join(sorted(missing))}: delete it, it is made again")
            for row in rows:
                try:
                    xmin, ymin, xmax, ymax, score = (float(row[column]) for column in FACES_COLUMNS[1:6])
                    label = LABELS[row["label"]] if row["label"] else None
                except (KeyError, TypeError, ValueError) as error:
                    raise DataError(f"{path}, line {rows.line_num}: not a box with a known label") from error
                if not all(map(math.isfinite, (xmin, ymin, xmax, ymax, score))):
                    raise DataError(f"{path}, line {rows.line_num}: a number is not finite")
                face = LabelledBox(Box(xmin, ymin, xmax, ymax), label, row["label"], score)
                faces.setdefault(row["image"], []).append(face)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return faces


def _read_detection(folder: Path) -> list[Sample]:
    samples = []
    for path in _pictures(folder / "images"):
        annotation = folder / "annotations" / f"{path.stem}.xml"
        if not annotation.is_file():
            raise DataError(f"{path} has no {annotation.name}: the set is incomplete; delete it and {_FETCH_HINT}")
        width_px, height_px = _size_px(path)
        boxes = []
        for given in read_voc(annotation):
            box = _clean(given.box, width_px, height_px)
            if box is None:
                logger.debug("%s: a box outside the picture is dropped", annotation)
            else:
                boxes.append(LabelledBox(box, given.label, given.name))
        name = f"{folder.name}/images/{path.name}"
        samples.append(Sample(path, DETECTION, None, tuple(boxes), name, width_px, height_px))
    return samples


def read_voc(path: Path) -> tuple[LabelledBox, ...]:
    """The boxes of one Pascal VOC file, as given.

    Kaggle's set was drawn with LabelImg, which counts pixels from 0 and only lifts an edge of 0 to 1, so nothing is
    taken off the edges.

    Raises:
        DataError: not XML, a document type (it could define entities that grow without end), or an unknown label.
    """
    try:
        parser = ElementTree.XMLParser(target=_PlainTree())  # noqa: S314 - entities are refused
        tree = ElementTree.fromstring(path.read_bytes(), parser=parser)  # noqa: S314
        return tuple(_voc_objects(tree))
    except (OSError, ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(f"{path} is not a Pascal VOC annotation of masks: {error}") from error


class _PlainTree(ElementTree.TreeBuilder):
    """Refuses a document type, the one place where XML can define entities."""

    def doctype(self, *_: object) -> None:
        raise ValueError("it declares a document type")


def _voc_objects(tree: ElementTree.Element) -> Iterator[LabelledBox]:
    for node in tree.iter("object"):
        name = (node.findtext("name") or "").strip()
        if name not in LABELS:
            raise ValueError(f"unknown label {name!r}")
        edges = [float(node.findtext(f"bndbox/{edge}") or "missing") for edge in ("xmin", "ymin", "xmax", "ymax")]
        if not all(map(math.isfinite, edges)):
            raise ValueError("an edge is not finite")
        yield LabelledBox(Box(*edges), LABELS[name], name)
