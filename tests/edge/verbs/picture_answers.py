"""The contract of `--json`, as `classify` and `detect` must keep it, and pictures to ask about."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from drawn import draw_background
from maskwatch.images import write_image

KEYS = ["path", "width", "height", "label", "score", "faces"]
FACE_KEYS = ["box", "score", "label", "mask"]
LABELS = {"with_mask", "without_mask"}


def drawn_picture(path: Path, seed: int = 0, height_px: int = 120, width_px: int = 160) -> Path:
    """A picture in which the tiny finder sees a few faces: seed 3 has one that scores more than 0.55."""
    write_image(path, draw_background(height_px, width_px, np.random.default_rng(seed)))
    return path


def checked(line: str, further_labels: frozenset[str] = frozenset(), further_keys: tuple[str, ...] = ()) -> dict:
    """One line of `--json`, held against every word of the contract."""
    assert line.isascii()
    record = json.loads(line, parse_constant=_refuse)
    assert list(record) == [*KEYS, *further_keys]
    assert type(record["path"]) is str
    assert type(record["width"]) is type(record["height"]) is int
    assert record["label"] in LABELS | further_labels
    assert is_ratio(record["score"])
    assert type(record["faces"]) is list
    for face in record["faces"]:
        assert list(face) == FACE_KEYS
        assert [type(edge) for edge in face["box"]] == [float] * 4
        xmin, ymin, xmax, ymax = face["box"]
        assert 0 <= xmin < xmax <= record["width"]
        assert 0 <= ymin < ymax <= record["height"]
        assert is_ratio(face["score"])
        assert is_ratio(face["mask"])
        assert face["label"] in LABELS
    return record


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def is_ratio(value: object) -> bool:
    return type(value) is float and 0 <= value <= 1
