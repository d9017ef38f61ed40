"""One step of an installation, and how a plan of them is carried out."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from maskwatch.errors import OperatorError, TryAgainError
from maskwatch.installer.system import System


class Step(Protocol):
    """Something that must be so. Both methods raise MaskwatchError, with what to do, where it cannot be."""

    @property
    def name(self) -> str:
        """What it is about, in a word or two."""

    def settled(self, system: System) -> str | None:
        """How it is, where nothing is to do; None where something is. Changes nothing."""

    def act(self, system: System) -> str:
        """Make it so, and say how it is now. May be cut off anywhere and begun again."""


def carry_out(plan: Sequence[Step], system: System) -> int:
    """Take the steps in turn and tell of each; returns how many had something to do.

    Raises OperatorError or TryAgainError at the first that cannot be done.
    """
    worked = 0
    for step in plan:
        try:
            as_it_is = step.settled(system)
            if as_it_is is not None:
                system.say(f"{step.name}: as it is ({as_it_is})")
                continue
            worked += 1
            if system.dry:
                system.say(f"{step.name}:")
            words = step.act(system)
        except PermissionError as error:
            raise OperatorError(f"{step.name}: {error.filename or error}: not permitted: run it with sudo") from error
        except OSError as error:
            if isinstance(error, TryAgainError):
                raise
            where = f"{error.filename}: " if error.filename else ""
            raise OperatorError(f"{step.name}: {where}{error.strerror or error}") from error
        if not system.dry:
            system.say(f"{step.name}: {words}")
    return worked


@contextmanager
def alone(system: System) -> Iterator[None]:
    """Keep a second installer out meanwhile. Raises TryAgainError where one is at work."""
    if system.dry:
        yield
        return
    folder = os.open(system.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TryAgainError("another installation is at work here: wait for its end") from error
        yield
    finally:
        os.close(folder)


@dataclass(frozen=True, slots=True)
class Said:
    """Nothing to do, but something to say."""

    name: str
    words: str

    def settled(self, system: System) -> str | None:
        """The words."""
        return self.words

    def act(self, system: System) -> str:
        """Never called."""
        return self.words
