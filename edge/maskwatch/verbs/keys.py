"""`maskwatch keys trust|list|revoke`: whose signed bundles this machine takes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode, OperatorError
from maskwatch.verbs.plain import one_line, print_fault

if TYPE_CHECKING:
    from maskwatch.signers import PublicKey
    from maskwatch.trust import Trust

HELP = "say whose signed bundles this machine takes"
EXAMPLE = "  maskwatch keys trust maria.pub --name maria --valid-before 2031-01-01\n  maskwatch keys list"

STDIN = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `trust`, `list` and `revoke`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="trust|list|revoke")
    for name, text, example in (
        ("trust", "take bundles that this key signed, and refuse unsigned ones", "trust maria.pub --name maria"),
        ("list", "print whose signatures count, and which keys are revoked or expired", "list"),
        ("revoke", "refuse bundles that a key signed, whenever that was", "revoke maria"),
    ):
        action = actions.add_parser(name, help=text, description=text, epilog=f"example: maskwatch keys {example}")
        action.add_argument(
            "--file", metavar="FILE", type=Path, help="the allowed_signers file (default: /etc/maskwatch/…)"
        )
        action.add_argument(
            "--revoked-keys", metavar="FILE", type=Path, help="the list of revoked keys (default: revoked_keys beside)"
        )
        if name == "trust":
            action.add_argument("key", metavar="KEY.pub", help="a public key of OpenSSH; - reads it from stdin")
            action.add_argument("--name", metavar="WHO", help="whose it is (default: the key's comment)")
            action.add_argument(
                "--valid-before", metavar="DATE", type=_day, help="the day, YYYY-MM-DD, from which it counts no more"
            )
        elif name == "list":
            action.add_argument("--json", action="store_true", help="print one JSON object a key")
        else:
            action.add_argument("who", metavar="WHO|KEY.pub", help="a name or fingerprint of the list, or a public key")


def run(args: argparse.Namespace) -> ExitCode:
    """Answer on stdout, one line a key.

    Raises OperatorError for what is no public key and for files that cannot be read, understood or written;
    TryAgainError while another command changes them.
    """
    from maskwatch.trust import trust_of

    trust = trust_of(args.file, args.revoked_keys)
    if args.action == "trust":
        _trust(args, trust)
    elif args.action == "list":
        _list(args, trust)
    else:
        _revoke(args, trust)
    return ExitCode.DONE


def _trust(args: argparse.Namespace, trust: Trust) -> None:
    from maskwatch.signers import trust_key

    key = _read_key(args.key)
    name = args.name if args.name is not None else key.comment
    if not name:
        raise OperatorError(f"{args.key} does not say whose it is: add --name WHO")
    first = not trust.is_asked_for()
    changed = trust_key(key, name, args.valid_before, trust)
    print(f"{'trusted' if changed else 'already trusted'}: {name} {key.fingerprint}")
    if first:
        print(f"from now on bundles need a signature here: {trust.allowed_signers} was made", file=sys.stderr)
    _tell_of_the_slots(args, trust)


def _list(args: argparse.Namespace, trust: Trust) -> None:
    from maskwatch.signature import judged_at
    from maskwatch.signers import list_revoked, list_signers, revoked_among, state_of

    if not trust.is_asked_for():
        print(f"{trust.allowed_signers} is not there: bundles need no signature here", file=sys.stderr)
    signers = list_signers(trust.allowed_signers)
    revoked = revoked_among([signer.key for signer in signers], trust.revoked_keys)
    now = judged_at()
    for signer in signers:
        _print_key(args.json, signer.names, signer.key, state_of(signer, revoked, now), signer.options)
    for key in list_revoked(trust.revoked_keys):
        if key.blob not in {signer.key.blob for signer in signers}:
            _print_key(args.json, key.comment, key, "revoked", {})


def _print_key(as_json: bool, name: str, key: PublicKey, state: str, options: Mapping[str, str]) -> None:
    if as_json:
        record = {"name": name, "state": state, "kind": key.kind, "fingerprint": key.fingerprint}
        print(json.dumps(record | {"options": dict(options)}))
        return
    limits = "".join(f", {word} {options[word]}" for word in ("valid-after", "valid-before") if word in options)
    print(one_line(f"{state:<16}{name} {key.kind} {key.fingerprint}{limits}"))


def _revoke(args: argparse.Namespace, trust: Trust) -> None:
    from maskwatch.signers import read_signers, revoke_keys

    signers, faults = read_signers(trust.allowed_signers)
    for fault in faults:  # a key that was lost cannot wait until they are mended
        print_fault(fault)
    keys = [
        replace(signer.key, comment=signer.names)
        for signer in signers
        if args.who in (*signer.names.split(","), signer.key.fingerprint)
    ]
    if not keys:
        if not os.path.exists(args.who):
            raise OperatorError(f"{args.who} is neither in {trust.allowed_signers} nor a file: see maskwatch keys list")
        keys = [_read_key(args.who)]
    new = revoke_keys(keys, trust)
    for key in keys:
        print(one_line(f"{'revoked' if key in new else 'already revoked'}: {key.comment} {key.fingerprint}"))
    _tell_of_the_slots(args, trust)


def _tell_of_the_slots(args: argparse.Namespace, trust: Trust) -> None:
    """Say what this door, if it is one, will not run any more by its own lists."""
    from maskwatch.slots.store import SLOTS, Slots

    if args.file is None and args.revoked_keys is None:
        for fault in Slots(SLOTS, trust).choose().faults:
            print_fault(f"at the service's next start: {fault}")


def _read_key(name: str) -> PublicKey:
    from maskwatch.signers import MAX_KEY_BYTES, read_public_key

    if name == STDIN:
        return read_public_key(sys.stdin.buffer.read(MAX_KEY_BYTES + 1), "what came on stdin")
    try:
        if not Path(name).is_file():
            raise OperatorError(f"{name} is not a file: give the .pub file that ssh-keygen made")
        with open(name, "rb") as file:
            return read_public_key(file.read(MAX_KEY_BYTES + 1), name)
    except OSError as error:
        raise OperatorError(f"{name} cannot be read: {error.strerror}") from error


def _day(text: str) -> datetime:
    """Midnight, UTC, at which a day begins."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: give one like 2031-01-31") from error
