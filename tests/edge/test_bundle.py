from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch import bundle as bundle_module
from maskwatch.bundle import MAX_BUNDLE_BYTES, default_bundle_path, open_bundle, verify_bundle
from maskwatch.errors import BundleError
from maskwatch.manifest import to_json
from tiny_models import tiny_bundle, tiny_members

ANYWHERE = Path("tiny-1.2.3.maskwatch")
Entries = list[tuple[zipfile.ZipInfo, bytes]]


@pytest.fixture(scope="module")
def sound(tiny_bundle_bytes: bytes) -> bytes:
    return tiny_bundle_bytes


def rebuilt(data: bytes, change: Callable[[Entries], object], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The same ZIP after `change` had its hands on the list of entries."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(entry, archive.read(entry)) for entry in archive.infolist()]
    change(entries)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry, content in entries:
            archive.writestr(entry, content, compression)
    return buffer.getvalue()


def added(name: str, content: bytes = b"x", mode: int = stat.S_IFREG | 0o644) -> Callable[[Entries], None]:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return lambda entries: entries.append((entry, content))


def without(name: str) -> Callable[[Entries], None]:
    def change(entries: Entries) -> None:
        entries[:] = [pair for pair in entries if pair[0].filename != name]

    return change


def content(name: str, edit: Callable[[bytes], bytes]) -> Callable[[Entries], None]:
    def change(entries: Entries) -> None:
        entries[:] = [(entry, edit(data) if entry.filename == name else data) for entry, data in entries]

    return change


def test_a_sound_bundle_opens_with_all_its_members(tiny_bundle_path: Path) -> None:
    bundle = open_bundle(tiny_bundle_path)
    assert (bundle.manifest.name, bundle.manifest.version, bundle.path) == ("tiny", "1.2.3", tiny_bundle_path)
    assert {name: bundle.member(name) for name in bundle.members} == tiny_members()
    data = tiny_bundle_path.read_bytes()
    assert (bundle.size_bytes, bundle.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert json.loads(to_json(bundle.manifest))["members"].keys() == tiny_members().keys()
    with pytest.raises(BundleError, match=r"there is no other\.tflite"):
        bundle.member("other.tflite")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (added("../evil"), r"member \.\./evil: a name with a folder"),
        (added("/etc/passwd"), "member /etc/passwd: a name with a folder"),
        (added("a\\b"), "a name with a folder"),
        (added("folder/"), "a name with a folder"),
        (added("C:evil"), "a name with a folder"),
        (added("\x1b[2J"), "a name with a folder, or with characters"),
        (added("ünïcode"), "a name with a folder, or with characters"),
        (added("link", b"/etc/passwd", stat.S_IFLNK | 0o777), "member link: not a file"),
        (added("pipe", b"", stat.S_IFIFO | 0o644), "member pipe: not a file"),
        (added("extra.txt"), r"member extra\.txt: not declared"),
        (added("FINDER.tflite"), r"member FINDER\.tflite: there twice"),
        (without("finder.tflite"), r"member finder\.tflite: missing"),
        (without("manifest.json"), r"there is no manifest\.json"),
        (without("MODEL_CARD.md"), r"member MODEL_CARD\.md: missing"),
        (content("finder.tflite", lambda data: data[:-1] + bytes([data[-1] ^ 1])), r"finder\.tflite: changed since"),
        (content("finder.tflite", lambda data: data + b"\0"), r"finder\.tflite: \d+ bytes, must be \d+"),
        (content("manifest.json", lambda data: data[:-9]), r"manifest\.json: not JSON"),
        (
            content("manifest.json", lambda data: data.replace(b'"schema_version": 1', b'"schema_version": 2')),
            "schema 2",
        ),
        (content("manifest.json", lambda data: data + b" " * 2**20), r"manifest\.json: more than 1048576 bytes"),
        (lambda entries: [added(f"m{index}")(entries) for index in range(40)], "more than 32 members"),
        (lambda entries: entries.clear(), r"there is no manifest\.json"),
    ],
)
def test_a_hostile_or_broken_zip_is_refused(sound: bytes, change: Callable[[Entries], object], message: str) -> None:
    with pytest.raises(BundleError, match=rf"^tiny-1\.2\.3\.maskwatch: .*{message}") as caught:
        verify_bundle(rebuilt(sound, change), ANYWHERE)
    assert str(caught.value).isprintable()


def test_a_name_that_goes_on_after_a_nul_is_refused(sound: bytes) -> None:
    data = rebuilt(sound, added("evil_.txt")).replace(b"evil_.txt", b"evil\0.txt")
    with pytest.raises(BundleError, match="a name with a folder, or with characters"):
        verify_bundle(data, ANYWHERE)


def test_a_rebuilt_bundle_is_sound_in_itself(sound: bytes) -> None:
    """Without this the cases above might be refused for having been rebuilt."""
    assert verify_bundle(rebuilt(sound, lambda entries: None), ANYWHERE).members == tiny_members()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(sound: bytes) -> None:
    with pytest.raises(BundleError, match=r"member finder\.tflite: there twice"):
        verify_bundle(rebuilt(sound, added("finder.tflite")), ANYWHERE)


def test_compressed_members_are_refused_before_they_are_unpacked(sound: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = rebuilt(sound, added("bomb", b"\0" * (64 * 1024 * 1024)), zipfile.ZIP_DEFLATED)
    assert len(bomb) < 200_000
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("a member was unpacked"))
    with pytest.raises(BundleError, match="compressed; a bundle stores"):
        verify_bundle(bomb, ANYWHERE)


def test_members_that_claim_more_than_the_file_holds_are_refused(sound: bytes) -> None:
    directory = sound.index(b"PK\x01\x02")
    lying = bytearray(sound)
    lying[directory + 20 : directory + 28] = (30_000_000).to_bytes(4, "little") * 2  # both sizes of the first member
    with pytest.raises(BundleError, match="claim to be larger than the file"):
        verify_bundle(bytes(lying), ANYWHERE)


def test_encrypted_members_are_refused(sound: bytes) -> None:
    directory = sound.index(b"PK\x01\x02")
    encrypted = bytearray(sound)
    encrypted[directory + 8] |= 1
    with pytest.raises(BundleError, match="encrypted"):
        verify_bundle(bytes(encrypted), ANYWHERE)


@settings(max_examples=150)
@given(st.data())
def test_flipped_bytes_give_the_same_members_or_a_bundle_error(sound: bytes, data: st.DataObject) -> None:
    damaged = bytearray(sound)
    # Half of all flips go to the ZIP's own records, which are a small part of the file.
    records = st.integers(sound.index(b"PK\x01\x02"), len(sound) - 1)
    for place in data.draw(st.lists(st.integers(0, len(sound) - 1) | records, min_size=1, max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        bundle = verify_bundle(bytes(damaged), ANYWHERE)
    except BundleError:
        return
    assert bundle.members == tiny_members()


@given(st.data())
def test_a_truncated_bundle_is_a_bundle_error(sound: bytes, data: st.DataObject) -> None:
    with pytest.raises(BundleError):
        verify_bundle(sound[: data.draw(st.integers(0, len(sound) - 1))], ANYWHERE)


@given(st.binary(max_size=300))
def test_random_bytes_are_a_bundle_error(data: bytes) -> None:
    with pytest.raises(BundleError):
        verify_bundle(data, ANYWHERE)


def test_paths_that_are_no_bundle_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.maskwatch").mkdir()
    (tmp_path / "empty.maskwatch").touch()
    (tmp_path / "model.zip").write_bytes(b"PK")
    os.mkfifo(tmp_path / "pipe.maskwatch")
    with (tmp_path / "huge.maskwatch").open("wb") as huge:
        huge.truncate(MAX_BUNDLE_BYTES + 1)
    for name, message in {
        "absent.maskwatch": "No such file",
        "folder.maskwatch": "Is a directory",
        "empty.maskwatch": "the file is empty",
        "model.zip": "must end in .maskwatch",
        "pipe.maskwatch": "not a file",
        "huge.maskwatch": "larger than 32 MiB",
    }.items():
        with pytest.raises(BundleError, match=message) as caught:
            open_bundle(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_the_built_in_bundle_is_the_only_one_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_module.importlib.resources, "files", lambda package: tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(BundleError, match="0 built-in bundles"):
        default_bundle_path()
    path = tiny_bundle(tmp_path / "data")
    (tmp_path / "data" / "config.example.toml").touch()
    assert default_bundle_path() == path
    tiny_bundle(tmp_path / "data", version="1.2.4")
    with pytest.raises(BundleError, match="2 built-in bundles"):
        default_bundle_path()
