"""Bundles made to fill a door's memory: refused with less than a quarter of what the smallest Pi has."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile_zip import MANIFEST, End, Entry, entries_of, overlapping_zip, with_manifest, zip_bytes
from maskwatch.bundle import MAX_BUNDLE_BYTES
from maskwatch.errors import BundleError, SignatureError
from maskwatch.manifest import MAX_MANIFEST_BYTES
from maskwatch.verbs import bundle as verb
from maskwatch_convert.pack import write_bundle
from real_command import maskwatch
from signing_keys import allow, make_key, needs_ssh_keygen, signature_of
from tiny_models import tiny_manifest, tiny_members

MAX_MEMORY_MB = 200
LIMIT_S = 60
HIGH_WATER = Path("/proc/self/status")

needs_high_water = pytest.mark.skipif(not HIGH_WATER.exists(), reason="no /proc tells how much memory a process had")


@pytest.fixture(scope="module")
def sound(tiny_bundle_bytes: bytes) -> list[Entry]:
    return entries_of(tiny_bundle_bytes)


def central_directory_of_empty_members(sound: list[Entry]) -> bytes:
    """700,000 members; each became an object before anyone counted them, 350 MB in all."""
    one = zip_bytes([Entry(b"a", b"")])
    one = one[one.index(b"PK\1\2") : one.index(b"PK\5\6")]
    count = (MAX_BUNDLE_BYTES - 22) // len(one)
    return one * count + zip_bytes([], End(count=count, size=count * len(one), offset=0))


def deflated(sound: list[Entry]) -> bytes:
    """100 MB of zeros in 100 kB, honest about it."""
    zeros = bytes(100_000_000)
    packed = zlib.compress(zeros, wbits=-15)
    return zip_bytes([*sound, Entry(b"zeros", packed, size=len(zeros), crc=zlib.crc32(zeros), method=8)])


def deflated_that_says_stored(sound: list[Entry]) -> bytes:
    packed = zlib.compress(bytes(100_000_000), wbits=-15)
    return zip_bytes([*sound, Entry(b"zeros", packed, size=100_000_000, packed_size=100_000_000)])


def overlapping(sound: list[Entry]) -> bytes:
    """28 members that share 30 MB: 840 MB to whoever reads them all."""
    return overlapping_zip(28, bytes(30_000_000))


def overlapping_within_the_file(sound: list[Entry]) -> bytes:
    """What they claim together is no more than the file is large."""
    return overlapping_zip(28, bytes(1_000_000), prefix=bytes(30_000_000))


def extra_fields(sound: list[Entry]) -> bytes:
    """As many empty fields as there is room for, in as many members as may be."""
    more = [Entry(b"m%d" % number, b"") for number in range(32 - len(sound))]
    return zip_bytes([replace(entry, extra=b"\x99\x99\0\0" * 16_383) for entry in [*sound, *more]])


def ends_without_number(sound: list[Entry]) -> bytes:
    return b"PK\5\6" * (MAX_BUNDLE_BYTES // 4)


def huge_directory(sound: list[Entry]) -> bytes:
    return zip_bytes(sound, End(size=30_000_000, offset=0), prefix=bytes(30_000_000))


def json_bomb(text: bytes) -> Callable[[list[Entry]], bytes]:
    return lambda sound: with_manifest(sound, text[:MAX_MANIFEST_BYTES])


def many_keys_one_of_them_twice(sound: list[Entry]) -> bytes:
    """The one that is twice was looked for by counting each, which took minutes."""
    keys = ",".join(f'"{number:x}":0' for number in range(100_000))
    return with_manifest(sound, ("{" + keys + ',"1869f":0}').encode())


def free_json(sound: list[Entry]) -> bytes:
    """A sound bundle, whose manifest is as large as it may be, with what costs most memory in a place that is free."""
    (text,) = (entry.content for entry in sound if entry.name == MANIFEST)
    start, stop = json.dumps(json.loads(text) | {"report": {"a": "here"}}).encode().split(b'"here"')
    room = MAX_MANIFEST_BYTES - len(start) - len(stop) - 10
    return with_manifest(sound, start + b"[" + b",".join([b"{}"] * (room // 3)) + b"]" + stop)


BOMBS: dict[str, Callable[[list[Entry]], bytes]] = {
    "700,000 members": central_directory_of_empty_members,
    "deflated": deflated,
    "deflated, says stored": deflated_that_says_stored,
    "overlapping": overlapping,
    "overlapping within the file": overlapping_within_the_file,
    "extra fields": extra_fields,
    "ends without number": ends_without_number,
    "huge directory": huge_directory,
    "entries without number": lambda sound: b"PK\1\2" * (MAX_BUNDLE_BYTES // 4),
    "deep lists": json_bomb(b"[" * MAX_MANIFEST_BYTES),
    "deep objects": json_bomb(b'{"":' * MAX_MANIFEST_BYTES),
    "many lists": json_bomb(b"[" + b"[]," * (MAX_MANIFEST_BYTES // 3 - 1) + b"0]"),
    "long number": json_bomb(b'{"a":' + b"9" * (MAX_MANIFEST_BYTES - 6) + b"}"),
    "long fraction": json_bomb(b'{"a":0.' + b"1" * (MAX_MANIFEST_BYTES - 8) + b"}"),
    "long text": json_bomb(b'{"a":"' + b"\\u0000" * (MAX_MANIFEST_BYTES // 6 - 2) + b'"}'),
    "many keys": many_keys_one_of_them_twice,
    "manifest of 30 MB": lambda sound: with_manifest(sound, b" " * 30_000_000),
}

MEASURED = """
import sys
from pathlib import Path
from maskwatch.bundle import open_bundle
from maskwatch.errors import BundleError
try:
    open_bundle(Path(sys.argv[1]))
    print("opened")
except BundleError:
    print("refused")
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


def outcome_and_memory_mb(path: Path) -> tuple[str, float]:
    """What a fresh process says of a bundle, and the most memory it ever had."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, path], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    outcome, kilobytes = done.stdout.split()
    return outcome, int(kilobytes) / 1024


@needs_high_water
@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_in_little_memory(kind: str, sound: list[Entry], tmp_path: Path) -> None:
    path = tmp_path / "bomb.maskwatch"
    data = BOMBS[kind](sound)
    assert len(data) <= MAX_BUNDLE_BYTES
    path.write_bytes(data)
    outcome, memory_mb = outcome_and_memory_mb(path)
    assert memory_mb < MAX_MEMORY_MB
    assert outcome == "refused"
    answer = maskwatch("bundle", "verify", path)
    assert (answer.code, answer.out) == (3, "")
    assert answer.fault().startswith(f"{path}: ")
    assert list(tmp_path.iterdir()) == [path]


@needs_high_water
def test_the_largest_bundles_that_open_take_little_memory_too(sound: list[Entry], tmp_path: Path) -> None:
    members = tiny_members() | {"MODEL_CARD.md": bytes(MAX_BUNDLE_BYTES - 200_000)}
    heavy = write_bundle(tmp_path, tiny_manifest(), members).path
    free = tmp_path / "free.maskwatch"
    free.write_bytes(free_json(sound))
    for path in (heavy, free):
        outcome, memory_mb = outcome_and_memory_mb(path)
        assert (path.name, outcome) == (path.name, "opened")
        assert memory_mb < MAX_MEMORY_MB


@needs_high_water
def test_a_file_that_claims_terabytes_is_read_no_further_than_a_bundle_goes(tmp_path: Path) -> None:
    path = tmp_path / "sparse.maskwatch"
    with path.open("wb") as file:
        file.truncate(2**40)
    outcome, memory_mb = outcome_and_memory_mb(path)
    assert outcome == "refused"
    assert memory_mb < MAX_MEMORY_MB


# With a signature


@pytest.fixture
def signers(tmp_path: Path) -> Path:
    return allow(tmp_path / "allowed_signers", "maria", make_key(tmp_path / "maria"))


def verify(path: Path, signers: Path) -> None:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    verb.run(parser.parse_args(["verify", "--allowed-signers", str(signers), str(path)]))


@needs_ssh_keygen
@pytest.mark.parametrize("kind", ["deflated", "overlapping", "many keys"])
def test_a_good_signature_makes_no_bomb_welcome(kind: str, sound: list[Entry], signers: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.maskwatch"
    path.write_bytes(BOMBS[kind](sound))
    Path(f"{path}.sig").write_bytes(signature_of(path.read_bytes(), tmp_path / "maria"))
    with pytest.raises(BundleError, match=f"^{path}: ") as caught:
        verify(path, signers)
    assert not isinstance(caught.value, SignatureError)


@needs_ssh_keygen
def test_what_nobody_trusted_signed_is_not_even_looked_into(
    sound: list[Entry], signers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signature is a good one, over another file."""
    path = tmp_path / "bomb.maskwatch"
    path.write_bytes(BOMBS["deflated"](sound))
    Path(f"{path}.sig").write_bytes(signature_of(zip_bytes(sound), tmp_path / "maria"))
    real = zipfile.ZipFile

    def guarded(file: Any, *rest: Any) -> zipfile.ZipFile:
        if hasattr(file, "getvalue") and file.getvalue() == path.read_bytes():
            pytest.fail("the file was taken apart")
        return real(file, *rest)

    monkeypatch.setattr(zipfile, "ZipFile", guarded)
    with pytest.raises(SignatureError, match="or that is another file's signature"):
        verify(path, signers)
