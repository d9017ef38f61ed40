"""SIGKILL at random moments of real changes of models: `maskwatch slots …` on a real disk, golden vectors run.

Processes are forked, as a Python that starts afresh would spend most of its life on imports, and be killed there. Who
forks runs no network itself: a runtime's threads would not come along.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TextIO

from maskwatch import cli
from maskwatch.errors import ExitCode, MaskwatchError
from maskwatch.golden import make_golden
from maskwatch.interpreter import TFLiteNetwork, load_runtime
from maskwatch.slots import admission, report
from maskwatch.slots.running import Runner
from maskwatch.slots.store import Slots
from maskwatch_convert.pack import write_bundle
from nobody import NOBODY
from scenes import running
from tiny_models import tiny_manifest, tiny_members

VERSIONS = ("1.0.0", "2.0.0", "3.0.0")

CARD = b"# Tiny\n" * 30_000
"""Makes a bundle of some 200 kB: to write it takes a while."""

WARM_UP = 4
"""Rounds before the one that is timed, and that one."""

LOADED = (admission, report)
"""What the children need, loaded before the fork."""

Bundles = Mapping[str, Path]
Tell = Callable[[Mapping[str, object]], None]


@dataclass
class KillFigures:
    """What was hit, what lay there then, and what ran at the next start."""

    hit: Counter[str] = field(default_factory=Counter)
    half_written: int = 0
    ran: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    round_seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def kill_often(kills: int, folder: Path, seed: int, progress: Callable[[int], None]) -> KillFigures:
    """Kill so often; `progress` gets the number after each."""
    figures, chance, since_s = KillFigures(), random.Random(seed), time.monotonic()
    load_runtime()
    _run(lambda tell: _make_bundles(folder))
    bundles = {version: folder / f"tiny-{version}.maskwatch" for version in VERSIONS}
    place = folder / "slots"
    timed = _run(lambda tell: _time_a_round(place, bundles, tell))
    if "seconds" not in timed:
        figures.faults.append(f"without a kill: {timed.get('fault', 'it ended without a word')}")
        return figures
    figures.round_seconds = float(str(timed["seconds"]))
    for number in range(1, kills + 1):
        hit, killed = _kill(place, bundles, chance.uniform(0, figures.round_seconds))
        figures.hit[str(hit["action"])] += 1
        figures.half_written += any(place.rglob(".*.maskwatch-tmp"))
        found = _run(lambda tell, hit=hit: _start(place, bundles, {hit["before"], hit["after"]}, tell))
        if not killed:
            figures.faults.append(f"kill {number}: it had ended by itself: {hit}")
        if "ran" not in found:
            figures.faults.append(f"kill {number}, {hit}: {found.get('fault', 'the next start ended without a word')}")
        elif hit["before"] == hit["after"]:
            figures.ran["the one that was not to change"] += 1
        else:
            figures.ran["the old one" if found["ran"] == hit["before"] else "the new one"] += 1
        progress(number)
    figures.seconds = time.monotonic() - since_s
    return figures


def _make_bundles(folder: Path) -> None:
    members = tiny_members() | {"MODEL_CARD.md": CARD}
    golden = [
        vector
        for name in ("finder.tflite", "classifier.tflite")
        for vector in make_golden(TFLiteNetwork(members[name]), name, ("one", "two"))
    ]
    for version in VERSIONS:
        write_bundle(folder, tiny_manifest(version=version, golden=tuple(golden)), members)


def _time_a_round(place: Path, bundles: Bundles, tell: Tell) -> None:
    """How long a change of models takes here, once all is warm."""
    for _ in range(WARM_UP):
        since_s = time.monotonic()
        _round(place, bundles, lambda words: None, confirmed=True)
        tell({"seconds": time.monotonic() - since_s})


def _kill(place: Path, bundles: Bundles, after_s: float) -> tuple[dict[str, object], bool]:
    """Kill who changes models, so long after it has begun; what it was at, and whether it was alive until then."""
    pid, reader = _fork(lambda tell: _work(place, bundles, tell))
    with reader:
        first = reader.readline()
        time.sleep(after_s)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        *_, last = (first + reader.read()).splitlines()
    hit: dict[str, object] = json.loads(last)
    return hit, os.WIFSIGNALED(status)


# In a child


def _work(place: Path, bundles: Bundles, tell: Tell) -> None:
    """Change models for ever; tell of each action, before it begins, what may run meanwhile and afterwards."""
    for number in itertools.count(os.getpid()):  # most are killed in their first round, whatever it ends with
        _round(place, bundles, tell, confirmed=number % 2 == 0)


def _round(place: Path, bundles: Bundles, tell: Tell, *, confirmed: bool) -> None:
    slots = Slots(place, NOBODY)
    old = running(slots)
    new = _next(old)
    tell({"action": "install", "before": old, "after": old})
    _command(place, "install", "--force", str(bundles[new]))
    tell({"action": "activate", "before": old, "after": new})
    _command(place, "activate")
    tell({"action": "start", "before": new, "after": new})
    Runner(slots).starting()
    if confirmed:
        tell({"action": "confirm", "before": new, "after": new})
        _command(place, "confirm")
    else:
        tell({"action": "rollback", "before": new, "after": old})
        _command(place, "rollback")


def _start(place: Path, bundles: Bundles, allowed: set[object], tell: Tell) -> None:
    """The next start, and a second change of models."""
    slots = Slots(place, NOBODY)
    Runner(slots).starting()
    choice, ran = slots.choose(), running(slots)
    if choice.faults or ran not in allowed:
        tell({"fault": f"runs {ran}, must run one of {allowed}; {choice.faults}"})
        return
    if choice.trying:
        _command(place, "confirm")
    _round(place, bundles, lambda words: None, confirmed=True)
    if running(Slots(place, NOBODY)) != _next(ran):
        tell({"fault": f"the second installation left {running(Slots(place, NOBODY))}"})
        return
    tell({"ran": ran})


def _next(version: str | None) -> str:
    return VERSIONS[0] if version is None else VERSIONS[(VERSIONS.index(version) + 1) % len(VERSIONS)]


def _command(place: Path, action: str, *words: str) -> None:
    code = cli.main(["slots", action, "--slots", str(place), "--trust", str(NOBODY.allowed_signers.parent), *words])
    assert code == ExitCode.DONE, f"slots {action}: exit code {code}"


# Between parent and child


def _fork(work: Callable[[Tell], None]) -> tuple[int, TextIO]:
    """Have a child do it; what it tells comes through a pipe, as lines of JSON."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _be_child(work, writing)
    os.close(writing)
    return pid, os.fdopen(reading, encoding="utf-8")


def _be_child(work: Callable[[Tell], None], writing: int) -> NoReturn:
    def tell(words: Mapping[str, object]) -> None:
        os.write(writing, f"{json.dumps(words)}\n".encode())

    try:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        work(tell)
    except (AssertionError, MaskwatchError, OSError) as error:
        tell({"action": "fault", "before": None, "after": None, "fault": repr(error)})
    finally:
        os._exit(0)  # no further: what is above on the stack is the parent's


def _run(work: Callable[[Tell], None]) -> dict[str, object]:
    """Have a child do it to its end; returns the last that it told."""
    pid, reader = _fork(work)
    with reader:
        lines = reader.read().splitlines()
    os.waitpid(pid, 0)
    return dict(json.loads(lines[-1])) if lines else {}
