from __future__ import annotations

import copy
import dataclasses
import json
import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.errors import BundleError
from maskwatch.manifest import (
    ClassifierSpec,
    FinderSpec,
    GoldenVector,
    Manifest,
    Member,
    SecondLookSpec,
    parse_manifest,
    to_json,
    utc_text,
)
from tiny_models import tiny_manifest

MEMBERS = {name: Member(10, "ab" * 32) for name in ("finder.tflite", "classifier.tflite", "MODEL_CARD.md")}
MANIFEST = tiny_manifest(members=MEMBERS, golden=(GoldenVector("finder.tflite", "one", "cd" * 32),))


SECOND_LOOK = SecondLookSpec(0.7, -1.5, 0.45)
LOOKS = dataclasses.asdict(SECOND_LOOK)
LOOKING_TWICE = dataclasses.replace(
    MANIFEST,
    classifier=dataclasses.replace(MANIFEST.classifier, output="mask_and_face_logits", second_look=SECOND_LOOK),
)


def plain() -> dict[str, Any]:
    return json.loads(to_json(MANIFEST))


def parse(value: object) -> Manifest:
    return parse_manifest(json.dumps(value).encode())


def changed(path: str, value: object) -> dict[str, Any]:
    """The plain manifest with one value replaced or added; `path` is keys and indices, joined by slashes."""
    result = plain()
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    target: Any = result
    for part in parents:
        target = target[part]
    target[last] = value
    return result


@pytest.mark.parametrize("manifest", [MANIFEST, LOOKING_TWICE], ids=["one logit", "two logits"])
def test_what_is_written_is_read_back_the_same(manifest: Manifest) -> None:
    assert parse_manifest(to_json(manifest)) == manifest


def test_equal_manifests_are_written_as_equal_bytes() -> None:
    shuffled = dataclasses.replace(MANIFEST, members=dict(reversed(MEMBERS.items())))
    assert list(shuffled.members) != list(MANIFEST.members)
    assert to_json(shuffled) == to_json(MANIFEST)


def test_a_bundle_may_have_no_finder() -> None:
    assert parse(changed("finder", None)).finder is None


def test_whole_numbers_serve_as_numbers() -> None:
    temperature = parse(changed("classifier/temperature", 2)).classifier.temperature
    assert (temperature, type(temperature)) == (2.0, float)


CLASSIFIERS = st.builds(
    ClassifierSpec,
    file=st.just("classifier.tflite"),
    architecture=st.from_regex(r"[a-z][a-z0-9_-]{0,39}", fullmatch=True),
    size_px=st.integers(8, 4096),
    margin_ratio=st.floats(0, 4),
    labels=st.permutations(["with_mask", "without_mask"]).map(tuple),
    output=st.sampled_from(["logit", "probabilities"]),
    temperature=st.floats(0, 1000, exclude_min=True),
    threshold=st.floats(0, 1),
    whole_picture=st.booleans(),
    second_look=st.none(),
)
SECOND_LOOKS = st.builds(
    SecondLookSpec, weight=st.floats(0, 1000), bias=st.floats(-1000, 1000), score_threshold=st.floats(0, 1)
)


@given(
    st.builds(
        FinderSpec,
        file=st.just("finder.tflite"),
        height_px=st.integers(8, 4096),
        width_px=st.integers(8, 4096),
        strides=st.lists(st.integers(1, 256), min_size=1, max_size=8).map(tuple),
        temperature=st.floats(0, 1000, exclude_min=True),
        score_threshold=st.floats(0, 1),
        iou_threshold=st.floats(0, 1),
    ),
    CLASSIFIERS
    | st.builds(dataclasses.replace, CLASSIFIERS, output=st.just("mask_and_face_logits"), second_look=SECOND_LOOKS),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc é", max_size=9), inner, max_size=3),
        max_leaves=10,
    ),
)
def test_every_valid_manifest_survives_the_round_trip(
    finder: FinderSpec, classifier: ClassifierSpec, free: object
) -> None:
    manifest = dataclasses.replace(MANIFEST, finder=finder, classifier=classifier, report={"free": free})
    assert parse_manifest(to_json(manifest)) == manifest


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("colour", 1, "colour: unknown key"),
        ("finder/colour", 1, "finder.colour: unknown key"),
        ("finder/height_px", 7, "finder.height_px: 7, must be ≥ 8"),
        ("finder/height_px", 5000, "finder.height_px: 5000"),
        ("finder/height_px", 192.0, "finder.height_px: 192.0, must be a whole number"),
        ("finder/height_px", True, "finder.height_px: True, must be a whole number"),
        ("finder/strides", [], "finder.strides: 0 items"),
        ("finder/strides", [8, "16"], r"finder.strides\[1\]: '16', must be a whole number"),
        ("finder/strides", 8, "finder.strides: 8, must be a list"),
        ("finder/temperature", 0, "finder.temperature: 0.*> 0"),
        ("finder/score_threshold", 1.01, "finder.score_threshold: 1.01"),
        ("finder/iou_threshold", -0.1, "finder.iou_threshold: -0.1"),
        ("finder/iou_threshold", None, "finder.iou_threshold: None, must be a number"),
        ("finder/file", "../finder.tflite", "finder.file: '../finder.tflite' is not a .tflite file name"),
        ("finder/file", "other.tflite", "finder.file: other.tflite is not among the members"),
        ("finder", [], r"finder: \[\], must be an object"),
        ("classifier", None, "classifier: None, must be an object"),
        ("classifier/file", "MODEL_CARD.md", "classifier.file"),
        ("classifier/output", "softmax", "classifier.output: 'softmax', must be one of logit, mask_and_face_logits"),
        ("classifier/second_look", {**LOOKS, "weight": -0.1}, "classifier.second_look.weight: -0.1, must be ≥ 0"),
        ("classifier/second_look", {**LOOKS, "bias": 1001}, "classifier.second_look.bias: 1001"),
        ("classifier/second_look", {**LOOKS, "score_threshold": 2}, "classifier.second_look.score_threshold: 2"),
        ("classifier/second_look", {**LOOKS, "third": 0}, "classifier.second_look.third: unknown key"),
        ("classifier/second_look", {"weight": 1}, "classifier.second_look.bias: missing"),
        ("classifier/second_look", [], r"classifier.second_look: \[\], must be an object"),
        ("classifier/second_look", LOOKS, "classifier.second_look: must be given where output is mask_and_face_logits"),
        ("classifier/output", "mask_and_face_logits", "classifier.second_look: must be given where output is mask_"),
        ("classifier/labels", ["without_mask", "mask"], "classifier.labels: must be"),
        ("classifier/labels", ["with_mask"], "classifier.labels: 1 items"),
        ("classifier/whole_picture", 1, "classifier.whole_picture: 1, must be true or false"),
        ("classifier/architecture", "Mask Net", "classifier.architecture: 'Mask Net'"),
        ("name", "Tiny", "name: 'Tiny' is not a name"),
        ("name", "a" * 41, "name: "),
        ("name", "tiny\n", "name: "),
        ("version", "1.2", "version: '1.2' is not a version"),
        ("version", "1.02.0", "version: '1.02.0'"),
        ("made_at", "2025-01-31", "made_at: '2025-01-31' is not a UTC time"),
        ("made_at", "2025-02-31T12:00:00Z", "made_at: 2025-02-31T12:00:00Z is no date"),
        ("members", {}, "members: 0 items"),
        ("members/..", {"size_bytes": 1, "sha256": "ab" * 32}, r"members: '\.\.' is not a file name"),
        ("members/manifest.json", {"size_bytes": 1, "sha256": "ab" * 32}, "members.manifest.json: a manifest cannot"),
        ("members/MODEL_CARD.md/sha256", "AB" * 32, "members.MODEL_CARD.md.sha256"),
        ("members/MODEL_CARD.md/size_bytes", 0, "members.MODEL_CARD.md.size_bytes: 0"),
        ("members/MODEL_CARD.md/size_bytes", 2**40, "members.MODEL_CARD.md.size_bytes"),
        ("report", "good", "report: 'good', must be an object"),
        ("report/\x1b[2J", 1, "unprintable"),
        ("reference_histograms/mask", [0] * 19, "reference_histograms.mask: 19 items"),
        ("reference_histograms/mask/3", -1, r"reference_histograms.mask\[3\]: -1"),
        ("golden/0/member", "absent.tflite", r"golden\[0\].member: absent.tflite is not among the members"),
        ("golden/0/outputs_sha256", "", r"golden\[0\].outputs_sha256"),
        ("schema_version", "1", "schema_version: '1'"),
        ("schema_version", True, "schema_version: True"),
    ],
)
def test_a_bad_value_names_its_key(path: str, value: object, message: str) -> None:
    with pytest.raises(BundleError, match=rf"^manifest\.json: .*{message}") as caught:
        parse(changed(path, value))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Manifest)])
def test_a_missing_key_is_named(name: str) -> None:
    value = plain()
    del value[name]
    with pytest.raises(BundleError, match=f"{name}: missing"):
        parse(value)


def test_what_was_written_before_there_was_a_second_look_still_opens() -> None:
    """Bundles of version 0.2.0 and before have no such key."""
    value = plain()
    del value["classifier"]["second_look"]
    assert parse(value) == MANIFEST


def test_two_logits_without_a_second_look_are_refused_however_it_is_left_out() -> None:
    value = json.loads(to_json(LOOKING_TWICE))
    del value["classifier"]["second_look"]
    with pytest.raises(BundleError, match=r"classifier\.second_look: must be given"):
        parse(value)


@pytest.mark.parametrize(
    "name", [field.name for field in dataclasses.fields(ClassifierSpec) if field.name != "second_look"]
)
def test_no_other_key_of_a_classifier_may_be_left_out(name: str) -> None:
    value = plain()
    del value["classifier"][name]
    with pytest.raises(BundleError, match=rf"classifier\.{name}: missing"):
        parse(value)


def test_an_object_without_a_schema_is_told_so_first() -> None:
    with pytest.raises(BundleError, match=r"^manifest\.json: schema_version: missing$"):
        parse({"shape": "unheard of"})


@pytest.mark.parametrize(("schema", "remedy"), [(2, "update Maskwatch"), (0, "make the bundle anew")])
def test_another_schema_says_what_to_do_even_if_nothing_else_fits(schema: int, remedy: str) -> None:
    with pytest.raises(BundleError, match=f"made for schema {schema}; this Maskwatch reads 1: {remedy}"):
        parse({"schema_version": schema, "shape": "unheard of"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "must be an object"),
        (b'"' + b"x" * 100 + b'"', "must be an object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"report": ' + b"[" * 900 + b"]" * 900 + b"}", "missing|nested too deeply"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too large"),
        (b'{"a": 9007199254740993}', "too large"),
        (b'{"a": 1, "a": 2}', "'a': given twice"),
        (b" " * (1024 * 1024 + 1), "more than 1048576"),
    ],
)
def test_text_that_is_no_strict_json_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        parse_manifest(text)


def test_a_report_nested_too_deeply_is_refused() -> None:
    nested: Any = 1
    for _ in range(20):
        nested = [nested]
    with pytest.raises(BundleError, match=r"report\.deep.*nested too deeply"):
        parse(changed("report/deep", nested))


def test_infinity_is_never_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json(dataclasses.replace(MANIFEST, report={"loss": math.inf}))


def test_made_at_is_utc() -> None:
    assert utc_text(datetime(2025, 1, 31, 13, tzinfo=timezone(timedelta(hours=1)))) == "2025-01-31T12:00:00Z"


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside a JSON value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key in keys for place in places(value[key], (*path, key))]


@given(
    st.sampled_from(places(plain())),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]) | st.just({}) | st.just([[1]]),
)
def test_whatever_stands_in_a_value_s_place_is_accepted_or_a_bundle_error(
    place: tuple[Any, ...], value: object
) -> None:
    manifest = copy.deepcopy(plain())
    target: Any = manifest
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    try:
        parsed = parse(manifest)
    except BundleError as error:
        message = str(error)
    else:
        message = "manifest.json: none"
        assert parse_manifest(to_json(parsed)) == parsed
    assert message.startswith("manifest.json: ")
    assert message.isprintable()


@given(st.binary(max_size=200))
def test_random_bytes_are_a_bundle_error(text: bytes) -> None:
    with pytest.raises(BundleError):
        parse_manifest(text)
