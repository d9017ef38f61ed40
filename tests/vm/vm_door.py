"""A door in a virtual machine, through many power cuts: what it is told to do, and whether it does well."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cut_plan import ROUND, Clock, Cut, Ending, Moment, Runs, allowed, moments
from maskwatch.bundle import default_bundle_path, open_bundle
from maskwatch_convert.pack import write_bundle
from vm_kernel import Kernel, write_initramfs
from vm_machine import Machine, Word
from vm_report import REPLAYED, Landed, called, kept_wrongly

VERSIONS = ("1.0.0", "2.0.0", "3.0.0", "4.0.0")
SIGNATURE = b"-----BEGIN SSH SIGNATURE-----\n" * 20
"""Beside each bundle. No door here asks for one, so that nobody verifies it; it is installed, too."""

CARD_BYTES = 700_000
"""Makes a bundle of some 1.8 MB, no two alike anywhere: to write it takes a while."""


@dataclass(frozen=True)
class Bundles:
    """The built-in networks under other versions; `files` by their names, `sha256` by their versions."""

    files: Mapping[str, bytes]
    sha256: Mapping[str, str]
    built_in: str

    @property
    def whole(self) -> set[str]:
        """The SHA-256 of all files that may lie in a slot."""
        return {hashlib.sha256(content).hexdigest() for content in self.files.values()}

    def name(self, version: str) -> str:
        return next(name for name in self.files if name.endswith(f"-{version}.maskwatch"))


def make_bundles() -> Bundles:
    """With real networks and their golden vectors."""
    built_in = open_bundle(default_bundle_path())
    files, sha256 = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for version in VERSIONS:
            card = random.Random(version).randbytes(CARD_BYTES).hex().encode()
            manifest = dataclasses.replace(built_in.manifest, version=version)
            made = write_bundle(Path(folder), manifest, {**built_in.members, "MODEL_CARD.md": card})
            files[made.path.name] = made.path.read_bytes()
            sha256[version] = made.sha256
            files[f"{made.path.name}.sig"] = SIGNATURE
    return Bundles(files, sha256, built_in.sha256)


class Door:
    """One disk, and the machine that is started from it after each power cut. Files are made in `folder`."""

    def __init__(self, disk: Path, kernel: Kernel, folder: Path, guest: Mapping[str, bytes], bundles: Bundles) -> None:
        self._start_from = (disk, kernel, folder / "initramfs", folder / "console.log")
        write_initramfs(folder / "initramfs", kernel, {**guest, **bundles.files})
        self._bundles = bundles
        self._machine: Machine | None = None
        self._installed: list[str] = []
        self.runs, self.trying = bundles.built_in, False
        self.start_seconds = 0.0

    def close(self) -> None:
        """Cut the power for good."""
        if self._machine is not None:
            self._machine.cut()

    def start(self, may_run: set[Runs], landed: Landed | None = None) -> list[str]:
        """Start the machine, and let its door start; returns the faults. Raises GuestError."""
        since_s = time.monotonic()
        machine = self._machine = Machine(*self._start_from)
        up = machine.listen()
        started = machine.listen()
        self.start_seconds = time.monotonic() - since_s
        faults = [f"the kernel says: {line}" for line in up["kernel"] if "error" in line.lower()]
        half, aside = kept_wrongly(up["found"], self._bundles.whole)
        faults += [f"{name} is in its place and not whole" for name in half if name not in aside]
        faults += self._judge(started, may_run)
        if landed is not None and "runs" in started:
            landed.found, landed.half_written, landed.aside = up["found"], half, aside
            landed.replayed = any(REPLAYED in line for line in up["kernel"])
            landed.golden_vectors = started["golden"]
            landed.ran = called((started["runs"], started["trying"]), landed.old, landed.new)
        self.runs = started.get("runs", self.runs)
        self.trying = bool(started.get("trying"))
        return faults

    def round(self, ending: Ending, heard: Callable[[Word], None] = lambda word: None) -> list[str]:
        """A whole change of models; returns the faults. Raises GuestError."""
        old, new = self.runs, self._next()
        faults: list[str] = []
        steps = [*(["confirm"] if self.trying else []), *ROUND, ending]
        for word in self._words(new, steps):
            heard(word)
            if word["say"] == "done":
                faults += _fault_of(word)
                if word["step"] == "start":
                    faults += self._judge(word, {(new, True)})
        self.runs, self.trying = (new if ending == "confirm" else old), False
        return faults

    def measured_round(self, ending: Ending) -> tuple[list[Moment], list[str]]:
        """A whole change of models, its moments, and the faults. Raises GuestError."""
        words: list[Word] = []
        faults = self.round(ending, words.append)
        return list(moments(words)), faults

    def cut_off(self, cut: Cut) -> tuple[Landed, set[Runs]]:
        """A change of models that ends with the power cut: where that landed, and what may run then."""
        assert self._machine is not None
        assert not self.trying
        words, clock, old, new = [], Clock(), self.runs, self._next()
        for word in self._words(new, [*ROUND, cut.ending]):
            words.append(word)
            begun = clock.hear(word)
            if begun is not None and begun.is_same(cut.moment):
                self._machine.wait(cut.after_s)
                break
            if word["say"] == "done" and word["step"] == cut.moment.step:
                break  # this round went another way
        cut_s = time.monotonic()
        words += self._machine.cut()
        may_run = allowed(words, old, new)
        moment, since_s = _last(words)
        landed = Landed(
            cut.ending, cut.moment, moment, max(0.0, cut_s - since_s), old, new,
            sorted(called(runs, old, new) for runs in may_run),
        )  # fmt: skip
        landed.faults += [fault for word in words if word["say"] == "done" for fault in _fault_of(word)]
        return landed, may_run

    def _words(self, new: str, steps: list[str]) -> Iterator[Word]:
        assert self._machine is not None
        version = next(version for version, sha256 in self._bundles.sha256.items() if sha256 == new)
        self._installed.append(new)
        self._machine.tell(bundle=self._bundles.name(version), steps=" ".join(steps))
        word: Word = {"say": ""}
        while word["say"] != "idle":
            word = self._machine.listen()
            yield word

    def _next(self) -> str:
        """A bundle that lies in no slot."""
        recent = {self.runs, *self._installed[-1:]}
        turn = list(self._bundles.sha256.values())
        start = turn.index(self._installed[-1]) + 1 if self._installed else 0
        return next(sha256 for sha256 in turn[start:] + turn[:start] if sha256 not in recent)

    def _judge(self, started: Word, may_run: set[Runs]) -> list[str]:
        """What is wrong with a door's start."""
        if "fault" in started:
            return [f"the door does not start: {started['fault']}"]
        faults = [*started["faults"], *started["wrong"]]
        if started["state_fault"]:
            faults.append(f"state.json: {started['state_fault']}")
        if started["fallback_damage"]:
            faults.append(f"the fallback: {started['fallback_damage']}")
        if not started["golden"]:
            faults.append("no golden vector was run")
        runs = (started["runs"], started["trying"])
        if runs not in may_run:
            faults.append(f"runs {self._known(runs)}, must run one of {sorted(map(self._known, may_run))}")
        return faults

    def _known(self, runs: Runs) -> str:
        names = {self._bundles.built_in: "the built-in bundle"}
        names |= {sha256: version for version, sha256 in self._bundles.sha256.items()}
        return f"{names.get(runs[0], runs[0])}{', on trial' if runs[1] else ''}"


def _fault_of(word: Word) -> list[str]:
    if "fault" in word:
        return [f"{word['step']}: {word['fault']}"]
    return [f"{word['step']}: exit code {word['code']}"] if word["code"] else []


def _last(words: Iterable[Word]) -> tuple[Moment, float]:
    """The last moment that began, and when."""
    clock, last = Clock(), (Moment("", "begin"), 0.0)
    for word in words:
        begun = clock.hear(word)
        if begun is not None:
            last = (begun, word["at_s"])
    return last
