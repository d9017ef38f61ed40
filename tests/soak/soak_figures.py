"""What a soak has found: its samples to figures, its figures to a verdict, and both to a table and a record."""

from __future__ import annotations

import itertools
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FIFTHS = 5
"""Growth is the median of the last fifth of the samples less that of the second; the first is warm-up."""

FEWEST_SAMPLES = 3 * FIFTHS
"""A soak that is too short for them goes on until it has them."""

MB = 1e6


@dataclass(frozen=True, slots=True)
class Plan:
    """What a soak is: so long, so fast a camera, killed so often after so much work, before such a watchdog."""

    bundle: Path
    seconds: float
    frames_per_second: float
    kills: int
    work_seconds: float
    watchdog_seconds: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What the daemon took at a moment, in seconds since it was ready; `frames` is how many it had judged by then."""

    at_s: float
    resident_bytes: int
    proportional_bytes: int
    private_bytes: int
    descriptors: int
    threads: int
    frames: int


@dataclass(slots=True)
class Outage:
    """A death of the camera: killed, missed by the daemon, returned, seen again; in seconds since it was ready."""

    killed_s: float
    missed_s: float | None = None
    returned_s: float | None = None
    seen_s: float | None = None


@dataclass(slots=True)
class Result:
    """All that a soak has seen. `samples` were taken with the camera at work; `feeds_s` are the watchdog's.

    `faults` are what should not have happened; the soak ended there.
    """

    samples: list[Sample] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    feeds_s: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    frames: int = 0
    longest_pause_seconds: float = 0.0
    start_seconds: float = 0.0
    seconds: float = 0.0
    stop_seconds: float = 0.0

    @property
    def longest_feed_seconds(self) -> float:
        """The longest time between two feeds of the watchdog."""
        return max((after_s - before_s for before_s, after_s in itertools.pairwise(self.feeds_s)), default=0.0)

    @property
    def recoveries_s(self) -> list[float]:
        """From each return of the camera to the next judged frame."""
        return [
            outage.seen_s - outage.returned_s
            for outage in self.outages
            if outage.seen_s is not None and outage.returned_s is not None
        ]

    @property
    def losses_s(self) -> list[float]:
        """From each death of the camera until the door said so."""
        return [outage.missed_s - outage.killed_s for outage in self.outages if outage.missed_s is not None]


@dataclass(frozen=True, slots=True)
class Growth:
    """A figure's median over the second fifth of the samples, and over the last."""

    before: float
    after: float

    @property
    def by(self) -> float:
        """What was added in between."""
        return self.after - self.before


def fifth(values: Sequence[float], number: int) -> Sequence[float]:
    """The `number`-th of five parts of values in their order, from 0 on."""
    return values[len(values) * number // FIFTHS : len(values) * (number + 1) // FIFTHS]


def growth(values: Sequence[float]) -> Growth:
    """How figures grew, warm-up left out; of at least five."""
    return Growth(statistics.median(fifth(values, 1)), statistics.median(fifth(values, FIFTHS - 1)))


MEASURES: dict[str, Callable[[Sample], float]] = {
    "resident_bytes": lambda sample: sample.resident_bytes,
    "proportional_bytes": lambda sample: sample.proportional_bytes,
    "private_bytes": lambda sample: sample.private_bytes,
    "descriptors": lambda sample: sample.descriptors,
    "threads": lambda sample: sample.threads,
}


def growths(samples: Sequence[Sample]) -> dict[str, Growth]:
    """The growth of each measure; none where there are too few samples to tell."""
    if len(samples) < FEWEST_SAMPLES:
        return {}
    found = {name: growth([measure(sample) for sample in samples]) for name, measure in MEASURES.items()}
    return found | {"frames_per_second": growth(rates(samples))}


def rates(samples: Sequence[Sample]) -> list[float]:
    """Frames judged a second, between samples."""
    return [
        (after.frames - before.frames) / (after.at_s - before.at_s) for before, after in itertools.pairwise(samples)
    ]


def faults_of(plan: Plan, result: Result, most_growth_mb: float) -> Iterator[str]:
    """All that is wrong, a line each; nothing where the soak is passed."""
    yield from result.faults
    if result.faults:
        return
    found = growths(result.samples)
    if (by_mb := found["resident_bytes"].by / MB) >= most_growth_mb:
        yield f"resident memory grew by {by_mb:.2f} MB, must be less than {most_growth_mb:g} MB"
    for name, words in (("descriptors", "open files"), ("threads", "threads")):
        if found[name].by > 0:
            yield f"{words} grew by {found[name].by:g}, must not grow"
    if result.frames == 0:
        yield "no frame was counted"
    if len(result.recoveries_s) < plan.kills:
        yield f"the camera was back {len(result.recoveries_s)} times, must be {plan.kills}"


def table(plan: Plan, result: Result, title: str, faults: Sequence[str]) -> Iterator[str]:
    """The figures for people."""
    camera = f"a camera of {plan.frames_per_second:g} frames a second"
    yield f"{title}, {result.seconds / 60:.1f} minutes, {camera}, {platform.machine()}"
    found = growths(result.samples)
    if found:
        yield f"{'median of the fifth of samples':32}{'second':>10}{'last':>10}{'growth':>10}"
        for words, name, unit, digits in (
            ("resident memory, MB", "resident_bytes", MB, 2),
            ("proportional memory, MB", "proportional_bytes", MB, 2),
            ("private memory, MB", "private_bytes", MB, 2),
            ("open files", "descriptors", 1, 0),
            ("threads", "threads", 1, 0),
            ("frames judged a second", "frames_per_second", 1, 1),
        ):
            before, after, by = (value / unit for value in (found[name].before, found[name].after, found[name].by))
            yield f"  {words:30}{before:10.{digits}f}{after:10.{digits}f}{by:+10.{digits}f}"
    yield f"{'frames judged':32}{result.frames:10,}"
    yield f"{'longest pause between two':32}{result.longest_pause_seconds:10.2f} s"
    yield f"{'watchdog fed':32}{len(result.feeds_s):10,} times"
    yield f"{'longest time between two':32}{result.longest_feed_seconds:10.2f} s of {plan.watchdog_seconds:g} s"
    yield f"{'camera killed and back':32}{len(result.recoveries_s):10,} times of {plan.kills}"
    for words, seconds in (("shown as lost", result.losses_s), ("back after its return", result.recoveries_s)):
        if seconds:
            yield f"  {words:30}{statistics.median(seconds):10.2f} s, at most {max(seconds):.2f} s"
    yield f"{'daemon ready, stopped':32}{result.start_seconds:10.2f} s, {result.stop_seconds:.2f} s"
    yield "passed" if not faults else f"failed: {'; '.join(faults)}"


def record(plan: Plan, result: Result, title: str, faults: Sequence[str]) -> dict[str, Any]:
    """The figures for machines; keys carry the units."""
    return {
        "machine": platform.machine(),
        "bundle": title,
        "camera_frames_per_second": plan.frames_per_second,
        "seconds": result.seconds,
        "growth": {
            name: {"second_fifth": growth.before, "last_fifth": growth.after, "by": growth.by}
            for name, growth in growths(result.samples).items()
        },
        "samples": len(result.samples),
        "frames": result.frames,
        "longest_pause_seconds": result.longest_pause_seconds,
        "watchdog_seconds": plan.watchdog_seconds,
        "watchdog_feeds": len(result.feeds_s),
        "longest_feed_seconds": result.longest_feed_seconds,
        "kills": plan.kills,
        "outages": [asdict(outage) for outage in result.outages],
        "recovery_seconds": result.recoveries_s,
        "start_seconds": result.start_seconds,
        "stop_seconds": result.stop_seconds,
        "faults": list(faults),
        "passed": not faults,
    }
