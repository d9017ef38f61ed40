"""When to cut the power, drawn from what was measured, and what a door may run after it. Pure.

A round is one change of models: install, activate, start, and a confirmation or a rollback. A moment of it is the time
from one of the guest's words to the next.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Ending = Literal["confirm", "rollback"]

ROUND = ("install", "activate", "start")
TEN_CUTS = ("install",) * 5 + ("activate",) * 2 + ("start", "confirm", "rollback")
"""Of ten cuts, in which step they are to land."""

WEIGHTS = {"fsync": 6, "write": 3, "rename": 3, "running": 2}
"""How much likelier than others, within a step, by a moment's first word."""

BUNDLE_WEIGHT = 8
"""How much likelier, of those, the bundle's than the state's."""

Runs = tuple[str, bool]
"""A bundle's SHA-256, and whether it is on trial."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One of a step's moments: what the guest said at its begin, the how manieth of that name, and how long it took."""

    step: str
    call: str
    number: int = 1
    seconds: float = 0.0

    def is_same(self, other: Moment) -> bool:
        """Whether both are the same place in a round, whichever slot that went to."""
        mine, others = (self.step, _anywhere(self.call)), (other.step, _anywhere(other.call))
        return (mine, self.number) == (others, other.number)


@dataclass(frozen=True, slots=True)
class Cut:
    """A round that is to end with `ending`, but is cut off so long after the begin of a moment."""

    ending: Ending
    moment: Moment
    after_s: float


class Clock:
    """Turns a round's words into moments as they come."""

    def __init__(self) -> None:
        self._step, self._seen = "", Counter[tuple[str, str]]()

    def hear(self, word: Mapping[str, Any]) -> Moment | None:
        """The moment that begins with this word; None at the round's end, where none does."""
        if word["say"] == "idle":
            return None
        self._step = word.get("step", self._step)
        call = {"begin": "begin", "done": "answered"}.get(word["say"]) or word["call"]
        self._seen[self._step, _anywhere(call)] += 1
        return Moment(self._step, call, self._seen[self._step, _anywhere(call)])


def moments(words: Sequence[Mapping[str, Any]]) -> Iterator[Moment]:
    """All of a round's, with how long each took."""
    clock = Clock()
    for word, following in itertools.pairwise(words):
        begun = clock.hear(word)
        if begun is not None:
            yield Moment(begun.step, begun.call, begun.number, following["at_s"] - word["at_s"])


def plan(cuts: int, rounds: Mapping[Ending, Sequence[Moment]], seed: int) -> list[Cut]:
    """So many cuts, spread over the steps as TEN_CUTS says, the same for the same seed and the same moments."""
    chance = random.Random(seed)
    planned: list[Cut] = []
    while len(planned) < cuts:
        for step in chance.sample(TEN_CUTS, len(TEN_CUTS)):
            ending = next((ending for ending in rounds if ending == step), None) or chance.choice(list(rounds))
            choices = [moment for moment in rounds[ending] if moment.step == step]
            (moment,) = chance.choices(choices, [_weight(moment.call) for moment in choices])
            planned.append(Cut(ending, moment, chance.uniform(0, moment.seconds)))
    return planned[:cuts]


def allowed(words: Iterable[Mapping[str, Any]], old: str, new: str) -> set[Runs]:
    """What a door may run once it was cut off after these words of a round from one confirmed bundle to another.

    What was answered is for good; of what was begun, either may be.
    """
    before, trial, after = (old, False), (new, True), (new, False)
    moves = {"activate": (before, trial), "confirm": (trial, after), "rollback": (trial, before)}
    runs = {before}
    for word in words:
        move = moves.get(word.get("step", ""))
        if move is not None and word["say"] in ("begin", "done"):
            runs = set(move) if word["say"] == "begin" else {move[1]}
    return runs


def _anywhere(call: str) -> str:
    """A call without the slot's name."""
    return re.sub(r"\b[ab](/|$)", r"slot\1", call)


def _weight(call: str) -> int:
    weight = WEIGHTS.get(call.split()[0], 1)
    return weight * BUNDLE_WEIGHT if "bundle" in call else weight
