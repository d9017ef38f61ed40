"""Counts what a folder of data holds, and draws a contact sheet of it, for a person to judge it before training."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from maskwatch.errors import DataError
from PIL import Image as PILImage
from PIL import ImageDraw, ImageOps

from maskwatch_train.grouping import group_samples
from maskwatch_train.index import SIZE_BANDS, LabelledBox, Sample, read_data
from maskwatch_train.split import data_identity, split_groups

HEIGHT_BANDS_PX: Final = ((20, "under 20 px"), (32, "20-31 px"), (48, "32-47 px"), (96, "48-95 px"))
"""Upper bounds (exclusive) of a face's height; reports use the same ones."""
TALLEST_BAND: Final = "96 px and over"

PICTURE_WORDS: Final = {1: "with_mask", 0: "without_mask", None: "labelled by face"}

_SHEET_COLUMNS: Final = 8
_SHEET_ROWS: Final = 6
_CELL_PX: Final = 200
_COLOURS: Final = {1: (0, 200, 0), 0: (230, 30, 30), None: (250, 200, 0)}


@dataclass(frozen=True, slots=True)
class SetCounts:
    """One data set, or one part of a split: pictures by label and size, faces by label and height in pixels."""

    pictures: int
    labels: dict[str, int]
    size_bands: dict[str, int]
    faces: dict[str, int]
    face_heights: dict[str, int]


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """Near-duplicates: groups of two and more, the pictures in them, and how many groups have each size."""

    groups: int
    pictures: int
    sizes: dict[int, int]


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that `maskwatch data inspect` says; `as_dict` is its JSON."""

    root: str
    identity: str
    seed: int
    sets: dict[str, SetCounts]
    near_duplicates: GroupCounts
    split: dict[str, SetCounts]

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def inspect_data(root: Path, seed: int, cache: Path | None = None) -> Inspection:
    """Reads all data under `root` and counts it; DataError as from `read_data` and `group_samples`."""
    samples = read_data(root)
    groups = group_samples(samples, cache)
    split = split_groups(samples, groups, seed)
    sets: dict[str, list[Sample]] = {}
    for sample in samples:
        sets.setdefault(sample.name.partition("/")[0], []).append(sample)
    sizes = Counter(len(group) for group in groups if len(group) > 1)
    return Inspection(
        root=str(root),
        identity=data_identity(samples),
        seed=seed,
        sets={name: count(members) for name, members in sets.items()},
        near_duplicates=GroupCounts(
            sizes.total(), sum(size * times for size, times in sizes.items()), dict(sorted(sizes.items()))
        ),
        split={part: count(getattr(split, part)) for part in ("train", "validation", "test")},
    )


def count(samples: Sequence[Sample]) -> SetCounts:
    """Counts samples; every band is listed, also an empty one, and labels that occur."""
    faces = [face for sample in samples for face in sample.boxes]
    return SetCounts(
        pictures=len(samples),
        labels=_sorted(PICTURE_WORDS[sample.label] for sample in samples),
        size_bands=_banded((sample.size_band for sample in samples), SIZE_BANDS),
        faces=_sorted(face.name or "unknown" for face in faces),
        face_heights=_banded(map(height_band, faces), (*(band for _, band in HEIGHT_BANDS_PX), TALLEST_BAND)),
    )


def height_band(face: LabelledBox) -> str:
    """Which of HEIGHT_BANDS_PX a face falls in."""
    return next((band for limit_px, band in HEIGHT_BANDS_PX if face.box.height < limit_px), TALLEST_BAND)


def as_text(inspection: Inspection) -> str:
    """The inspection as lines to read."""
    lines = [f"data in {inspection.root}, identity {inspection.identity[:16]}"]
    for name, counts in inspection.sets.items():
        lines += ["", f"{name}: {counts.pictures:,} pictures ({_listed(counts.labels)})"]
        lines += ["  longer side:", *_bars(counts.size_bands)]
        lines += [f"  faces: {_listed(counts.faces) or 'no boxes'}"]
        if counts.faces:
            lines += ["  face height:", *_bars(counts.face_heights)]
    twins = inspection.near_duplicates
    lines += ["", f"near-duplicates: {twins.groups:,} groups hold {twins.pictures:,} pictures"]
    lines += [f"  {times:5,} groups of {size}" for size, times in twins.sizes.items()]
    lines += ["", f"split by group, seed {inspection.seed}:"]
    total = sum(part.pictures for part in inspection.split.values())
    for name, part in inspection.split.items():
        lines.append(f"  {name:10} {part.pictures:6,} pictures {part.pictures / total:6.1%}  ({_listed(part.labels)})")
        lines.append(f"  {'':10} {sum(part.faces.values()):6,} faces          ({_listed(part.faces)})")
    return "\n".join(lines)


def draw_sheet(samples: Sequence[Sample], path: Path, seed: int) -> None:
    """Writes a contact sheet (PNG) of random samples: boxes green masked, red not masked, yellow unknown.

    A picture that has a label of its own wears it as a frame.

    Raises:
        DataError: a sample that cannot be decoded, or a place that cannot be written.
    """
    chosen = random.Random(seed).sample(samples, min(len(samples), _SHEET_COLUMNS * _SHEET_ROWS))
    rows = -(-len(chosen) // _SHEET_COLUMNS)
    sheet = PILImage.new("RGB", (_SHEET_COLUMNS * _CELL_PX, rows * _CELL_PX), "white")
    for index, sample in enumerate(chosen):
        row, column = divmod(index, _SHEET_COLUMNS)
        sheet.paste(_cell(sample), (column * _CELL_PX, row * _CELL_PX))
    try:
        sheet.save(path, format="PNG")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}") from error


def _cell(sample: Sample) -> PILImage.Image:
    """One picture of the sheet with its boxes, on a square."""
    try:
        with PILImage.open(sample.path) as stored:
            picture = ImageOps.exif_transpose(stored).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{sample.path} is damaged: delete it, or fetch its data set again") from error
    inner_px = _CELL_PX - 12
    scale = inner_px / max(picture.size)
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    draw = ImageDraw.Draw(picture)
    for face in sample.boxes:
        box = face.box
        edges = (box.xmin * scale, box.ymin * scale, box.xmax * scale, box.ymax * scale)
        draw.rectangle(edges, outline=_COLOURS[face.label], width=2)
    frame = "white" if sample.label is None else _COLOURS[sample.label]
    cell = PILImage.new("RGB", (_CELL_PX - 4, _CELL_PX - 4), frame)
    cell.paste(PILImage.new("RGB", (inner_px, inner_px), "white"), (4, 4))
    cell.paste(picture, (4, 4))
    return cell


def _sorted(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def _banded(bands: Iterable[str], order: Sequence[str]) -> dict[str, int]:
    counts = Counter(bands)
    return {band: counts[band] for band in order}


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {word}" for word, number in counts.items())


def _bars(counts: dict[str, int]) -> list[str]:
    """A histogram in characters, the longest bar 40 wide."""
    most = max(counts.values(), default=0) or 1
    return [f"    {band:15} {number:6,} {'#' * round(40 * number / most)}".rstrip() for band, number in counts.items()]
