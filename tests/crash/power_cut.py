"""The power is cut before every single change of the disk; from every disk that may be left, a door is started."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from maskwatch.errors import MaskwatchError, OperatorError
from maskwatch.slots.states import State
from maskwatch.slots.store import Slots
from nobody import NOBODY
from scenes import Models, Scene, next_start, quick_disk, running
from seam import Seam
from torn_disk import Image, images, materialise

SLOTS = "slots"


class Killed(BaseException):
    """SIGKILL: nothing may catch it."""


@dataclass
class Figures:
    """What was tried: steps, by their calls; disks that were started from; and what ran then."""

    steps: Counter[str] = field(default_factory=Counter)
    disks: int = 0
    ran: Counter[str] = field(default_factory=Counter)

    def __iadd__(self, more: Figures) -> Figures:
        self.steps += more.steps
        self.disks += more.disks
        self.ran += more.ran
        return self


class Door:
    """A folder with a door's slots, copied from `base`, and the seam before its disk."""

    def __init__(self, scene: Scene, models: Models, base: Path, root: Path) -> None:
        shutil.copytree(base, root)
        self.scene, self.models, self.root = scene, models, root
        self.before = running(self.slots())
        self.steps: list[str] = []
        self._at_step: Callable[[int], None] = lambda number: None
        self._seam = Seam(root, self._step)

    def slots(self) -> Slots:
        """As a process finds them that starts now."""
        return Slots(self.root / SLOTS, NOBODY)

    def act(self, at_step: Callable[[int], None]) -> None:
        """Do what the scene is about. `at_step` is called before each change of the disk, with its number."""
        self._at_step = at_step
        with self._seam.standing():
            self.scene.act(self.slots(), self.models)

    def images(self) -> list[Image]:
        """What a power cut may leave now."""
        return images(self._seam.tree)

    def _step(self, call: str, path: str) -> None:
        self.steps.append(f"{call} {path}")
        self._at_step(len(self.steps) - 1)


def prepared(scene: Scene, models: Models, folder: Path) -> Path:
    """A folder as the scene wants it."""
    base = folder / "base"
    base.mkdir()
    with quick_disk():
        scene.prepare(Slots(base / SLOTS, NOBODY), models)
    return base


class Starter:
    """Starts doors from disks that a power cut left, each once."""

    def __init__(self, scene: Scene, models: Models, folder: Path) -> None:
        self.figures = Figures()
        self._scene, self._models, self._folder = scene, models, folder
        self._numbers = itertools.count()
        self._done: set[tuple[object, ...]] = set()

    def start(self, disks: Iterable[Image], allowed: set[str | None], when: str, last: State | None = None) -> None:
        """Raises AssertionError, with `when`, at a disk that leaves a door badly, or not in the `last` State."""
        for disk in disks:
            key = (frozenset(disk.items()), frozenset(allowed), last)
            if key in self._done:
                continue
            self._done.add(key)
            root = self._folder / f"disk-{next(self._numbers)}"
            root.mkdir()
            materialise(disk, root)
            found = Slots(root / SLOTS, NOBODY).read()
            assert last in (None, found), f"{self._scene.name}: {when}, {root} says {found}, must say {last}"
            self.start_in(root, allowed, when)
            self.figures.disks += 1
            shutil.rmtree(root)

    def start_in(self, root: Path, allowed: set[str | None], when: str) -> None:
        """Start from a disk as it lies there."""
        try:
            with quick_disk():
                ran = next_start(Slots(root / SLOTS, NOBODY), self._models, allowed, self._scene.spoilt)
        except (AssertionError, MaskwatchError) as error:
            raise AssertionError(f"{self._scene.name}: {when}, {root} is left: {error}") from error
        self.figures.ran[ran or "the built-in bundle"] += 1


def cut_at_every_step(scene: Scene, models: Models, folder: Path) -> Figures:
    """Cut the power before each step, and after the last: what was done by then must last."""
    starter = Starter(scene, models, folder)
    door = Door(scene, models, prepared(scene, models, folder), folder / "door")
    left: list[list[Image]] = []
    door.act(lambda number: left.append(door.images()))
    after, last = running(door.slots()), door.slots().read()
    for step, disks in zip(door.steps, left, strict=True):
        starter.figures.steps[step.partition(" ")[0]] += 1
        starter.start(disks, {door.before, after}, f"cut off before {step}")
    starter.start(door.images(), {after}, "cut off when all was done", last)
    return starter.figures


def kill_at_every_step(scene: Scene, models: Models, folder: Path) -> Figures:
    """Kill the process before each step; another does it all again; and the power is cut before each step of that."""
    starter, base = Starter(scene, models, folder), prepared(scene, models, folder)
    number, ended = 0, False
    while not ended:
        door = Door(scene, models, base, folder / f"door-{number}")
        left: list[list[Image]] = []

        def kill(step: int, number: int = number) -> None:
            if step >= number:  # the dead change nothing more
                raise Killed

        try:
            door.act(kill)
            ended = True
        except Killed:
            pass
        killed = "the end" if ended else door.steps[number]
        if not ended:
            starter.figures.steps[killed.partition(" ")[0]] += 1
        door.act(lambda step, door=door, left=left: left.append(door.images()))
        after, last = running(door.slots()), door.slots().read()
        for disks in left:
            starter.start(disks, {door.before, after}, f"killed before {killed}, done again and cut off meanwhile")
        starter.start(door.images(), {after}, f"killed before {killed}, done again and cut off then", last)
        number += 1
    return starter.figures


def refuse_every_step(scene: Scene, models: Models, folder: Path, fault: OSError, *, for_good: bool) -> Figures:
    """Let the disk refuse each step, and all after it where `for_good`: one clear error at most, and no harm."""
    starter, base = Starter(scene, models, folder), prepared(scene, models, folder)
    after = _after(scene, models, base, folder / "after")
    number = 0
    while True:
        door = Door(scene, models, base, folder / f"door-{number}")

        def refuse(step: int, number: int = number) -> None:
            if step == number or (for_good and step > number):
                raise OSError(fault.errno, fault.strerror)

        with contextlib.suppress(OperatorError):  # anything else is a fault
            door.act(refuse)
        if len(door.steps) == number:
            return starter.figures
        refused = door.steps[number]
        starter.figures.steps[refused.partition(" ")[0]] += 1
        starter.start_in(door.root, {door.before, after}, f"refused {refused}")
        number += 1


def _after(scene: Scene, models: Models, base: Path, root: Path) -> str | None:
    """What runs where nothing goes wrong."""
    door = Door(scene, models, base, root)
    with quick_disk():
        scene.act(door.slots(), models)
    return running(door.slots())
