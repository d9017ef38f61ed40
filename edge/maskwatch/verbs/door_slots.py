"""Which slots a verb is about, and whom this machine trusts to fill them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskwatch.slots.store import Slots


def add_slots_arguments(parser: argparse.ArgumentParser, default: str = "the service's") -> None:
    """Add the arguments that `slots_of` reads; `default` says what it means to name no slots."""
    parser.add_argument("--slots", type=Path, metavar="DIR", help=f"the model slots' folder (default: {default})")
    parser.add_argument(
        "--trust", type=Path, metavar="DIR", help="where allowed_signers and revoked_keys lie (default: /etc/maskwatch)"
    )


def slots_of(args: argparse.Namespace) -> Slots:
    """The slots that the command line means."""
    from maskwatch.slots.store import SLOTS, Slots
    from maskwatch.trust import ALLOWED_SIGNERS, trust_of

    return Slots(args.slots or SLOTS, trust_of(None if args.trust is None else args.trust / ALLOWED_SIGNERS.name))
