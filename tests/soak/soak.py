"""`make soak`: the daemon at full rate for half an hour, its camera killed and returned 50 times, its memory flat.

    make soak                          30 minutes, 50 deaths of the camera
    make soak MINUTES=3 KILLS=4        shorter
    make soak FPS=10                   a door's default camera
    python tests/soak/soak.py --json   one JSON object, for machines

`maskwatch run` runs as it does on a door, with its default settings and the real networks; only OpenCV's capture is
replaced, by a reader of JPEGs from another process, which stands for a USB camera and is killed with SIGKILL. This
script stands for systemd: it hears READY and WATCHDOG. The camera gives 120 frames a second, about what two cores of a
PC can judge, so that the daemon never rests: leaks go by the frame, and half an hour is then hours of a door at 10.

Memory: VmRSS, with the camera at work, 600 samples at most. The first fifth of the samples is warm-up. Growth is the
median of the last fifth less that of the second, and must be less than 1 MB (10^6 bytes). Open files and threads must
not grow at all. Deaths are spread evenly, and the camera works for 31 s before each: a camera that comes and goes more
quickly is opened again after pauses that grow, up to 30 s. Every death must be told, and be followed by a judged frame
within 45 s of the camera's return. KILLS=0 tells whether it is frames or returns that cost memory.

Writes soak.png and daemon.log to soak-output/. Exit code: 0 passed, 1 failed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from maskwatch.bundle import default_bundle_path, open_bundle
from maskwatch.capture import STEADY_SECONDS
from maskwatch.cli import INTERRUPTED
from maskwatch.errors import ExitCode, MaskwatchError, OperatorError
from maskwatch.verbs.plain import print_fault
from soak_figures import MB, Plan, Result, faults_of, record, table
from soak_plot import plot
from soak_run import DOOR, Soak

BAR_CHARACTERS = 24


class Progress:
    """A bar on a terminal, which is drawn over; elsewhere a line for each tenth."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tenths = 0
        self._terminal = sys.stderr.isatty()

    def __call__(self, result: Result) -> None:
        sample, done = result.samples[-1], min(1.0, result.seconds / self._plan.seconds)
        words = (
            f"{result.seconds / 60:6.1f} of {self._plan.seconds / 60:g} min  {sample.resident_bytes / MB:8.2f} MB  "
            f"{sample.frames:9,} frames  {len(result.recoveries_s):3} of {self._plan.kills} times back"
        )
        if self._terminal:
            full = round(done * BAR_CHARACTERS)
            print(f"\r[{'#' * full}{'.' * (BAR_CHARACTERS - full)}]{words}", end="", file=sys.stderr, flush=True)
        elif int(done * 10) > self._tenths:
            self._tenths = int(done * 10)
            print(words, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._terminal:
            print(file=sys.stderr)


def soak(plan: Plan, folder: Path, door: Path) -> Result:
    """Run one soak with its progress on stderr."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(f"{folder}: no folder to write to: {error.strerror}") from error
    progress = Progress(plan)
    try:
        return Soak(plan, folder / "daemon.log", progress, door).run()
    finally:
        progress.close()


def main(arguments: Sequence[str] | None = None, door: Path = DOOR) -> int:
    """Run the command line; returns the exit code. `door` is the tests' way in."""
    args = _parser().parse_args(arguments)
    try:
        bundle = open_bundle(args.bundle or default_bundle_path())
        plan = Plan(
            bundle.path.resolve(), 60 * args.minutes, args.fps, args.kills, args.work_seconds, args.watchdog_seconds
        )
        result = soak(plan, args.out, door)
        faults = list(faults_of(plan, result, args.most_growth_mb))
        title = f"{bundle.manifest.name} {bundle.manifest.version}"
        if args.json:
            print(json.dumps(record(plan, result, title, faults)))
        else:
            print("\n".join(table(plan, result, title, faults)))
        if plot(plan, result, title, args.out / "soak.png"):
            print(f"wrote {args.out / 'soak.png'}", file=sys.stderr)
    except MaskwatchError as error:
        print_fault(error)
        return error.exit_code
    except KeyboardInterrupt:
        print_fault("interrupted")
        return INTERRUPTED
    return ExitCode.FINDING if faults else ExitCode.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=_within(0.01, 100_000), default=30.0, metavar="N", help="default: 30")
    parser.add_argument(
        "--kills", type=int, choices=range(10_000), default=50, metavar="N", help="deaths of the camera (default: 50)"
    )
    parser.add_argument(
        "--fps", type=_within(0.2, 1000), default=120.0, metavar="N", help="the camera's rate (default: 120)"
    )
    parser.add_argument(
        "--work-seconds", type=_within(0, 3600), default=STEADY_SECONDS + 1, metavar="N",
        help="how long the camera works before each death, but for the first (default: 31)",
    )  # fmt: skip
    parser.add_argument(
        "--watchdog-seconds", type=_within(0.1, 3600), default=20.0, metavar="N",
        help="how long the watchdog waits (default: 20, a ninth of the service's)",
    )  # fmt: skip
    parser.add_argument(
        "--most-growth-mb", type=_within(0.0, 1000), default=1.0, metavar="N", help="memory that fails (default: 1)"
    )
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="model bundle (default: the built-in one)")
    parser.add_argument("--out", type=Path, default=Path("soak-output"), metavar="DIR", help="default: soak-output")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser


def _within(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least:g} and {most:g}")
        return value

    return number


if __name__ == "__main__":
    sys.exit(main())
