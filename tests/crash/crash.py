"""`make crash-test`: the power cut at every step of a change of models, and 1,000 kills; no door without a model.

    make crash-test                     all of it, some minutes
    make crash-test KILLS=100           fewer kills
    python tests/crash/crash.py --json  one JSON object, for machines

Three things are done in each scene of `scenes.py`: an installation, an activation, a rollback, and so on.
- Power cut: before each call that changes the disk, and after the last, every disk that POSIX allows to be left is laid
  out, and a door is started from it. It must run the old or the new model, whole; a second installation must succeed.
- Killed, then power cut: a process is killed before each call, another does the same again, and the power is cut before
  each call of that one.
- Disk refuses: each call fails as on a full, a read-only and a worn-out disk, alone or with all that follow.
Then `maskwatch slots install`, `activate`, `confirm` and `rollback` are killed with SIGKILL at random moments, with
golden vectors run and on a real disk; after each kill a new process starts, and then installs again.

Exit code: 0 passed, 1 failed.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy: threads do not live through a fork

import argparse
import errno
import functools
import json
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from kills import KillFigures, kill_often
from maskwatch.errors import ExitCode
from power_cut import Figures, cut_at_every_step, kill_at_every_step, refuse_every_step
from scenes import SCENES, Models, Scene, make_models, quick_golden_vectors

Way = Callable[[Scene, Models, Path], Figures]

FAULTS = {errno.ENOSPC: "full", errno.EROFS: "read-only", errno.EIO: "worn out"}

WAYS: dict[str, Way] = {
    "power cut": cut_at_every_step,
    "killed, then power cut": kill_at_every_step,
} | {
    f"disk {words}{' from then on' if for_good else ''}": functools.partial(
        refuse_every_step, fault=OSError(number, os.strerror(number)), for_good=for_good
    )
    for number, words in FAULTS.items()
    for for_good in (False, True)
}
"""What may go wrong, in each scene."""


class Progress:
    """Percents on a terminal, which are drawn over; elsewhere a line for each tenth."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._tenths, self._done = what, total, 0, 0
        self._terminal = sys.stderr.isatty()

    def __call__(self, done: int | None = None) -> None:
        self._done = self._done + 1 if done is None else done
        words = f"{self._what}: {self._done} of {self._total}"
        if self._terminal:
            print(f"\r{words}", end="\n" if self._done == self._total else "", file=sys.stderr, flush=True)
        elif self._done * 10 // self._total > self._tenths:
            self._tenths = self._done * 10 // self._total
            print(words, file=sys.stderr, flush=True)


def cut_all(folder: Path) -> dict[str, Figures]:
    """Every way in every scene. Raises AssertionError at the first that leaves a door badly."""
    models = make_models(folder)
    tries = [(name, scene) for name in WAYS for scene in SCENES if fits(name, scene)]
    found = {name: Figures() for name in WAYS}
    progress = Progress("scenes, each in each way", len(tries))
    with quick_golden_vectors():
        for name, scene in tries:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                found[name] += WAYS[name](scene, models, Path(place))
            progress()
    return found


def fits(way: str, scene: Scene) -> bool:
    """Whether it makes sense: what means something else when it is done twice is not done again."""
    return scene.again or way != "killed, then power cut"


def table(cuts: dict[str, Figures], kills: KillFigures | None, faults: Sequence[str]) -> list[str]:
    """The figures, for people; the last line is the verdict."""
    lines = []
    if cuts:
        lines.append(f"{'in ' + str(len(SCENES)) + ' scenes':<32}{'steps':>8}{'doors started':>16}")
        for name, found in cuts.items():
            lines.append(f"{name:<32}{sum(found.steps.values()):>8,}{sum(found.ran.values()):>16,}")
        calls = sum((found.steps for found in cuts.values()), Counter[str]())
        lines.append(f"steps: {_counted(calls)}")
    if kills is not None:
        total = sum(kills.hit.values())
        lines.append(
            f"{total:,} kills in {kills.seconds:.0f} s, at a random moment of {kills.round_seconds * 1000:.0f} ms: "
            f"{_counted(kills.hit)}"
        )
        lines.append(
            f"{kills.half_written:,} left a file half written; afterwards ran {_counted(kills.ran)}; "
            f"{sum(kills.ran.values()):,} second installations"
        )
    lines.append(f"failed: {'; '.join(faults)}" if faults else "passed")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = _parser().parse_args(arguments)
    cuts: dict[str, Figures] = {}
    kills, faults = None, []
    with tempfile.TemporaryDirectory(prefix="maskwatch-crash-", dir=args.dir) as folder:
        if args.kills:
            (place := Path(folder, "kills")).mkdir()
            kills = kill_often(args.kills, place, args.seed, Progress("kills", args.kills))
            faults += kills.faults
        if not args.kills_only:
            (place := Path(folder, "cuts")).mkdir()
            try:
                cuts = cut_all(place)
            except AssertionError as error:
                faults.append(str(error))
    if args.json:
        plain = {
            "cuts": {name: vars(found) for name, found in cuts.items()},
            "kills": kills and vars(kills),
            "faults": faults,
        }
        print(json.dumps(plain))
    else:
        print("\n".join(table(cuts, kills, faults)))
    return ExitCode.FINDING if faults else ExitCode.DONE


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000, metavar="N", help="default: 1000")
    parser.add_argument("--kills-only", action="store_true", help="no power cuts")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random moments (default: 0)")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="a folder on the disk to try (default: the temporary one)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser


if __name__ == "__main__":
    logging.disable()  # what the slots say of each bad disk
    sys.exit(main())
