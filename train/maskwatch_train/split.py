"""Parts samples into train, validation and test by group of near-duplicates: a pure function of data and seed."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maskwatch_train.grouping import group_samples
from maskwatch_train.index import DETECTION, Sample, read_data
from maskwatch_train.recipes import DEFAULT_SEED

TRAIN_SHARE: Final = 0.70
VALIDATION_SHARE: Final = 0.15

Stratum = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """The three parts, each sorted by name; no group of near-duplicates reaches into two of them."""

    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]


def load_split(root: Path, seed: int = DEFAULT_SEED, cache: Path | None = None, faces_csv: Path | None = None) -> Split:
    """The split of the data under `root`: the same for the same files and seed, whatever order they are listed in.

    Grouping needs every picture's hash; `cache` (a file, see `default_cache`) keeps them between runs.

    Raises:
        DataError: see `read_data` and `group_samples`.
    """
    samples = read_data(root, faces_csv)
    return split_groups(samples, group_samples(samples, cache), seed)


def split_groups(samples: Sequence[Sample], groups: Sequence[Sequence[int]], seed: int) -> Split:
    """Deals whole groups out 70 / 15 / 15 in each stratum of source, label and size, in an order set by the seed."""
    strata: dict[Stratum, list[list[Sample]]] = {}
    for group in groups:
        members = sorted((samples[index] for index in group), key=lambda sample: sample.name)
        strata.setdefault(_group_stratum(members), []).append(members)
    parts: tuple[list[Sample], list[Sample], list[Sample]] = ([], [], [])
    for dealt in strata.values():
        dealt.sort(key=lambda members: hashlib.sha256(f"{seed}:{members[0].name}".encode()).digest())
        total = sum(map(len, dealt))
        before = 0
        for members in dealt:
            # A group goes where its middle lies on the line of all samples, so that a large one can't tip the shares.
            middle = (before + len(members) / 2) / total
            parts[(middle > TRAIN_SHARE) + (middle > TRAIN_SHARE + VALIDATION_SHARE)].extend(members)
            before += len(members)
    return Split(*(tuple(sorted(part, key=lambda sample: sample.name)) for part in parts))


def data_identity(samples: Sequence[Sample]) -> str:
    """SHA-256 (hex) over the names, sizes in bytes and boxes of all samples: whether two runs saw the same data.

    Boxes count because groups, and so the split, hang on the faces in them.
    """
    digest = hashlib.sha256()
    for sample in sorted(samples, key=lambda sample: sample.name):
        boxes = [(face.box, face.label) for face in sample.boxes]
        digest.update(f"{sample.name}\0{sample.path.stat().st_size}\0{boxes!r}\n".encode())
    return digest.hexdigest()


def default_cache() -> Path:
    """The user's own file for hashes, by the XDG rules."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "maskwatch" / "hashes.npz"


def _group_stratum(members: Sequence[Sample]) -> Stratum:
    """The stratum that most members share; the first by name where that is a draw."""
    counts = Counter(_stratum(sample) for sample in members)
    return min(counts, key=lambda stratum: (-counts[stratum], stratum))


def _stratum(sample: Sample) -> Stratum:
    """A picture's kind: its label, or the rarest kind of face in it, so that rare ones reach every part."""
    if sample.source == DETECTION:
        names = {face.name for face in sample.boxes}
        rarest = next(
            (name for name in ("mask_weared_incorrect", "without_mask", "with_mask") if name in names), "none"
        )
        return (sample.source, rarest)
    return (sample.source, str(sample.label), sample.size_band)
