"""What the power cuts did, told to people and to machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cut_plan import Ending, Moment, Runs

TEMPORARY = ".maskwatch-tmp"
REPLAYED = "recovery complete"
COLUMNS = "{:>3}  {:<10}{:<36}{:>9}  {:<12}{:<6}{}"


@dataclass
class Landed:
    """One power cut: where it landed, and what came after."""

    ending: Ending
    planned: Moment
    moment: Moment
    after_s: float
    """Since the begin of the moment, as this machine heard of it."""

    old: str
    new: str
    may_run: Collection[str] = ()
    ran: str = ""
    found: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    half_written: Sequence[str] = ()
    aside: Sequence[str] = ()
    replayed: bool = False
    golden_vectors: int = 0
    installed_again: bool = False
    faults: list[str] = field(default_factory=list)


@dataclass
class Figures:
    """All of them."""

    cuts: list[Landed] = field(default_factory=list)
    seconds: float = 0.0
    round_seconds: float = 0.0
    start_seconds: float = 0.0
    file_system: str | None = None
    """What e2fsck says at the end; empty where it is clean, None where it was not asked."""

    faults: list[str] = field(default_factory=list)
    """Of no cut."""

    def all_faults(self) -> list[str]:
        faults = [f"cut {number}: {fault}" for number, cut in enumerate(self.cuts, 1) for fault in cut.faults]
        return [*self.faults, *faults, *([f"the file system: {self.file_system}"] if self.file_system else [])]


def kept_wrongly(found: Mapping[str, Mapping[str, Any]], whole: Collection[str]) -> tuple[list[str], list[str]]:
    """The names of files that are not whole, and of those that lie aside; `whole` are the SHA-256 of whole ones."""
    half = [name for name, file in found.items() if not (file["sha256"] in whole or "json" in file)]
    return half, [name for name in found if name.endswith(TEMPORARY)]


def called(runs: Runs, old: str, new: str) -> str:
    """`the old`, `the new, on trial`, or `another`."""
    name = {old: "the old", new: "the new"}.get(runs[0], "another")
    return f"{name}, on trial" if runs[1] else name


def table(figures: Figures) -> list[str]:
    """For people; the last line is the verdict."""
    cuts = figures.cuts
    lines = [COLUMNS.format("cut", "step", "cut off in", "after ms", "may run", "ran", "left half written, or aside")]
    for number, cut in enumerate(cuts, 1):
        left = [f"{name}: {cut.found[name]['bytes']:,} bytes" for name in cut.half_written]
        left += [f"{name}, whole" for name in cut.aside if name not in cut.half_written]
        lines.append(
            COLUMNS.format(
                number, cut.moment.step, cut.moment.call, f"{cut.after_s * 1000:.1f}", _short(cut.may_run),
                _short([cut.ran]), "; ".join(left),
            ).rstrip()
        )  # fmt: skip
    hit = Counter(cut.moment.step for cut in cuts)
    calls = Counter(_kind(cut) for cut in cuts)
    lines += [
        f"{len(cuts)} power cuts in {figures.seconds:.0f} s, each in a change of models of "
        f"{figures.round_seconds:.1f} s: {_counted(hit)}",
        f"cut off in: {_counted(calls)}",
        f"{sum(bool(cut.half_written) for cut in cuts)} left a file half written, "
        f"{sum(bool(set(cut.aside) - set(cut.half_written)) for cut in cuts)} a whole one aside; "
        f"the kernel replayed its journal {sum(cut.replayed for cut in cuts)} times; "
        f"the file system is {_cleanliness(figures.file_system)}",
        f"afterwards ran {_counted(Counter(cut.ran.partition(',')[0] for cut in cuts))}; "
        f"{sum(cut.golden_vectors for cut in cuts)} golden vectors answered bit for bit; "
        f"{sum(cut.installed_again for cut in cuts)} second installations",
    ]
    faults = figures.all_faults()
    lines.append(f"failed: {'; '.join(faults)}" if faults else "passed")
    return lines


def _kind(cut: Landed) -> str:
    kinds = {
        "begin": "before a step's first call",
        "answered": "after a step's answer",
        "after": "between calls",
        "writing": "between calls",
        "checking": "the bundle's checks",
        "running": "golden vectors",
    }
    word = cut.moment.call.split()[0]
    return kinds.get(word, word)


def _short(runs: Collection[str]) -> str:
    return " or ".join(sorted({name.partition(",")[0].removeprefix("the ") for name in runs}, reverse=True))


def _cleanliness(said: str | None) -> str:
    return {None: "not examined", "": "clean"}.get(said, "damaged")


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common()) or "none"
