"""`maskwatch status`: what a running daemon sees now."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode, TryAgainError
from maskwatch.status import DARK
from maskwatch.verbs.plain import one_line

if TYPE_CHECKING:
    from maskwatch.status import PersonStatus, Status

HELP = "what a running Maskwatch sees now: state, people, camera, frames a second, model; exit code 4 where none runs"
EXAMPLE = """\
  maskwatch status
  maskwatch status --watch
  maskwatch status --json --socket /run/maskwatch/status.sock"""

STATES = {
    "starting": (".", "starting: no picture judged yet", ""),
    "nobody": ("-", "nobody", ""),
    "unsure": ("?", "someone, not sure yet", "33"),
    "all_masked": ("+", "everybody masked", "1;32"),
    "unmasked": ("x", "someone without a mask", "1;31"),
    "no_camera": ("!", "no camera", "1;33"),
}
"""Each state's mark, words and colour (SGR of ECMA-48). Marks in ASCII: a Pi's own console has few other signs."""

LABELS = {"with_mask": "with mask", "without_mask": "without mask", None: "not sure yet"}

TRIALS = {"trying": "on trial", "confirmed": "confirmed"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--watch", action="store_true", help="go on, and tell each change until Ctrl-C")
    parser.add_argument(
        "--socket", type=Path, metavar="PATH", help="where to ask (default: the service, else a run of your own)"
    )


def run(args: argparse.Namespace) -> ExitCode:
    """Ask once, or with --watch until the daemon stops, which is a TryAgainError.

    Raises TryAgainError where none runs, OperatorError where this user may not ask.
    """
    from maskwatch import status_client

    places = status_client.usual_places() if args.socket is None else (args.socket,)
    if not args.watch:
        status = status_client.ask(places)
        if args.json:
            print(status.to_json())
        else:
            _print_block(status)
        return ExitCode.DONE
    pid = _follow(status_client.watch(places), args.json)
    raise TryAgainError(
        "Maskwatch ended the connection without an answer: it stops, or too many watch; ask again"
        if pid is None
        else f"Maskwatch (process {pid}) has stopped, or this reader was too slow for it; ask again"
    )


def _follow(answers: Generator[Status], as_json: bool) -> int | None:
    """Show each change until no answer comes; the process that answered, or None."""
    on_terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    shown: Status | None = None
    lines = 0
    for status in answers:
        if on_terminal and not as_json:
            # ECMA-48: to the beginning of the block's first line, and erase from there on.
            print(f"\x1b[{lines}F\x1b[J" if lines else "", end="")
            lines = _print_block(status)
        elif shown is None or status.news != shown.news:
            print(status.to_json() if as_json else one_line(change(status)), flush=True)
        shown = status
    return None if shown is None else shown.pid


def block(status: Status) -> Iterator[str]:
    """A few lines for people; the first says it all."""
    mark, words, _ = STATES[status.state]
    sound = "; the alarm is on" if status.alarm else ""
    dark = f"; {DARK}" if status.dark else ""
    rest = "; judges a few frames only, as nothing moves" if status.resting else ""
    yield f"{mark} {words}, for {duration(status.state_seconds)}{sound}{dark}{rest}"
    yield f"  people   {', '.join(map(_person, status.people)) or 'none'}"
    yield f"  camera   {status.camera_source or 'not known yet'}{_camera(status)}"
    passed = f"{status.passed_frames} watched for motion alone"
    yield f"  frames   {status.frames} judged, {passed}, {status.dropped_frames} gave way to newer ones"
    yield f"  model    {_model(status)}"
    reloads = f", {status.reloads} reload{'' if status.reloads == 1 else 's'}" if status.reloads else ""
    yield f"  running  {duration(status.uptime_seconds)}, since {status.since}{reloads}"
    yield f"  process  {status.pid}, Maskwatch {status.version}"


def change(status: Status) -> str:
    """One line, with the time, for a log."""
    import datetime

    mark, words, _ = STATES[status.state]
    time = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    seen = status.camera_lost_reason or f"{status.people_count} seen, {status.unmasked_count} unmasked"
    extra = f"{'; the alarm is on' if status.alarm else ''}{'; the picture is black' if status.dark else ''}"
    return f"{time} {mark} {words}: {seen}{extra}; {status.camera_source} with {status.model}{_slot(status)}"


def duration(seconds: float) -> str:
    """A time span in its two largest units, as "3 h 12 min"."""
    whole = int(seconds)
    for size, unit, smaller_size, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller_size} {smaller}"
    return f"{whole} s"


def _person(person: PersonStatus) -> str:
    """The label as voted, and what the last frame alone says for it."""
    if person.label is None:
        return LABELS[None]
    return f"{LABELS[person.label]} {person.mask if person.label == 'with_mask' else 1 - person.mask:.2f}"


def _model(status: Status) -> str:
    """Its name, the beginning of its bundle's SHA-256, and the slot that it is from."""
    if status.model is None:
        return "not loaded yet"
    digest = "" if status.model_sha256 is None else f" ({status.model_sha256[:12]})"
    return f"{status.model}{digest}{_slot(status)}"


def _slot(status: Status) -> str:
    """The slot that the model is from, if any, and how its trial stands."""
    return "" if status.slot is None or status.trial is None else f", slot {status.slot}, {TRIALS[status.trial]}"


def _camera(status: Status) -> str:
    if status.camera_lost_seconds is not None:
        return f", lost for {duration(status.camera_lost_seconds)}: {status.camera_lost_reason}; trying again"
    latency = (
        "" if status.latency_seconds is None else f", {status.latency_seconds * 1000:.0f} ms from picture to light"
    )
    return f", {status.fps:.1f} frames/s{latency}"


def _print_block(status: Status) -> int:
    """Print the block; on a terminal cut to its width, the first line in colour. Returns how many lines it has."""
    terminal = sys.stdout.isatty()
    columns = os.get_terminal_size(sys.stdout.fileno()).columns if terminal else 0
    lines = [one_line(line)[: columns or None] for line in block(status)]  # some terminals say 0
    colour = STATES[status.state][2]
    if terminal and colour and not os.environ.get("NO_COLOR"):
        lines[0] = f"\x1b[{colour}m{lines[0]}\x1b[0m"
    print("\n".join(lines), flush=True)
    return len(lines)
