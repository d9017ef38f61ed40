from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from pathlib import Path

import pytest
from maskwatch.bundle import open_bundle
from maskwatch.errors import BundleError
from maskwatch_convert.pack import write_bundle
from tiny_models import tiny_manifest, tiny_members


def test_what_is_written_opens_as_it_was_returned(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, tiny_manifest(), tiny_members())
    assert bundle.path == tmp_path / "tiny-1.2.3.maskwatch"
    assert open_bundle(bundle.path) == bundle
    finder = bundle.manifest.members["finder.tflite"]
    assert finder.sha256 == hashlib.sha256(tiny_members()["finder.tflite"]).hexdigest()
    assert finder.size_bytes == len(tiny_members()["finder.tflite"])


def test_equal_content_gives_equal_bytes_at_any_time_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    first = write_bundle(tmp_path, tiny_manifest(), tiny_members())
    second = write_bundle(tmp_path / "later", tiny_manifest(), dict(reversed(tiny_members().items())))
    assert first.path.read_bytes() == second.path.read_bytes()


def test_members_are_stored_sorted_and_undated(tmp_path: Path) -> None:
    with zipfile.ZipFile(write_bundle(tmp_path, tiny_manifest(), tiny_members()).path) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == [
        "MODEL_CARD.md",
        "classifier.tflite",
        "finder.tflite",
        "manifest.json",
    ]
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {stat.filemode(entry.external_attr >> 16) for entry in entries} == {"-rw-r--r--"}


def test_an_older_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "tiny-1.2.3.maskwatch"
    path.write_bytes(b"older")
    write_bundle(tmp_path, tiny_manifest(), tiny_members())
    assert open_bundle(path).manifest.name == "tiny"
    assert os.listdir(tmp_path) == [path.name]
    assert stat.filemode(path.stat().st_mode) == "-rw-r--r--"


@pytest.mark.parametrize(
    ("manifest", "members", "message"),
    [
        (tiny_manifest(version="1.2"), tiny_members(), "version: '1.2' is not a version"),
        (tiny_manifest(), {"classifier.tflite": b"x"}, r"finder\.file: finder\.tflite is not among the members"),
        (tiny_manifest(), tiny_members() | {"../evil": b"x"}, "a name with a folder"),
        (tiny_manifest(), tiny_members() | {"empty": b""}, r"members\.empty\.size_bytes: 0"),
    ],
)
def test_what_would_not_open_is_not_written(
    tmp_path: Path, manifest: object, members: dict[str, bytes], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        write_bundle(tmp_path, manifest, members)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_older_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "tiny-1.2.3.maskwatch"
    path.write_bytes(b"older")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(tmp_path, tiny_manifest(), tiny_members())
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == b"older"


def test_content_reaches_the_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def record_replace(source: str, target: Path) -> None:
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    write_bundle(tmp_path, tiny_manifest(), tiny_members())
    assert steps == ["sync file", "rename", "sync folder"]
