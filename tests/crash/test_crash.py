"""The crash test in short, and that it finds what is wrong. `make crash-test` does all of it."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import crash
import pytest
from crash import table
from kills import KillFigures
from maskwatch.errors import ExitCode
from maskwatch.slots import folder as disk
from maskwatch.slots import states, store
from maskwatch.slots.store import Slots
from nobody import NOBODY
from power_cut import Figures, cut_at_every_step, kill_at_every_step, refuse_every_step
from scenes import SCENES, Models, Scene, make_models, quick_golden_vectors
from torn_disk import File, Folder, images

HERE = Path(__file__).parent
KILLS = 15
LIMIT_S = 110
CHANGING = {"open", "write", "fchmod", "fsync", "replace"}
"""The calls of each change of a file."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    with quick_golden_vectors():
        yield make_models(tmp_path_factory.mktemp("models"))


def scene(name: str) -> Scene:
    (found,) = [scene for scene in SCENES if scene.name == name]
    return found


INSTALLATION = scene("an installation beside a confirmed bundle")
ACTIVATION = scene("an activation, from a confirmed one")
SHORT = [ACTIVATION, *map(scene, ("a start too many", "a confirmation", "a rollback"))]


# Power cuts


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_no_power_cut_leaves_a_door_without_a_model(scene: Scene, models: Models, tmp_path: Path) -> None:
    figures = cut_at_every_step(scene, models, tmp_path)
    assert figures.steps.keys() >= CHANGING
    assert figures.disks > sum(figures.steps.values()) > 5


@pytest.mark.parametrize("scene", SHORT, ids=lambda scene: scene.name)
def test_who_does_it_again_after_a_kill_has_it_for_good(scene: Scene, models: Models, tmp_path: Path) -> None:
    figures = kill_at_every_step(scene, models, tmp_path)
    assert figures.steps.keys() >= CHANGING
    assert figures.disks > sum(figures.steps.values()) > 5


@pytest.mark.parametrize("scene", [INSTALLATION, *SHORT], ids=lambda scene: scene.name)
@pytest.mark.parametrize(("number", "for_good"), [(errno.ENOSPC, False), (errno.EROFS, True)])
def test_a_disk_that_refuses_harms_nobody(
    scene: Scene, number: int, for_good: bool, models: Models, tmp_path: Path
) -> None:
    figures = refuse_every_step(scene, models, tmp_path, OSError(number, os.strerror(number)), for_good=for_good)
    assert figures.steps.keys() >= CHANGING


# It finds what is wrong


def faulty(scene: Scene, models: Models, folder: Path, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        cut_at_every_step(scene, models, folder)


def test_a_file_that_is_not_synced_is_found(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(File, "sync", lambda self: None)
    faulty(ACTIVATION, models, tmp_path, r"state.json is damaged|must run one of|must say")


def test_a_folder_that_is_not_synced_is_found(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Folder, "sync", lambda self: None)
    faulty(ACTIVATION, models, tmp_path, "cut off when all was done, .* must say")


def test_an_active_slot_that_is_written_to_is_found(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states.State, "spare", property(lambda state: state.active or "a"))
    faulty(INSTALLATION, models, tmp_path, "an installation beside a confirmed bundle: cut off before .* is left")


def test_a_switch_before_the_bundle_is_there_is_found(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store.fill

    def early(slot: Path, data: bytes, signature: bytes | None) -> None:
        slots = Slots(slot.parent, NOBODY)
        slots._write(states.activate(states.verify(slots.read())))
        real(slot, data, signature)

    monkeypatch.setattr(store, "fill", early)
    for name in ("unfit", "damage_of"):  # which would have saved the door
        monkeypatch.setattr(store, name, lambda *_: None)
    faulty(INSTALLATION, models, tmp_path, r"b/bundle.maskwatch: (cannot be read|the file is empty)")


def test_a_fallback_that_is_given_up_too_soon_is_found(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "check_room", lambda slot, size_bytes: disk.sweep(slot))
    faulty(scene("an installation over the fallback"), models, tmp_path, "no fallback")


def test_a_change_past_the_seam_is_found(models: Models, tmp_path: Path) -> None:
    def act(slots: Slots, models: Models) -> None:
        (slots.folder / "note").write_bytes(b"past it")
        slots.confirm()

    faulty(Scene("", ACTIVATION.prepare, act), models, tmp_path, "changed past the seam: .*slots/note")


def test_a_call_that_is_not_modelled_is_found(models: Models, tmp_path: Path) -> None:
    faulty(Scene("", ACTIVATION.prepare, lambda slots, _: os.rename(slots.folder, "x")), models, tmp_path, "rename")


# The disk


def test_what_was_not_synced_may_be_lost_in_any_way() -> None:
    file = File((b"", 0o600), [(b"abcd", 0o600), (b"abcd", 0o660)])
    assert {data for data, _ in file.survivors()} == {b"", b"ab", b"\0\0\0\0", b"abcd"}
    assert {mode for data, mode in file.survivors() if data == b"abcd"} == {0o600, 0o660}
    file.sync()
    assert file.survivors() == {(b"abcd", 0o660)}


def test_what_was_not_synced_in_a_folder_may_be_lost_piece_by_piece() -> None:
    old, new = File((b"old", 0o600)), File((b"new", 0o600))
    folder = Folder({"file": old}, [[{"aside": new}], [{"aside": None, "file": new}, {"file": new}]])
    assert folder.current == {"file": new}
    found = {frozenset((name, content and content[0]) for name, content in image.items()) for image in images(folder)}
    assert found == {
        frozenset({("file", b"old")}),
        frozenset({("file", b"old"), ("aside", b"new")}),
        frozenset({("file", b"new")}),
        frozenset({("file", b"new"), ("aside", b"new")}),
    }
    folder.sync()
    assert images(folder) == [{"file": (b"new", 0o600)}]


# Kills


def killed(folder: Path, kills: int, *, breaking: str = "") -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own, as it forks."""
    script = f"import sys\nsys.path.insert(0, {str(HERE)!r})\nimport crash\n{breaking}\nsys.exit(crash.main())"
    words = ["--kills", str(kills), "--kills-only", "--json", "--dir", str(folder)]
    return subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def test_a_few_kills_at_random_moments(tmp_path: Path) -> None:
    done = killed(tmp_path, KILLS)
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    figures = json.loads(done.stdout)["kills"]
    assert sum(figures["hit"].values()) == sum(figures["ran"].values()) == KILLS
    assert list(tmp_path.iterdir()) == []


def test_kills_find_what_is_wrong(tmp_path: Path) -> None:
    breaking = "from maskwatch.slots import states\nstates.State.spare = property(lambda state: state.active or 'a')"
    done = killed(tmp_path, 3, breaking=breaking)
    assert done.returncode == ExitCode.FINDING, done.stdout + done.stderr
    (fault,) = json.loads(done.stdout)["faults"]
    assert fault.startswith("without a kill: ")


def test_a_kill_that_leaves_the_wrong_model_is_found(tmp_path: Path) -> None:
    breaking = "import kills\nreal = kills._start\nkills._start = lambda *words: real(*words[:2], {'7.0.0'}, words[3])"
    done = killed(tmp_path, 2, breaking=breaking)
    assert done.returncode == ExitCode.FINDING, done.stdout + done.stderr
    faults = json.loads(done.stdout)["faults"]
    assert len(faults) >= 2
    assert sum("must run one of {'7.0.0'}" in fault for fault in faults) == 2


# The command line


def test_a_failure_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(scene: Scene, models: Models, folder: Path) -> Figures:
        raise AssertionError(f"{scene.name}: cut off before fsync, it is left without a model")

    monkeypatch.setattr(crash, "WAYS", {"power cut": fail})
    assert crash.main(["--kills", "0", "--dir", str(tmp_path)]) == ExitCode.FINDING
    assert capsys.readouterr().out == (
        "failed: the first installation: cut off before fsync, it is left without a model\n"
    )


def test_the_table_says_it_all() -> None:
    cuts = {"power cut": Figures(Counter({"write": 1200, "fsync": 34}), 5000, Counter({"1.0.0": 4000, "2.0.0": 1000}))}
    kills = KillFigures(Counter({"install": 3, "activate": 1}), 2, Counter({"the old one": 4}), 7.0, 0.15)
    lines = table(cuts, kills, [])
    assert re.fullmatch(r"power cut +1,234 +5,000", lines[1])
    assert lines[2:] == [
        "steps: write 1,200, fsync 34",
        "4 kills in 7 s, at a random moment of 150 ms: install 3, activate 1",
        "2 left a file half written; afterwards ran the old one 4; 4 second installations",
        "passed",
    ]
    assert table({}, None, ["one", "two"]) == ["failed: one; two"]
