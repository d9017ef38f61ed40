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
from maskwatch.errors import ExitCode, OperatorError, TryAgainError
from maskwatch.slots import folder as disk
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
    assert (slots.read().active, slots.choose().path, slots.starting().active) == (None, None, None)
    fault = slots.fault()
    assert fault is not None
    assert fault.startswith(f"{path} is {'missing' if damage is None else 'damaged'}")
    assert slots.choose().faults == (f"{fault}: the built-in bundle is active",)
    shelf.bring("2.0.0")
    assert (shelf.running(), shelf.slots.fault()) == ("2.0.0", None)


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
    state = shelf.slots.starting()
    assert (state.active, state.b.state, state.b.reason) == ("a", "failed", choice.faults[0])
    assert shelf.slots.choose().faults == ()


def test_where_both_are_damaged_the_built_in_bundle_runs(shelf: Shelf) -> None:
    shelf.bring("1.0.0", "2.0.0")
    shelf.spoil("a")
    (shelf.folder / "b" / "bundle.maskwatch").unlink()
    assert shelf.running() is None
    assert shelf.slots.starting().active is None
    assert (shelf.slots.read().a.state, shelf.slots.read().b.state) == ("failed", "failed")


def test_a_damaged_trial_spends_no_try(shelf: Shelf) -> None:
    shelf.bring("1.0.0")
    shelf.try_out("2.0.0")
    shelf.spoil("b")
    state = shelf.slots.starting()
    assert (state.active, state.last_event and state.last_event.event) == ("a", "unfit")


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
    assert shelf.slots.starting().active == "a"


def test_no_room_for_open_files_is_no_damage(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that passes must not cost a model for good."""
    shelf.bring("1.0.0")

    def fail(path: Path, most_bytes: int) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(disk, "read_file", fail)
    assert shelf.slots.choose().path is None
    assert "Too many open files" in shelf.slots.choose().faults[0]
    assert shelf.slots.starting().active == "a"
    monkeypatch.undo()
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
    assert door.again().starting().active == "a"
    assert door.running() == "1.0.0"


def test_a_trial_that_cannot_be_counted_is_not_run(small_disk: Path) -> None:
    """It might crash at each start, for ever."""
    door = Shelf(Slots(small_disk / "slots", NOBODY))
    door.bring("1.0.0")
    sha256 = door.try_out("2.0.0").b.sha256
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True, timeout=60)
    slots = door.again()
    slots.starting()
    assert slots.choose().slot == "a"
    assert slots.choose().faults == ("slot b is passed over: it could not be run",)
    other = door.again()
    assert other.abandon(sha256, "it does not load").active == "b"
    assert other.choose().slot == "a"
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True, timeout=60)
    assert door.again().starting().tries_left == TRIES - 1
    assert slots.choose().slot == "b", "once something changes it is looked at afresh"


def test_a_trial_is_not_run_either_while_its_lock_is_held(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "LOCK_WAIT_S", 0.05)
    shelf.bring("1.0.0")
    shelf.try_out("2.0.0")
    with disk.locked(shelf.folder):
        assert shelf.slots.starting().active == "b"
        with pytest.raises(TryAgainError, match="another change is under way"):
            shelf.slots.confirm()
    assert shelf.slots.choose().slot == "a"


@pytest.mark.parametrize("what", ["a file", "a folder that is gone"])
def test_a_daemon_starts_whatever_lies_there(tmp_path: Path, what: str) -> None:
    if what == "a file":
        (tmp_path / "slots").touch()
    slots = Slots(tmp_path / "slots", NOBODY)
    assert slots.starting().active is None
    assert slots.choose().path is None
    assert slots.abandon("0" * 64, "a reason").active is None


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


@as_root
def test_root_gives_all_to_the_services_user(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_owner", lambda: (4321, 1234))
    shelf.slots.install(make_bundle("1.0.0"), b"a signature")
    shelf.slots.activate()
    assert modes(shelf.folder) == {".": "2770", "a": "2770", "b": "2770"} | FILES
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in [shelf.folder, *shelf.folder.rglob("*")]}
    assert owners == {(4321, 1234)}


def test_where_there_is_no_such_user_nobody_minds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "USER", "no-such-user-of-ours")
    assert disk._owner() is None


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
        assert words in str(open_shelf.slots.fault())
        assert open_shelf.slots.starting().active is None
        assert open_shelf.running() is None
    assert open_shelf.running() == "1.0.0"


@as_root
def test_a_member_of_the_group_may_change_models(open_shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root made the folder and its files; the service's user goes on."""
    monkeypatch.setattr(disk, "_owner", lambda: (0, STRANGER) if os.geteuid() == 0 else None)
    open_shelf.bring("1.0.0")
    open_shelf.try_out("2.0.0")
    data = make_bundle("3.0.0")
    with somebody(STRANGER - 1, STRANGER):
        assert open_shelf.slots.starting().tries_left == TRIES - 1
        assert open_shelf.slots.confirm("healthy").b.state == "confirmed"
        assert open_shelf.slots.install(data, None).a.state == "verified"
    assert open_shelf.running() == "2.0.0"
    assert {what for name, what in modes(open_shelf.folder).items() if name not in (".", "a", "b")} == {"660"}
    assert {path.stat().st_gid for path in open_shelf.folder.rglob("*")} == {STRANGER}
