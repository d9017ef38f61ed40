"""`maskwatch receive`: the door's side of `maskwatch flash`, which a login may be confined to."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from maskwatch.errors import ExitCode, OperatorError
from maskwatch.privileges import become_service_user
from maskwatch.verbs.door_slots import add_slots_arguments, slots_of

HELP = "what `maskwatch flash` calls at a door; as a login's forced command it flashes models and does nothing else"
EXAMPLE = "  maskwatch receive state"

ORIGINAL_COMMAND = "SSH_ORIGINAL_COMMAND"
"""Where sshd puts what was asked for, when it runs a forced command instead (sshd(8), AUTHORIZED_KEYS)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help=f"what to do (default: what ssh was asked for, in ${ORIGINAL_COMMAND})"
    )
    add_slots_arguments(parser)
    parser.add_argument("--socket", type=Path, metavar="PATH", help="where the daemon answers (default: the usual)")


def run(args: argparse.Namespace) -> ExitCode:
    """Do one thing, and answer with one line on stdout. Raises OperatorError for whatever else is asked for."""
    from maskwatch.flash.protocol import answer_line, parse_request

    request = parse_request(args.words or _asked_for())

    from maskwatch import status_client
    from maskwatch.incoming import Incoming
    from maskwatch.receive import Receiver
    from maskwatch.slots.store import INCOMING

    slots = slots_of(args)
    if args.slots is None:
        become_service_user()
    places = status_client.usual_places() if args.socket is None else (args.socket,)
    receiver = Receiver(slots, Incoming(slots.folder / INCOMING), lambda: status_client.ask(places))
    with open(os.devnull, "rb") if sys.stdin is None else sys.stdin.buffer as stream:
        print(answer_line(receiver.answer(request, stream)), flush=True)
    return ExitCode.DONE


def _asked_for() -> list[str]:
    from maskwatch.flash.protocol import words_of_command

    command = os.environ.get(ORIGINAL_COMMAND)
    if command is None:
        raise OperatorError("this login only flashes models, and has no shell: use maskwatch flash")
    return words_of_command(command)
