"""`maskwatch slots list|install|activate|confirm|rollback`: the door's own side of a change of models."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode, OperatorError
from maskwatch.verbs.door_slots import add_slots_arguments, slots_of
from maskwatch.verbs.plain import one_line, print_fault

if TYPE_CHECKING:
    from maskwatch.slots.states import State
    from maskwatch.slots.store import Slots

HELP = "the model bundles on this Pi: see them, install one, try it, confirm it or go back"
EXAMPLE = """\
  maskwatch slots list
  maskwatch slots install masknet-1.1.0.maskwatch
  maskwatch slots activate"""

BY_HAND = "by hand"

ACTIONS = {
    "list": "print what each slot holds, and what a door runs now",
    "install": "put a bundle (with FILE.sig, where there is one) into the spare slot and verify it; it is not run yet",
    "activate": "run the verified bundle, on trial",
    "confirm": "end the trial: the bundle stays",
    "rollback": "end the trial: back to the bundle before",
}

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions, each with its arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="|".join(ACTIONS))
    for name, text in ACTIONS.items():
        words = f"{name} masknet-1.1.0.maskwatch" if name == "install" else name
        action = actions.add_parser(name, help=text, description=text, epilog=f"example: maskwatch slots {words}")
        if name == "install":
            action.add_argument("file", metavar="FILE", type=Path, help="a .maskwatch file")
            action.add_argument("--force", action="store_true", help="even if it is a lower version than what runs now")
        if name == "rollback":
            action.add_argument("--confirmed", action="store_true", help="leave a confirmed bundle too")
            action.add_argument(
                "--reason", default=BY_HAND, metavar="WORDS", help=f"kept for others (default: {BY_HAND})"
            )
        action.add_argument("--json", action="store_true", help="print one JSON object on one line")
        add_slots_arguments(action)


def run(args: argparse.Namespace) -> ExitCode:
    """Carry out one action, and print on stdout how the slots are then.

    Raises BundleError or SignatureError for a bundle that may not be tried, TryAgainError while another change or a
    trial is under way, OperatorError where there is nothing to do it to or the disk refuses.
    """
    import json

    from maskwatch.slots.report import as_lines, as_plain

    slots = slots_of(args)
    _check_readable(slots)
    before = slots.read()
    after = _carry_out(args, slots)
    if args.action != "list" and after.changes == before.changes:
        logger.info("nothing was to do")
    if args.json:
        print(json.dumps(as_plain(slots)))
    else:
        for fault in slots.choose().faults:
            print_fault(fault)
        print("\n".join(map(one_line, as_lines(slots))))
    return ExitCode.DONE


def _carry_out(args: argparse.Namespace, slots: Slots) -> State:
    if args.action == "install":
        return _install(args, slots)
    if args.action == "activate":
        return slots.activate()
    if args.action == "confirm":
        return slots.confirm()
    if args.action == "rollback":
        return slots.roll_back(args.reason, confirmed=args.confirmed)
    return slots.read()


def _install(args: argparse.Namespace, slots: Slots) -> State:
    from maskwatch.bundle import read_bundle
    from maskwatch.signature import read_signature

    return slots.install(
        read_bundle(args.file),
        read_signature(args.file),
        force=args.force,
        progress=lambda words: logger.info("%s", words),
        origin=args.file,
    )


def _check_readable(slots: Slots) -> None:
    """A daemon that may not read runs the built-in bundle; a person is told. Raises OperatorError."""
    try:
        slots.state_path.stat()
    except PermissionError as error:
        raise OperatorError(f"{slots.folder}: not permitted: run it with sudo") from error
    except OSError:
        pass  # told in another place
