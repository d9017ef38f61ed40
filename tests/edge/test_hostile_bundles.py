"""Bundles made to do harm: whatever is in them, one BundleError and nothing written.

What breaks by accident, and the plainer lies, are in test_bundle.py; memory is in test_bundle_bombs.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile_zip import MANIFEST, End, Entry, entries_of, with_manifest, zip_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.bundle import open_bundle
from maskwatch.errors import BundleError
from maskwatch.manifest import parse_manifest, to_json
from maskwatch.strict_json import MAX_INTEGER
from tiny_models import tiny_manifest

WRITES = {
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "os.mkfifo", "os.utime", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect",
    "shutil.unpack_archive", "tempfile.mkstemp", "tempfile.mkdtemp",
}  # fmt: skip

seen: list[str] = []
watched: set[int] = set()
"""Threads whose doings are noted."""


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if threading.get_ident() not in watched:
        return
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        seen.append(f"open {arguments[0]!r} to write")
    if event in WRITES:
        seen.append(f"{event} {arguments!r}")


@pytest.fixture(scope="module", autouse=True)
def _audit() -> None:
    sys.addaudithook(_note)  # stays for the process, and then notes nothing


@contextmanager
def nothing_is_written() -> Iterator[None]:
    """Python itself tells of every file, folder and program that is opened, made or run meanwhile."""
    seen.clear()
    watched.add(threading.get_ident())
    try:
        yield
    finally:
        watched.clear()
    assert seen == [], seen


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working folder, three levels down in one where whatever climbs out would be seen."""
    top = tmp_path_factory.mktemp("hostile")
    inner = top / "a" / "b" / "c"
    inner.mkdir(parents=True)
    before = Path.cwd()
    os.chdir(inner)
    yield inner
    os.chdir(before)
    assert [path.name for path in sorted(top.rglob("*"))] == ["a", "b", "c", "x.maskwatch"]


@pytest.fixture(scope="module")
def sound(tiny_bundle_bytes: bytes) -> list[Entry]:
    return entries_of(tiny_bundle_bytes)


def opened(data: bytes, folder: Path) -> bool:
    """Whether a bundle of these bytes opens. Fails for anything but that, or one line of a BundleError."""
    path = folder / "x.maskwatch"
    path.write_bytes(data)
    with nothing_is_written():
        try:
            bundle = open_bundle(path)
        except BundleError as error:
            words = str(error)
        else:
            declared = {name: member.sha256 for name, member in bundle.manifest.members.items()}
            assert {name: hashlib.sha256(held).hexdigest() for name, held in bundle.members.items()} == declared
            return True
    assert words.startswith(f"{path}: ")
    assert words.isprintable()
    assert len(words) < 500
    return False


def test_what_is_written_is_noticed(folder: Path) -> None:
    with pytest.raises(AssertionError, match="to write"), nothing_is_written():
        (folder / "x.maskwatch").write_bytes(b"")


@pytest.mark.parametrize("end", [End(), End(big=True), End(comment=b"c" * 65535)])
def test_a_bundle_built_byte_by_byte_is_sound_in_itself(sound: list[Entry], end: End, folder: Path) -> None:
    """Without this the cases below might be refused for the way they are built."""
    assert opened(zip_bytes(sound, end), folder)
    assert opened(zip_bytes(sound, end, prefix=b"#!/bin/sh\n"), folder)


# The ZIP

NAMES = st.sampled_from(
    [
        b"../x", b"../../../../../../tmp/x", b"/etc/passwd", b"a/../../x", b"..\\x", b"C:\\x", b"\\\\host\\x", b".",
        b"..", b"", b"/", b"a//b", b"x\0y", b"manifest.json\0", b"MANIFEST.JSON", b"manifest.json", b"finder.tflite",
        b"FINDER.tflite", b"finder.tflite ", b"finder.tflite.", b"-rf", b"~root", b"$HOME", b"%2e%2e%2f", b"CON",
        b"a\n", b"\x1b[2J", "ﬁnder.tflite".encode(), "\u202egpj".encode(), "e\u0301".encode(), b"\xff\xfe",
        b"n" * 60000,
    ]
) | st.binary(max_size=12)  # fmt: skip
NUMBERS = st.sampled_from([0, 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1])
LIES = st.none() | NUMBERS | st.integers(0, 40_000)


def field(kind: int, content: bytes) -> bytes:
    """An extra field."""
    return kind.to_bytes(2, "little") + len(content).to_bytes(2, "little") + content


EXTRAS = st.one_of(
    st.just(b""),
    st.lists(NUMBERS, min_size=1, max_size=3).map(
        lambda numbers: field(1, b"".join(number.to_bytes(8, "little") for number in numbers))  # ZIP64
    ),
    NAMES.map(lambda name: field(0x7075, b"\1" + zlib.crc32(b"x").to_bytes(4, "little") + name[:100])),  # another name
    st.binary(max_size=20),
)


@st.composite
def entries(draw: st.DrawFn, sound: Sequence[Entry]) -> list[Entry]:
    """The sound members, most of them, one or two with lies about them, and some that should not be there."""
    result = list(sound)
    result += draw(st.lists(st.builds(Entry, NAMES, st.binary(max_size=50)), max_size=2))
    result = list(draw(st.permutations(result)))[draw(st.sampled_from([0, 0, 0, 1])) :]
    for place in draw(st.lists(st.integers(0, len(result) - 1), max_size=2)):
        entry = result[place]
        if draw(st.booleans()):
            entry = replace(entry, content=zlib.compress(bytes(draw(st.sampled_from([0, 9, 100_000]))), wbits=-15))
        result[place] = replace(
            entry,
            local_name=draw(st.none() | NAMES),
            size=draw(LIES),
            packed_size=draw(LIES),
            offset=draw(LIES),
            crc=draw(st.none() | st.integers(0, 2**32 - 1)),
            method=draw(st.sampled_from([0, 0, 0, 1, 8, 9, 12, 14, 93, 99, 65535])),
            flags=draw(st.sampled_from([0, 0, 0, 1, 8, 32, 64, 0x800, 65535])),
            attributes=draw(st.sampled_from([0, 0o120777 << 16, 0o010644 << 16, 0o040755 << 16, 0x10, 2**32 - 1])),
            version=draw(st.sampled_from([20, 45, 63, 64, 65535])),
            extra=draw(EXTRAS),
            comment=draw(st.binary(max_size=5)),
        )
    if draw(st.booleans()):
        result.append(draw(st.sampled_from(result)))
    return result


ENDS = st.builds(
    End,
    count=st.none() | st.integers(0, 65535),
    size=st.one_of(st.none(), st.none(), LIES),
    offset=st.one_of(st.none(), st.none(), LIES),
    comment=st.just(b"") | st.binary(max_size=30),
    big=st.booleans(),
)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_zip_that_lies_is_a_bundle_error(sound: list[Entry], folder: Path, data: st.DataObject) -> None:
    prefix = data.draw(st.just(b"") | st.binary(max_size=30))
    opened(zip_bytes(data.draw(entries(sound)), data.draw(ENDS), prefix), folder)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_one_lie_about_one_member_never_changes_what_is_read(
    sound: list[Entry], folder: Path, data: st.DataObject
) -> None:
    """`opened` compares each member with its hash, so an entry that points elsewhere cannot pass."""
    place = data.draw(st.integers(0, len(sound) - 1))
    content = bytearray(sound[place].content)
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    lie = data.draw(
        st.one_of(
            st.just({"content": bytes(content)}),
            st.fixed_dictionaries({"offset": LIES}),
            st.fixed_dictionaries({"size": LIES, "packed_size": LIES}),
            st.fixed_dictionaries({"local_name": NAMES}),
            st.fixed_dictionaries({"extra": EXTRAS, "offset": st.just(2**32 - 1)}),
        )
    )
    opened(zip_bytes([replace(entry, **lie) if entry is sound[place] else entry for entry in sound]), folder)


def test_a_member_that_lies_beyond_what_can_be_addressed(sound: list[Entry], folder: Path) -> None:
    """It ended in an OverflowError, which nobody expected of zipfile."""
    far = replace(sound[0], offset=2**32 - 1, extra=field(1, (2**64 - 1).to_bytes(8, "little")))
    assert not opened(zip_bytes([far, *sound[1:]]), folder)


# The manifest

VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        None, True, -1, 0, -0.0, 1e308, 5e-324, 2**31, MAX_INTEGER, MAX_INTEGER + 1, 10**400, float("nan"),
        float("inf"), -float("inf"), "", "\0", "../x", "x" * 100_000, "\ud800", "\u202e", [], [[]], {},
        {"": 0}, {"__proto__": {}}, ["x"] * 5000, {str(number): 0 for number in range(2000)},
    ]
) | st.recursive(st.none() | st.integers() | st.floats() | st.text(max_size=8), st.lists, max_leaves=8)  # fmt: skip
TEXTS = (
    "NaN", "-Infinity", "1e999999999", "-1E+400", "9" * 20_000, "0." + "0" * 20_000 + "1", "01", "0x10", "'x'", "//",
    '{"a":1,"a":1}', '"\\ud800\\ud800"', '"\\u0000"', '"\x00"', "\ufeff1", "[" * 99_999, '{"a":' * 99_999,
)  # fmt: skip


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a JSON value."""
    yield way
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*way, key))


def put(value: Any, way: tuple[Any, ...], new: Any) -> Any:
    """The value with something else at one place."""
    if not way:
        return new
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    changed = {key: put(item, way[1:], new) if key == way[0] else item for key, item in pairs}
    return changed if isinstance(value, dict) else list(changed.values())


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_hostile_manifest_is_a_bundle_error(sound: list[Entry], folder: Path, data: st.DataObject) -> None:
    (text,) = (entry.content for entry in sound if entry.name == MANIFEST)
    plain = json.loads(text)
    way = data.draw(st.sampled_from(list(places(plain))))
    marker = "\x7fhere\x7f"
    if data.draw(st.booleans()):
        hostile = json.dumps(put(plain, way, data.draw(VALUES))).encode()
    else:
        new = data.draw(st.sampled_from(TEXTS)).encode()
        hostile = json.dumps(put(plain, way, marker)).encode().replace(json.dumps(marker).encode(), new)
    opened(with_manifest(sound, hostile), folder)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_manifest_with_keys_that_nobody_knows_or_misses_some(
    sound: list[Entry], folder: Path, data: st.DataObject
) -> None:
    (text,) = (entry.content for entry in sound if entry.name == MANIFEST)
    plain = json.loads(text)
    tables = [way for way in places(plain) if isinstance(_at(plain, way), dict)]
    way = data.draw(st.sampled_from(tables))
    table = dict(_at(plain, way))
    key = data.draw(st.sampled_from([*table, "\n", "a" * 500, "é\u202e", "__class__", "sha256"]))
    table = {name: item for name, item in table.items() if name != key} if key in table else table | {key: 0}
    opened(with_manifest(sound, json.dumps(put(plain, way, table)).encode()), folder)


def _at(value: Any, way: tuple[Any, ...]) -> Any:
    for key in way:
        value = value[key]
    return value


@pytest.mark.parametrize("key", ["name", "schema_version", "finder", "members", "golden", "report", "more"])
@pytest.mark.parametrize(("start", "stop"), [("[", "]"), ('{"a":', "}")])
def test_json_nested_to_any_depth_is_a_bundle_error(key: str, start: str, stop: str) -> None:
    """Just above where the reader gave up, the message's own writer did, with a RecursionError."""
    text = json.dumps(json.loads(to_json(tiny_manifest())) | {key: "here"})

    def refusal(depth: int) -> str:
        with pytest.raises(BundleError) as caught:
            parse_manifest(text.replace('"here"', start * depth + "1" + stop * depth).encode())
        return str(caught.value)

    shallow, deep = 20, 150_000
    while deep - shallow > 1:
        middle = (shallow + deep) // 2
        if "JSON is nested too deeply" in refusal(middle):
            deep = middle
        else:
            shallow = middle
    for depth in range(max(20, deep - 60), deep + 5):
        assert refusal(depth).isprintable()
