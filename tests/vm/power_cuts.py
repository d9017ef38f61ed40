"""`make power-cut-test`: a whole arm64 machine loses its power while its model is changed; no door without a model.

    make power-cut-test                       20 cuts, some ten minutes; the first time some minutes more
    make power-cut-test CUTS=5 SEED=7         fewer, at other moments
    python tests/vm/power_cuts.py --json      one JSON object, for machines

QEMU emulates a Cortex-A72, a Pi 4's, with Debian's kernel; ext4 is mounted as on Raspberry Pi OS (`defaults,noatime`:
data=ordered, commit=5); Maskwatch lies there as its installer put it. To boot in seconds a program of the test,
vm_guest.py, is process 1 in the place of systemd. It runs `maskwatch slots install`, `activate`, `confirm` and
`rollback`, and between them starts as the daemon does, with the real networks. It tells of each call that changes the
disk.

How long each call takes is measured first. Each cut is then drawn, by the seed: a step, one of its moments (those that
write, wait for the disk or rename are likelier), and how far into it. When the moment has come QEMU is killed with
SIGKILL: all that the guest only held in memory is gone. The machine starts again from the same disk. Before all else
the door must start with the old or the new model, as far as the step had come: whole, by its SHA-256; with its golden
vectors answered right; without any fault. What has its final name must be whole, and what a verb had answered must be
so for good. Then a second installation must come to its end. At last e2fsck examines the disk.

What this does not show: a card that loses or tears what it has acknowledged. And a half-written file is rare here, as
ext4 gives a new file its name on the disk only with the commit that follows its data.

--without-fsync has fsync do nothing in the verbs, which must fail: the test's own test. Exit code: 0 passed, 1 failed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "pi"))
sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))

from crash import Progress
from cut_plan import Ending, Moment, plan
from maskwatch.errors import ExitCode, MaskwatchError, OperatorError
from maskwatch.verbs.plain import print_fault
from vm_door import Door, make_bundles
from vm_image import DEBIAN, file_system_faults, fresh_disk
from vm_kernel import kept_kernel
from vm_machine import GuestError, check_tools
from vm_report import Figures, table

CUTS = 20
GUEST = Path(__file__).with_name("vm_guest.py")
ENDINGS: tuple[Ending, ...] = ("confirm", "rollback")


def cut_power(cuts: int, seed: int, folder: Path, progress: Callable[[], None], *, fsync: bool = True) -> Figures:
    """Cut the power so often; `progress` is called after each. Raises OperatorError or TryAgainError."""
    disk, kernel, bundles = fresh_disk(folder, _tell), kept_kernel(), make_bundles()
    guest = {GUEST.name: GUEST.read_bytes()} | ({} if fsync else {"without-fsync": b""})
    door, figures, since_s = Door(disk, kernel, folder, guest, bundles), Figures(), time.monotonic()
    try:
        _cut_all(door, figures, cuts, seed, progress)
    except GuestError as error:
        (figures.cuts[-1] if figures.cuts else figures).faults.append(str(error))
    finally:
        door.close()
    figures.file_system = file_system_faults(disk)
    figures.seconds = time.monotonic() - since_s
    return figures


def _cut_all(door: Door, figures: Figures, cuts: int, seed: int, progress: Callable[[], None]) -> None:
    figures.faults += door.start({(door.runs, False)})
    figures.start_seconds = door.start_seconds
    rounds: dict[Ending, list[Moment]] = {}
    for ending in ("confirm", *ENDINGS):  # the first warms up
        rounds[ending], faults = door.measured_round(ending)
        figures.faults += faults
    figures.round_seconds = sum(moment.seconds for moment in rounds["confirm"])
    for cut in plan(cuts, rounds, seed):
        landed, may_run = door.cut_off(cut)
        figures.cuts.append(landed)
        landed.faults += door.start(may_run, landed)
        faults = door.round("confirm")
        landed.installed_again = not faults
        landed.faults += [f"a second installation: {fault}" for fault in faults]
        progress()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = _parser().parse_args(arguments)
    try:
        check_tools()
        if reason := DEBIAN.lacks():
            raise OperatorError(f"power-cut-test {reason.replace('make test-pi', 'make power-cut-test')}")
        with tempfile.TemporaryDirectory(prefix="maskwatch-power-") as folder:
            place = args.keep or Path(folder)
            place.mkdir(parents=True, exist_ok=True)
            progress = Progress("power cuts", args.cuts)
            figures = cut_power(args.cuts, args.seed, place, progress, fsync=not args.without_fsync)
    except MaskwatchError as error:
        print_fault(error)
        return error.exit_code
    print(json.dumps(dataclasses.asdict(figures)) if args.json else "\n".join(table(figures)))
    return ExitCode.FINDING if figures.all_faults() else ExitCode.DONE


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cuts", type=int, default=CUTS, metavar="N", help=f"default: {CUTS}")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random moments (default: 0)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a folder that keeps the disk and the console's log")
    parser.add_argument("--without-fsync", action="store_true", help="have fsync do nothing: this must fail")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main())
