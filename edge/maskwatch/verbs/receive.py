"""`maskwatch receive`: the door's side of `maskwatch flash`, which a login may be confined to."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode, OperatorError

if TYPE_CHECKING:
    from maskwatch.signature import Trust

HELP = "what `maskwatch flash` calls at a door; as a login's forced command it flashes models and does nothing else"
EXAMPLE = "  maskwatch receive state"

ORIGINAL_COMMAND = "SSH_ORIGINAL_COMMAND"
"""Where sshd puts what was asked for, when it runs a forced command instead (sshd(8), AUTHORIZED_KEYS)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help=f"what to do (default: what ssh was asked for, in ${ORIGINAL_COMMAND})"
    )
    parser.add_argument("--slots", type=Path, metavar="DIR", help="the slots' folder (default: the service's)")
    parser.add_argument(
        "--trust", type=Path, metavar="DIR", help="where allowed_signers and revoked_keys lie (default: /etc/maskwatch)"
    )
    parser.add_argument("--socket", type=Path, metavar="PATH", help="where the daemon answers (default: the usual)")


def run(args: argparse.Namespace) -> ExitCode:
    """Do one thing, and answer with one line on stdout. Raises OperatorError for whatever else is asked for."""
    from maskwatch.flash.protocol import answer_line, parse_request

    request = parse_request(args.words or _asked_for())
    os.umask(0o007)  # the group may change models, too

    from maskwatch import status_client
    from maskwatch.incoming import Incoming
    from maskwatch.receive import Receiver
    from maskwatch.slots.store import INCOMING, SLOTS, Slots

    slots = Slots(args.slots or SLOTS)
    places = status_client.usual_places() if args.socket is None else (args.socket,)
    receiver = Receiver(
        slots, Incoming(slots.folder / INCOMING), lambda: _trust(args.trust), lambda: status_client.ask(places)
    )
    print(answer_line(receiver.answer(request, sys.stdin.buffer)), flush=True)
    return ExitCode.DONE


def _trust(folder: Path | None) -> Trust:
    from maskwatch.signature import ALLOWED_SIGNERS, REVOKED_KEYS, Trust

    return Trust() if folder is None else Trust(folder / ALLOWED_SIGNERS.name, folder / REVOKED_KEYS.name)


def _asked_for() -> list[str]:
    from maskwatch.flash.protocol import words_of_command

    command = os.environ.get(ORIGINAL_COMMAND)
    if command is None:
        raise OperatorError("this login only flashes models, and has no shell: use maskwatch flash")
    return words_of_command(command)
