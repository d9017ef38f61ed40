"""How power cuts are planned, judged and told; `make power-cut-test` makes them, and `make test-pi` two of them."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import cut_plan
import power_cuts
import pytest
import vm_door
import vm_machine
from cut_plan import Moment, allowed, moments, plan
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.errors import ExitCode
from vm_door import Bundles
from vm_image import DEBIAN
from vm_report import kept_wrongly

STEPS = ("install", "activate", "start")
CALLS = ("create state.json", "write state.json", "fsync state.json", "after fsync state.json", "rename state.json")


def words_of(ending: str, seconds: float = 1.0) -> list[dict[str, Any]]:
    """A round's words; one of STEPS, or the ending, calls all of CALLS."""
    words: list[dict[str, Any]] = []
    for step in (*STEPS, ending):
        words.append({"say": "begin", "step": step})
        words += [{"say": "at", "call": call} for call in CALLS]
        words.append({"say": "done", "step": step, "code": 0})
    words.append({"say": "idle"})
    return [word | {"at_s": number * seconds} for number, word in enumerate(words)]


ROUNDS = {ending: list(moments(words_of(ending))) for ending in power_cuts.ENDINGS}


# Moments and plans


def test_a_moment_lasts_until_the_next_word() -> None:
    words = [
        {"say": "begin", "step": "install", "at_s": 1.0},
        {"say": "at", "call": "fsync slots/", "at_s": 1.5},
        {"say": "at", "call": "fsync slots/", "at_s": 3.5},
        {"say": "done", "step": "install", "at_s": 3.75},
        {"say": "idle", "at_s": 4.0},
    ]
    assert list(moments(words)) == [
        Moment("install", "begin", 1, 0.5),
        Moment("install", "fsync slots/", 1, 2.0),
        Moment("install", "fsync slots/", 2, 0.25),
        Moment("install", "answered", 1, 0.25),
    ]


def test_a_place_in_a_round_is_the_same_in_either_slot() -> None:
    assert Moment("install", "fsync a/bundle.maskwatch").is_same(Moment("install", "fsync b/bundle.maskwatch"))
    assert Moment("install", "after fsync a/").is_same(Moment("install", "after fsync b/"))
    assert Moment("install", "writing to slot a").is_same(Moment("install", "writing to slot b"))
    assert not Moment("install", "fsync a/").is_same(Moment("install", "fsync slots/"))
    assert not Moment("install", "fsync a/").is_same(Moment("install", "fsync a/", 2))
    assert not Moment("install", "begin").is_same(Moment("activate", "begin"))


@given(seed=st.integers(), cuts=st.integers(0, 40))
def test_a_plan_keeps_within_the_moments_and_spreads_over_the_steps(seed: int, cuts: int) -> None:
    planned = plan(cuts, ROUNDS, seed)
    assert planned == plan(cuts, ROUNDS, seed)
    assert len(planned) == cuts
    for cut in planned:
        assert cut.moment in ROUNDS[cut.ending]
        assert 0 <= cut.after_s <= cut.moment.seconds
    tens = cuts // 10
    steps = Counter(cut.moment.step for cut in planned[: tens * 10])
    assert steps == Counter({step: count * tens for step, count in Counter(cut_plan.TEN_CUTS).items() if tens})


def test_most_cuts_land_where_the_disk_is_at_work() -> None:
    calls = Counter(cut.moment.call.split()[0] for cut in plan(1000, ROUNDS, 1))
    assert calls["fsync"] + calls["write"] + calls["rename"] > 600
    assert set(calls) == {"begin", "create", "write", "fsync", "after", "rename", "answered"}


@pytest.mark.parametrize(
    ("last", "runs"),
    [
        (("begin", "install"), {("old", False)}),
        (("done", "install"), {("old", False)}),
        (("begin", "activate"), {("old", False), ("new", True)}),
        (("done", "activate"), {("new", True)}),
        (("done", "start"), {("new", True)}),
        (("begin", "confirm"), {("new", True), ("new", False)}),
        (("done", "confirm"), {("new", False)}),
    ],
)
def test_what_was_answered_is_for_good(last: tuple[str, str], runs: set[cut_plan.Runs]) -> None:
    words = words_of("confirm")
    end = next(number for number, word in enumerate(words) if (word["say"], word.get("step")) == last)
    assert allowed(words[: end + 1], "old", "new") == runs


def test_a_rollback_leads_back() -> None:
    words = words_of("rollback")
    assert allowed(words[:-2], "old", "new") == {("old", False), ("new", True)}
    assert allowed(words[:-1], "old", "new") == {("old", False)}


# What lies there


def test_what_is_half_written_is_told_from_what_lies_aside() -> None:
    found = {
        "a/.bundle.maskwatch.maskwatch-tmp": {"bytes": 3, "sha256": "none"},
        "a/bundle.maskwatch": {"bytes": 9, "sha256": "nine"},
        "b/bundle.maskwatch": {"bytes": 4, "sha256": "half"},
        ".state.json.maskwatch-tmp": {"bytes": 5, "sha256": "any", "json": {}},
        "state.json": {"bytes": 0, "sha256": "empty"},
    }
    half, aside = kept_wrongly(found, {"nine"})
    assert half == ["a/.bundle.maskwatch.maskwatch-tmp", "b/bundle.maskwatch", "state.json"]
    assert aside == ["a/.bundle.maskwatch.maskwatch-tmp", ".state.json.maskwatch-tmp"]


# The whole of it, with a machine that is played


BUNDLES = Bundles(
    {f"tiny-{number}.0.0.maskwatch": bytes([number]) for number in range(1, 5)},
    {f"{number}.0.0": f"sha of {number}" for number in range(1, 5)},
    "sha of the built-in one",
)
START = {"faults": [], "wrong": [], "state_fault": None, "fallback_damage": None, "golden": 6}


class PlayedMachine:
    """Keeps what it is told; `spoil` changes what a start says, `forgets` has it lose its last change in a cut."""

    runs: ClassVar[tuple[str, bool]]
    before: ClassVar[tuple[str, bool]]
    spoil: ClassVar[dict[str, Any]]
    found: ClassVar[dict[str, Any]]
    forgets: ClassVar[bool]
    mute_after: ClassVar[int]
    cuts: ClassVar[int]

    def __init__(self, *_: object) -> None:
        self._moment = 0.0
        spoil = type(self).spoil if self.cuts else {}
        up = {"say": "up", "kernel": ["EXT4-fs (vda): recovery complete"], "found": self.found if self.cuts else {}}
        self._words = iter([up, self._started("started") | spoil])

    def tell(self, bundle: str, steps: str) -> None:
        self._words = self._work(f"sha of {bundle[5]}", steps.split())

    def listen(self) -> dict[str, Any]:
        if self.mute_after == self.cuts:
            raise vm_machine.GuestError("the guest said nothing for 240 s")
        return self._timed(next(self._words))

    def wait(self, seconds: float) -> None: ...

    def cut(self) -> list[dict[str, Any]]:
        type(self).cuts += 1
        if self.forgets:
            type(self).runs = self.before
        return []

    def _work(self, new: str, steps: list[str]) -> Iterator[dict[str, Any]]:
        old = self.runs[0]
        for step in steps:
            yield {"say": "begin", "step": step}
            yield {"say": "at", "call": f"fsync {step}"}
            becomes = {"activate": (new, True), "confirm": (self.runs[0], False), "rollback": (old, False)}
            if step in becomes:
                type(self).before, type(self).runs = self.runs, becomes[step]
            yield self._started("done") | {"step": step, "code": 0}
        yield {"say": "idle"}

    def _started(self, say: str) -> dict[str, Any]:
        return {"say": say, "runs": self.runs[0], "trying": self.runs[1]} | START

    def _timed(self, word: dict[str, Any]) -> dict[str, Any]:
        self._moment += 0.0001
        return word | {"at_s": self._moment}


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> type[PlayedMachine]:
    for name, value in {
        "runs": (BUNDLES.built_in, False),
        "before": (BUNDLES.built_in, False),
        "spoil": {},
        "found": {},
        "forgets": False,
        "mute_after": -1,
        "cuts": 0,
    }.items():
        monkeypatch.setattr(PlayedMachine, name, value, raising=False)
    monkeypatch.setattr(vm_door, "Machine", PlayedMachine)
    monkeypatch.setattr(vm_door, "write_initramfs", lambda *words: None)
    monkeypatch.setattr(type(DEBIAN), "lacks", lambda debian: "")
    monkeypatch.setattr(power_cuts, "check_tools", lambda: None)
    monkeypatch.setattr(power_cuts, "fresh_disk", lambda folder, tell: folder / "disk")
    monkeypatch.setattr(power_cuts, "kept_kernel", lambda: None)
    monkeypatch.setattr(power_cuts, "make_bundles", lambda: BUNDLES)
    monkeypatch.setattr(power_cuts, "file_system_faults", lambda disk: "")
    return PlayedMachine


@pytest.fixture
def cut(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    def run(*words: str) -> tuple[int, list[str]]:
        code = power_cuts.main(["--cuts", "20", *words])
        return code, capsys.readouterr().out.splitlines()

    return run


Run = Callable[..., tuple[int, list[str]]]


def test_a_door_that_keeps_what_it_is_told_passes(played: type[PlayedMachine], cut: Run) -> None:
    code, lines = cut()
    assert (code, lines[-1]) == (ExitCode.DONE, "passed")
    assert len(lines) == 1 + 20 + 5
    assert re.search(r"models of 0.0 s: install 10, activate 4(, (start|confirm|rollback) 2){3}$", lines[21])
    assert "the kernel replayed its journal 20 times; the file system is clean" in lines[23]
    assert lines[24].endswith("120 golden vectors answered bit for bit; 20 second installations")


def test_machines_are_told_the_same(played: type[PlayedMachine], cut: Run) -> None:
    code, (line,) = cut("--json")
    figures = json.loads(line)
    assert code == ExitCode.DONE
    assert len(figures["cuts"]) == 20
    assert {cut["ran"] for cut in figures["cuts"]} <= {"the old", "the new", "the new, on trial"}
    assert all(cut["ran"] in cut["may_run"] and cut["installed_again"] for cut in figures["cuts"])


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        ({"runs": "sha of something"}, r"runs sha of something, must run one of \["),
        ({"faults": ["slot a is passed over"]}, "slot a is passed over"),
        ({"state_fault": "state.json is damaged"}, "state.json is damaged"),
        ({"wrong": ["finder.tflite: golden vector one answered differently"]}, "answered differently"),
        ({"golden": 0}, "no golden vector was run"),
        ({"fallback_damage": "b/bundle.maskwatch is damaged"}, "the fallback: b/bundle.maskwatch is damaged"),
        ({"fault": "BundleError()"}, r"the door does not start: BundleError\(\)"),
    ],
)
def test_a_door_that_starts_badly_is_found(
    played: type[PlayedMachine], cut: Run, spoil: dict[str, Any], fault: str
) -> None:
    played.spoil = spoil
    code, lines = cut()
    assert code == ExitCode.FINDING
    assert lines[-1].startswith("failed: cut 1: ")
    assert re.search(fault, lines[-1])


def test_a_door_that_forgets_what_it_answered_is_found(played: type[PlayedMachine], cut: Run) -> None:
    played.forgets = True
    code, lines = cut()
    assert code == ExitCode.FINDING
    assert "must run one of" in lines[-1]


def test_a_half_written_file_in_its_place_is_found(played: type[PlayedMachine], cut: Run) -> None:
    played.found = {"a/bundle.maskwatch": {"bytes": 3, "sha256": "half"}}
    code, lines = cut()
    assert code == ExitCode.FINDING
    assert "cut 1: a/bundle.maskwatch is in its place and not whole" in lines[-1]
    assert lines[1].endswith("a/bundle.maskwatch: 3 bytes")


def test_a_guest_that_falls_silent_ends_the_test(played: type[PlayedMachine], cut: Run) -> None:
    played.mute_after = 3
    code, lines = cut()
    assert code == ExitCode.FINDING
    assert lines[-1] == "failed: cut 3: the guest said nothing for 240 s"


def test_a_damaged_file_system_is_found(played: type[PlayedMachine], cut: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_cuts, "file_system_faults", lambda disk: "Inode 12 is damaged")
    code, lines = cut()
    assert (code, lines[-1]) == (ExitCode.FINDING, "failed: the file system: Inode 12 is damaged")


# What is missing


def test_packages_that_are_missing_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None if name in (vm_machine.QEMU, "cpio") else name)
    assert power_cuts.main([]) == ExitCode.OPERATOR
    said = capsys.readouterr().err
    assert said == "maskwatch: power-cut-test needs Debian packages: apt-get install cpio qemu-system-arm\n"


def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(power_cuts, "check_tools", lambda: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert power_cuts.main([]) == ExitCode.OPERATOR
    assert capsys.readouterr().err == "maskwatch: power-cut-test needs root: sudo make power-cut-test\n"


# A real one


@pytest.mark.pi
@pytest.mark.timeout(900)
def test_two_power_cuts_of_a_whole_machine(capsys: pytest.CaptureFixture[str]) -> None:
    code = power_cuts.main(["--cuts", "2"])
    said = capsys.readouterr()
    if code == ExitCode.OPERATOR:
        pytest.skip(said.err)
    print(said.out)
    assert code == ExitCode.DONE, said.out + said.err
