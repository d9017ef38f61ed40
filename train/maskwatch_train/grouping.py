"""Finds near-duplicates over all samples by perceptual hash, so that a split can keep them together."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from maskwatch.errors import DataError
from PIL import Image as PILImage
from PIL import ImageOps

from maskwatch_train.index import Sample

logger = logging.getLogger(__name__)

COARSE_RADIUS_BITS: Final = 8
"""Of 64: the pictures agree in their large shapes. On its own it merges different people's face crops."""
LOOSE_FINE_RADIUS_BITS: Final = 80
"""Of 256: agreement in detail that is asked for on top of the coarse one."""
TIGHT_FINE_RADIUS_BITS: Final = 58
"""Of 256: agreement in detail that is enough by itself.

All three radii were set by looking at pairs of the Kaggle sets: nearly all below 58 are one shot, and so are most up to
80 where the coarse hashes agree too; beyond, false pairs double in number every two bits. The largest group has 8.
"""

MIN_FACE_HEIGHT_PX: Final = 24
"""Smaller faces carry too little to tell one shot from another."""

_SIDE_PX: Final = 64
_FLAT_DEVIATION: Final = 3.0
_WORDS: Final = 5
_VERSION: Final = "1"

Hashes = npt.NDArray[np.uint64]
"""N×2×5: N pictures (the whole one, then its faces), as they are and mirrored, one coarse word and four fine ones."""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Hashes of all samples in one array; `owners` (N) holds each row's index into the samples."""

    hashes: Hashes
    owners: npt.NDArray[np.int64]


def group_samples(samples: Sequence[Sample], cache: Path | None = None) -> tuple[tuple[int, ...], ...]:
    """Groups of near-duplicates, as ascending indices into `samples`, ordered by their first; most hold one sample.

    Two samples belong together where the whole pictures or any two of their faces are one shot, also at another size,
    another crop or mirrored. Reads every picture once; `cache` (a file) keeps the hashes for the next time.

    Raises:
        DataError: a picture that cannot be decoded.
    """
    leader = list(range(len(samples)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for one, other in near_pairs(fingerprint(samples, cache)):
        first, second = sorted((find(one), find(other)))
        leader[second] = first
    groups: dict[int, list[int]] = {}
    for index in range(len(samples)):
        groups.setdefault(find(index), []).append(index)
    return tuple(tuple(group) for group in groups.values())


def near_pairs(prints: Fingerprints) -> list[tuple[int, int]]:
    """Pairs of samples with rows within the radii, each pair of rows once; the lower row's sample comes first."""
    plain, mirrored, owners = prints.hashes[:, 0], prints.hashes[:, 1], prints.owners
    pairs: list[tuple[int, int]] = []
    for row in range(len(owners) - 1):
        for others in (plain[row + 1 :], mirrored[row + 1 :]):
            coarse = np.bitwise_count(others[:, 0] ^ plain[row, 0])
            # Beyond twice the coarse radius only strangers were seen; leaving them out here spares most of the work.
            near = np.flatnonzero((coarse <= 2 * COARSE_RADIUS_BITS) & (owners[row + 1 :] != owners[row]))
            fine = np.bitwise_count(others[near, 1:] ^ plain[row, 1:]).sum(axis=1, dtype=np.int64)
            loose = (coarse[near] <= COARSE_RADIUS_BITS) & (fine <= LOOSE_FINE_RADIUS_BITS)
            found = near[loose | (fine <= TIGHT_FINE_RADIUS_BITS)]
            pairs += [(int(owners[row]), int(owners[row + 1 + other])) for other in found]
    return pairs


def fingerprint(samples: Sequence[Sample], cache: Path | None = None) -> Fingerprints:
    """Hashes of every sample's picture and of its faces; shows progress on a terminal; memory holds hashes only."""
    from tqdm import tqdm

    keys = [_cache_key(sample) for sample in samples]
    known = _read_cache(cache) if cache is not None else {}
    todo = {key: sample for key, sample in zip(keys, samples, strict=True) if key not in known}
    if todo:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            hashed = pool.map(hash_sample, todo.values())
            bar = tqdm(hashed, "hashing pictures", len(todo), unit="picture", disable=None)
            known.update(zip(todo, bar, strict=True))
        if cache is not None:
            _write_cache(cache, {key: known[key] for key in keys})
    rows = [known[key] for key in keys]
    owners = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    return Fingerprints(np.concatenate([np.empty((0, 2, _WORDS), np.uint64), *rows]), owners)


def hash_sample(sample: Sample) -> Hashes:
    """Hashes of one picture and of those of its faces that are large enough; flat ones, all alike, are left out."""
    try:
        with PILImage.open(sample.path) as picture:
            grey = ImageOps.exif_transpose(picture).convert("L")
    except (OSError, SyntaxError, ValueError, PILImage.DecompressionBombError) as error:
        raise DataError(f"{sample.path} is damaged: delete it, or fetch its data set again") from error
    crops = [grey]
    for face in sample.boxes:
        if face.box.height >= MIN_FACE_HEIGHT_PX:
            box = face.box
            crops.append(grey.crop((round(box.xmin), round(box.ymin), round(box.xmax), round(box.ymax))))
    small = [crop.resize((_SIDE_PX, _SIDE_PX), PILImage.Resampling.BOX) for crop in crops]
    hashes = [
        (_hash(crop), _hash(ImageOps.mirror(crop))) for crop in small if np.asarray(crop).std() >= _FLAT_DEVIATION
    ]
    return np.array(hashes, np.uint64).reshape(-1, 2, _WORDS)


def _hash(grey: PILImage.Image) -> list[int]:
    """One 64-bit and one 256-bit perceptual hash, as five 64-bit words."""
    import imagehash

    words: list[int] = []
    for side in (8, 16):
        bits = np.packbits(imagehash.phash(grey, hash_size=side).hash)
        words += bits.view(">u8").tolist()
    return words


def _cache_key(sample: Sample) -> str:
    """Changes whenever the file or its boxes do."""
    facts = sample.path.stat()
    boxes = [face.box for face in sample.boxes]
    text = repr((_VERSION, str(sample.path), facts.st_size, facts.st_mtime_ns, boxes))
    return hashlib.sha256(text.encode()).hexdigest()


def _read_cache(path: Path) -> dict[str, Hashes]:
    """Hashes by key; empty where there is no cache yet, or a damaged one, which is then written anew."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            keys, counts, hashes = stored["keys"].tolist(), stored["counts"], stored["hashes"]
        return dict(zip(keys, np.split(hashes, np.cumsum(counts)[:-1]), strict=True)) if keys else {}
    except FileNotFoundError:
        return {}
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        logger.warning("%s is damaged and is made again: %s", path, error)
        return {}


def _write_cache(path: Path, entries: dict[str, Hashes]) -> None:
    """Replaces the cache as a whole, so that a reader meets the old one or the new one and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as stream:
        try:
            np.savez(
                stream,
                keys=np.array(list(entries), dtype="U64"),
                counts=np.array([len(rows) for rows in entries.values()], np.int64),
                hashes=np.concatenate(list(entries.values())),
            )
        except BaseException:
            Path(stream.name).unlink()
            raise
    Path(stream.name).replace(path)
