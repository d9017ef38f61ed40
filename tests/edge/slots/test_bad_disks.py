"""Slots whose files are damaged or gone, and disks that are full, read-only or somebody else's."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from maskwatch.errors import ExitCode, OperatorError
from maskwatch.slots import folder as disk
from maskwatch.slots.running import Runner
from maskwatch.slots.states import TRIES
from maskwatch.slots.store import Slots
from nobody import NOBODY
from slot_shelf import Shelf, make_bundle

STRANGER = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(Slots(tmp_path / "slots", NOBODY))


# state.json


@pytest.mark.parametrize("damage", [b"", b"{", b'{"schema_version": 2}', None])
def test_without_a_sound_state_the_built_in_bundle_runs_and_it_is_said(shelf: Shelf, damage: bytes | None) -> None:
    shelf.bring("1.0.0")
    path = shelf.slots.state_path
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    slots = shelf.again()
    state, choice = slots.look()
    assert (state.active, choice.path, choice.unsure) == (None, None, True)
    (fault,) = choice.faults
    assert fault.startswith(f"{path} is {'missing' if damage is None else 'damaged'}")
    assert fault.endswith(": nobody can tell which bundle is active")
    with pytest.raises(OperatorError, match=r"state\.json is"):
        slots.start()
    shelf.bring("2.0.0")
    assert (shelf.running(), shelf.slots.choose().faults) == ("2.0.0", ())


def test_a_state_that_cannot_be_read_is_not_begun_anew(shelf: Shelf) -> None:
    """An installation would have made nothing of what is confirmed."""
    shelf.bring("1.0.0")
    path = shelf.slots.state_path
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")
    with pytest.raises(OperatorError, match=r"state.json: Too many levels of symbolic links"):
        shelf.install("2.0.0")
    assert path.is_symlink()


# A slot's file


def test_a_damaged_model_is_left_for_the_fallback(shelf: Shelf) -> None:
    shelf.bring("1.0.0", "2.0.0")
    shelf.spoil("b")
    choice = shelf.slots.choose()
    path = shelf.folder / "b" / "bundle.maskwatch"
    assert (shelf.running(), choice.slot, choice.trying) == ("1.0.0", "a", False)
    assert choice.faults == (f"{path} is damaged: its SHA-256 is not the one that was installed",)
    assert (choice.unfit, choice.unsure) == (((shelf.slots.read().b.sha256, choice.faults[0]),), False)
    state = shelf.slots.start()
    assert (state.active, state.b.state, state.b.reason) == ("a", "failed", choice.faults[0])
    assert shelf.slots.choose().faults == ()


def test_where_both_are_damaged_the_built_in_bundle_runs(shelf: Shelf) -> None:
    shelf.bring("1.0.0", "2.0.0")
    shelf.spoil("a")
    (shelf.folder / "b" / "bundle.maskwatch").unlink()
    assert shelf.running() is None
    assert shelf.slots.start().active is None
    assert (shelf.slots.read().a.state, shelf.slots.read().b.state) == ("failed", "failed")


def test_a_damaged_trial_spends_no_try(shelf: Shelf) -> None:
    shelf.bring("1.0.0")
    shelf.try_out("2.0.0")
    shelf.spoil("b")
    state = shelf.slots.start()
    assert (state.active, state.last_event and state.last_event.event) == ("a", "damaged")


def test_to_install_a_damaged_model_again_heals_it(shelf: Shelf) -> None:
    """It counted as active already, and nothing was done."""
    shelf.bring("1.0.0", "2.0.0")
    shelf.spoil("b")
    shelf.bring("2.0.0")
    assert (shelf.running(), shelf.slots.read().active) == ("2.0.0", "b")


def test_to_install_the_fallback_of_a_damaged_model_makes_it_active(shelf: Shelf) -> None:
    shelf.bring("1.0.0", "2.0.0")
    shelf.spoil("b")
    state = shelf.install("1.0.0")
    assert (state.active, state.b.state) == ("a", "failed")
    assert shelf.again().read() == state


def test_a_verified_bundle_that_is_damaged_is_not_tried(shelf: Shelf) -> None:
    shelf.bring("1.0.0")
    shelf.install("2.0.0")
    shelf.spoil("b")
    with pytest.raises(OperatorError, match=r"bundle.maskwatch is damaged: .*: install the bundle again"):
        shelf.slots.activate()
    assert (shelf.running(), shelf.slots.read().b.state) == ("1.0.0", "failed")
    assert shelf.try_out("2.0.0").active == "b"


def test_a_verified_bundle_that_is_damaged_is_installed_anew(shelf: Shelf) -> None:
    shelf.install("1.0.0")
    shelf.spoil("a")
    shelf.install("1.0.0")
    shelf.slots.activate()
    assert shelf.running() == "1.0.0"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_no_model(shelf: Shelf, make: Callable[[Path], None]) -> None:
    shelf.bring("1.0.0", "2.0.0")
    path = shelf.folder / "b" / "bundle.maskwatch"
    path.unlink()
    make(path)
    assert shelf.running() == "1.0.0"
    assert shelf.slots.start().active == "a"


def test_no_room_for_open_files_is_no_damage(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that passes must not cost a model for good."""
    shelf.bring("1.0.0")

    def fail(path: Path, most_bytes: int) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(disk, "read_file", fail)
    choice = shelf.slots.choose()
    assert (choice.path, choice.unfit, choice.unsure) == (None, (), True)
    assert "Too many open files" in choice.faults[0]
    with pytest.raises(OperatorError, match="Too many open files"):
        shelf.slots.start()
    monkeypatch.undo()
    assert shelf.slots.start().active == "a"
    assert shelf.running() == "1.0.0"


# Disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 400 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=400k", "tmpfs"]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.call(["mount", *options, place]) != 0:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", place], check=True, timeout=60)


def test_a_full_disk_is_noticed_before_anything_is_written(small_disk: Path) -> None:
    door = Shelf(Slots(small_disk / "slots", NOBODY))
    door.bring("1.0.0")
    before = door.slots.state_path.read_bytes()
    (small_disk / "film").write_bytes(bytes(150_000))
    with pytest.raises(
        OperatorError, match=r"slots/b: the disk is full: 0.3 MB are needed, 0.\d MB are free"
    ) as caught:
        door.install("2.0.0")
    assert caught.value.exit_code is ExitCode.OPERATOR
    assert (door.running(), door.slots.state_path.read_bytes()) == ("1.0.0", before)
    (small_disk / "film").unlink()
    assert door.try_out("2.0.0").active == "b"


def test_a_disk_that_fills_up_meanwhile_costs_nothing_but_the_installation(small_disk: Path) -> None:
    door = Shelf(Slots(small_disk / "slots", NOBODY))
    door.bring("1.0.0")

    def meanwhile(words: str) -> None:
        if words.startswith("writing"):
            with suppress(OSError), open(small_disk / "film", "wb", buffering=0) as film:
                while True:
                    film.write(bytes(4096))

    with pytest.raises(OperatorError, match="the disk is full: free some room"):
        door.slots.install(make_bundle("2.0.0"), None, progress=meanwhile)
    assert door.running() == "1.0.0"
    assert list((door.folder / "b").iterdir()) == []
    (small_disk / "film").unlink()
    assert door.try_out("2.0.0").active == "b"


def test_a_read_only_disk_still_runs_its_model(small_disk: Path) -> None:
    door = Shelf(Slots(small_disk / "slots", NOBODY))
    door.bring("1.0.0")
    door.install("2.0.0")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True, timeout=60)
    for change in (
        lambda: door.install("3.0.0"),
        door.slots.activate,
        lambda: door.slots.roll_back("", confirmed=True),
    ):
        with pytest.raises(OperatorError, match="the disk is read-only: is the card worn out"):
            change()
    assert door.again().start().active == "a"
    assert door.running() == "1.0.0"


def test_a_trial_that_cannot_be_counted_is_not_run(small_disk: Path) -> None:
    """It might crash at each start, for ever."""
    door = Shelf(Slots(small_disk / "slots", NOBODY))
    door.bring("1.0.0")
    door.try_out("2.0.0")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True, timeout=60)
    runner = Runner(door.slots)
    runner.starting()
    state, choice = runner.look()
    assert (state.active, choice.slot, choice.unsure, choice.again) == ("b", "a", False, True)
    (fault,) = choice.faults
    assert fault.startswith("slot b is not run yet: the start of a trial cannot be noted: ")
    assert "the disk is read-only" in fault
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True, timeout=60)
    runner.settle()
    state, choice = runner.look()
    assert (state.tries_left, choice.slot, choice.faults, choice.again) == (TRIES - 1, "b", (), False)


@pytest.mark.parametrize("what", ["a file", "a folder that is gone"])
def test_a_daemon_starts_whatever_lies_there(tmp_path: Path, what: str) -> None:
    if what == "a file":
        (tmp_path / "slots").touch()
    runner = Runner(Slots(tmp_path / "slots", NOBODY))
    runner.starting()
    assert runner.look().choice.path is None
    assert not runner.abandon("0" * 64, "a reason")
    runner.settle()


def test_a_place_that_is_no_folder_is_one_clear_error(shelf: Shelf) -> None:
    shelf.folder.touch()
    with pytest.raises(OperatorError, match="slots: no folder, must be one: move it away"):
        shelf.install("1.0.0")
    shelf.folder.unlink()
    shelf.folder.mkdir()
    (shelf.folder / "a").symlink_to("/tmp")
    with pytest.raises(OperatorError, match="slots/a: no folder, must be one: move it away"):
        shelf.install("1.0.0")


def test_a_file_system_that_does_not_tell_its_size_is_trusted(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255)))
    assert shelf.install("1.0.0").a.state == "verified"


# Rights


def modes(folder: Path) -> dict[str, str]:
    paths = [folder, *folder.rglob("*")]
    return {str(path.relative_to(folder)): f"{path.stat().st_mode & 0o7777:o}" for path in paths}


FILES = {"lock": "660", "state.json": "660", "a/bundle.maskwatch": "660", "a/bundle.maskwatch.sig": "660"}


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o027])
def test_the_group_may_change_everything_whatever_the_umask(shelf: Shelf, umask: int) -> None:
    before = os.umask(umask)
    try:
        shelf.slots.install(make_bundle("1.0.0"), b"a signature")
    finally:
        os.umask(before)
    assert modes(shelf.folder) == {".": "770", "a": "770", "b": "770"} | FILES


@pytest.fixture
def open_shelf(shelf: Shelf) -> Iterator[Shelf]:
    """In a place that every user may enter; pytest's own is root's alone."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        yield Shelf(Slots(Path(place) / "slots", NOBODY))


@contextmanager
def somebody(user: int, group: int) -> Iterator[None]:
    """Be another user for a while."""
    groups = os.getgroups()
    os.setegid(group)
    os.setgroups([])
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setgroups(groups)
        os.setegid(0)


@as_root
def test_a_stranger_is_told_what_to_do(open_shelf: Shelf) -> None:
    open_shelf.bring("1.0.0")
    data = make_bundle("2.0.0")
    words = "not permitted: run it with sudo, or as a member of the group maskwatch"
    with somebody(STRANGER, STRANGER):
        for change in (lambda: open_shelf.slots.install(data, None), open_shelf.slots.confirm):
            with pytest.raises(OperatorError, match=words):
                change()
        assert words in open_shelf.slots.choose().faults[0]
        with pytest.raises(OperatorError, match=words):
            open_shelf.slots.start()
        assert open_shelf.running() is None
    assert open_shelf.running() == "1.0.0"


@as_root
def test_a_member_of_the_group_may_change_models(open_shelf: Shelf) -> None:
    """All is the service's user's, as the installer and the service make it; a login of the group goes on."""
    open_shelf.bring("1.0.0")
    open_shelf.try_out("2.0.0")
    for path in (open_shelf.folder, *open_shelf.folder.rglob("*")):
        os.chown(path, STRANGER, STRANGER)
        if path.is_dir():
            path.chmod(0o2770)
    data = make_bundle("3.0.0")
    with somebody(STRANGER - 1, STRANGER):
        assert open_shelf.slots.start().tries_left == TRIES - 1
        assert open_shelf.slots.confirm("healthy").b.state == "confirmed"
        assert open_shelf.slots.install(data, None).a.state == "verified"
    assert open_shelf.running() == "2.0.0"
    assert {what for name, what in modes(open_shelf.folder).items() if name not in (".", "a", "b")} == {"660"}
    assert {path.stat().st_gid for path in open_shelf.folder.rglob("*")} == {STRANGER}
