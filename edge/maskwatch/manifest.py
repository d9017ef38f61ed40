"""The bundle's manifest: all that the edge knows of its networks. Sizes, labels and thresholds live only here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from maskwatch.errors import BundleError
from maskwatch.strict_json import MAX_INTEGER, Between, Pattern, SchemaError, loads, read, shown
from maskwatch.types import Label

SCHEMA_VERSION = 1
"""The only schema this Maskwatch reads and writes."""

MAX_MANIFEST_BYTES = 1024 * 1024
"""A manifest is some tens of kilobytes; more is a mistake or an attack."""

HISTOGRAM_BINS = 20
"""Bins of every reference histogram, over 0 to 1; drift is compared bin by bin."""

# Member names are flat: no folder, so no path can lead out of the place a bundle is unpacked to.
_MEMBER_NAME = Pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "a file name of letters, digits, '.', '_' and '-'")
_MODEL_NAME = Pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,92}\.tflite", "a .tflite file name")
_WORD = Pattern(r"[a-z][a-z0-9_-]{0,39}", "a word of small letters, digits, '_' and '-'")
_SHA256 = Pattern(r"[0-9a-f]{64}", "a SHA-256 in 64 hexadecimal digits")
_NUMBER = r"(0|[1-9][0-9]{0,5})"
_RATIO = Between(0, 1)
_TEMPERATURE = Between(0, 1000, above=True)
_SIDE_PX = Between(8, 4096)
Histogram = Annotated[tuple[Annotated[int, Between(0, MAX_INTEGER)], ...], Between(HISTOGRAM_BINS, HISTOGRAM_BINS)]


@dataclass(frozen=True, slots=True)
class FinderSpec:
    """The face finder: its file, its input height×width×3, and how its outputs are decoded.

    `strides` are the input pixels per cell of each output level; logits are divided by `temperature`; boxes that score
    below `score_threshold` are dropped, and so are those that overlap a better one by more than `iou_threshold`. Where
    the classifier looks at a face a second time, this is the lower threshold of what is worth that look.
    """

    file: Annotated[str, _MODEL_NAME]
    height_px: Annotated[int, _SIDE_PX]
    width_px: Annotated[int, _SIDE_PX]
    strides: Annotated[tuple[Annotated[int, Between(1, 256)], ...], Between(1, 8)]
    temperature: Annotated[float, _TEMPERATURE]
    score_threshold: Annotated[float, _RATIO]
    iou_threshold: Annotated[float, _RATIO]


@dataclass(frozen=True, slots=True)
class SecondLookSpec:
    """How two networks' words that this is a face become one score, and from which score on it counts.

    The log-odds of a face are the finder's, at its temperature, plus `weight` × the classifier's face logit + `bias`.
    """

    weight: Annotated[float, Between(0, 1000)]
    bias: Annotated[float, Between(-1000, 1000)]
    score_threshold: Annotated[float, _RATIO]


@dataclass(frozen=True, slots=True)
class ClassifierSpec:
    """The mask classifier: its file, its input size×size×3, and how its output becomes P(mask worn properly).

    A face is cut as a square with `margin_ratio` of surroundings. `output` is one logit of with_mask; or that and the
    logit of a face being there at all, which `second_look` weighs; or one probability for each of `labels`. `threshold`
    is the probability from which on a face counts as masked; `whole_picture` says that the network was trained to
    judge a whole picture too.
    """

    file: Annotated[str, _MODEL_NAME]
    architecture: Annotated[str, _WORD]
    size_px: Annotated[int, _SIDE_PX]
    margin_ratio: Annotated[float, Between(0, 4)]
    labels: Annotated[tuple[str, ...], Between(2, 2)]
    output: Literal["logit", "mask_and_face_logits", "probabilities"]
    temperature: Annotated[float, _TEMPERATURE]
    threshold: Annotated[float, _RATIO]
    whole_picture: bool
    second_look: SecondLookSpec | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the bundle."""

    size_bytes: Annotated[int, Between(1, 32 * 1024 * 1024)]
    sha256: Annotated[str, _SHA256]


@dataclass(frozen=True, slots=True)
class GoldenVector:
    """One input, made from `seed`, and the digest of what the member's raw outputs must be; see `golden.py`."""

    member: Annotated[str, _MODEL_NAME]
    seed: Annotated[str, _WORD]
    outputs_sha256: Annotated[str, _SHA256]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest as a whole.

    `made_at` is ISO 8601 in UTC, to the second. `report` (accuracy) and `training` (data and code identity) are free
    JSON for people and tools. `reference_histograms` count the int8 networks' own outputs over 0 to 1, for drift.
    Building one checks nothing; `parse_manifest(to_json(manifest))` checks all.
    """

    name: Annotated[str, Pattern(r"(?=.{1,40}$)[a-z][a-z0-9]*(-[a-z0-9]+)*", "a name like 'masknet' or 'door-2'")]
    version: Annotated[str, Pattern(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}", "a version like '1.4.0'")]
    made_at: Annotated[str, Pattern(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "a UTC time like '2025-01-31T12:00:00Z'")]
    finder: FinderSpec | None
    classifier: ClassifierSpec
    members: Annotated[Mapping[str, Member], _MEMBER_NAME, Between(1, 30)]
    report: Mapping[str, object]
    training: Mapping[str, object]
    reference_histograms: Annotated[Mapping[str, Histogram], _WORD, Between(0, 32)]
    golden: Annotated[tuple[GoldenVector, ...], Between(0, 64)]
    schema_version: Literal[1] = 1


def parse_manifest(text: bytes) -> Manifest:
    """Read `manifest.json`. Raises BundleError, naming the key, unless every part is known, there and within bounds."""
    try:
        return _parse(text)
    except SchemaError as error:
        raise BundleError(f"manifest.json: {error}") from error


def to_json(manifest: Manifest) -> bytes:
    """Write a manifest as readable ASCII JSON with sorted keys; equal manifests give equal bytes.

    Raises ValueError for NaN and infinity.
    """
    plain = dataclasses.asdict(manifest)
    return (json.dumps(plain, indent=1, sort_keys=True, allow_nan=False) + "\n").encode("ascii")


def utc_text(moment: datetime) -> str:
    """An aware moment as `made_at` writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parse(text: bytes) -> Manifest:
    if len(text) > MAX_MANIFEST_BYTES:
        raise SchemaError(f"{len(text)} bytes, more than {MAX_MANIFEST_BYTES}")
    plain = loads(text)
    if not isinstance(plain, dict):
        raise SchemaError(f"{shown(plain)}, must be an object")
    if "schema_version" not in plain:
        raise SchemaError("schema_version: missing")
    schema = plain["schema_version"]
    if type(schema) is int and schema != SCHEMA_VERSION:  # before all else: other schemas have other keys
        remedy = (
            "update Maskwatch on this machine"
            if schema > SCHEMA_VERSION
            else "make the bundle anew with this Maskwatch"
        )
        raise SchemaError(f"made for schema {schema}; this Maskwatch reads {SCHEMA_VERSION}: {remedy}")
    manifest = read(Manifest, plain)
    _check_across(manifest)
    return manifest


def _check_across(manifest: Manifest) -> None:
    """What no single field can tell."""
    try:
        datetime.fromisoformat(manifest.made_at)
    except ValueError as error:
        raise SchemaError(f"made_at: {manifest.made_at} is no date") from error
    if set(manifest.classifier.labels) != {label.value for label in Label}:
        raise SchemaError(
            "classifier.labels: must be without_mask and with_mask, in the order of the network's outputs"
        )
    if (manifest.classifier.second_look is not None) != (manifest.classifier.output == "mask_and_face_logits"):
        raise SchemaError(
            "classifier.second_look: must be given where output is mask_and_face_logits, and null elsewhere"
        )
    if "manifest.json" in manifest.members:
        raise SchemaError("members.manifest.json: a manifest cannot list itself")
    wanted = {"classifier.file": manifest.classifier.file}
    if manifest.finder is not None:
        wanted["finder.file"] = manifest.finder.file
    wanted |= {f"golden[{index}].member": vector.member for index, vector in enumerate(manifest.golden)}
    for key, file in wanted.items():
        if file not in manifest.members:
            raise SchemaError(f"{key}: {file} is not among the members")
