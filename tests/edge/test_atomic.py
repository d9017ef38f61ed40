"""Files and links that are changed at once or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from maskwatch.atomic import point_link, temporary_of, write_file


def test_a_file_gets_its_content_and_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "file"
    umask = os.umask(0o077)
    try:
        write_file(path, b"one")
        write_file(path, b"two", 0o640)
    finally:
        os.umask(umask)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o640)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_a_power_cut_left_is_swept_by_the_next_change(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "file", tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    temporary_of(path).write_bytes(b"hal")
    write_file(path, b"whole")
    temporary_of(path).symlink_to(elsewhere)
    write_file(path, b"new")  # not through the link
    assert path.read_bytes() == b"new"
    temporary_of(path).symlink_to("venvs/a")
    point_link(path, "venvs/b")
    assert os.readlink(path) == "venvs/b"
    assert elsewhere.read_bytes() == b"precious"
    assert {path.name for path in tmp_path.iterdir()} == {"file", "elsewhere"}


def test_a_link_that_cannot_be_turned_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "folder/full").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        point_link(tmp_path / "folder", "venvs/a")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_the_content_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *words, name=name, real=real: (calls.append(name), real(*words))[1])
    write_file(tmp_path / "file", b"new")
    assert calls == ["fsync", "replace", "fsync"]


def test_a_link_is_turned_from_one_target_to_another(tmp_path: Path) -> None:
    link = tmp_path / "link"
    for target in ("venvs/a", "venvs/b"):
        point_link(link, target)
        assert os.readlink(link) == target
    assert [path.name for path in tmp_path.iterdir()] == ["link"]
