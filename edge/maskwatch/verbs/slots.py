"""`maskwatch slots list|install|activate|confirm|rollback`: the door's own side of a change of models."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode, OperatorError
from maskwatch.privileges import become_service_user
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
    "list": "print what each slot holds, and what a door runs now; exit code 1 where something is wrong with that",
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
    """Carry out one action, and print on stdout how the slots are then; FINDING where `list` finds a fault.

    Raises BundleError or SignatureError for a bundle that may not be tried, TryAgainError while another change or a
    trial is under way, OperatorError where there is nothing to do it to or the disk refuses.
    """
    import json

    from maskwatch.slots.report import lines_of, plain_of

    given = _read(args.file) if args.action == "install" else None
    slots = slots_of(args)
    if args.slots is None:
        become_service_user()
    _check_readable(slots)
    before = slots.read()
    after = _carry_out(args, slots, before, given)
    if args.action != "list" and after.changes == before.changes:
        print("nothing was to do", file=sys.stderr)
    look = slots.look()
    if args.json:
        print(json.dumps(plain_of(look)))
    else:
        for fault in look.choice.faults:
            print_fault(fault)
        print("\n".join(map(one_line, lines_of(look))))
    return ExitCode.FINDING if look.choice.faults and args.action == "list" else ExitCode.DONE


def _read(file: Path) -> tuple[bytes, bytes | None]:
    """A bundle, and the signature beside it, as who calls may read them."""
    from maskwatch.bundle import read_bundle
    from maskwatch.signature import read_signature

    return read_bundle(file), read_signature(file)


def _carry_out(
    args: argparse.Namespace, slots: Slots, before: State, given: tuple[bytes, bytes | None] | None
) -> State:
    if given is not None:
        return slots.install(
            *given, force=args.force, progress=lambda words: logger.info("%s", words), origin=args.file
        )
    if args.action == "activate":
        return slots.activate()
    if args.action == "confirm":
        _check_trial(before)
        return slots.confirm()
    if args.action == "rollback":
        if before.active is not None and not before.trying and not args.confirmed:
            raise OperatorError(f"slot {before.active} is confirmed, not on trial: rollback --confirmed leaves it")
        return slots.roll_back(args.reason, confirmed=args.confirmed)
    return before


def _check_trial(state: State) -> None:
    """To confirm a trial that is over already would seem to have worked. Raises OperatorError."""
    last = state.last_event
    if last is not None and not state.trying and state.slot(last.slot).state == "failed":
        raise OperatorError(f"nothing is on trial: slot {last.slot} failed: {last.reason}")


def _check_readable(slots: Slots) -> None:
    """A daemon that may not read runs the built-in bundle; a person is told. Raises OperatorError."""
    try:
        slots.state_path.stat()
    except PermissionError as error:
        raise OperatorError(f"{slots.folder}: not permitted: run it with sudo") from error
    except OSError:
        pass  # told in another place
