"""The door's side of `maskwatch flash`: does what a request says, and nothing else, and answers with plain values."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from maskwatch.errors import BundleError, MaskwatchError, NotRunningError, OperatorError, SignatureError
from maskwatch.flash.protocol import Request
from maskwatch.incoming import Incoming, read_stream
from maskwatch.limits import MAX_SIGNATURE_BYTES

if TYPE_CHECKING:
    from maskwatch.slots.choice import Look
    from maskwatch.slots.store import Slots
    from maskwatch.status import Status

ROLLED_BACK = "flash asked for it: not confirmed within its health window"


class Receiver:
    """One door's slots, as flash may change them.

    `ask` asks the daemon for its status.
    """

    def __init__(self, slots: Slots, incoming: Incoming, ask: Callable[[], Status]) -> None:
        self._slots = slots
        self._incoming = incoming
        self._ask = ask

    def answer(self, request: Request, stream: IO[bytes]) -> dict[str, object]:
        """Do one thing; `stream` brings an upload's bytes, or the signature of what is installed.

        Raises MaskwatchError, whose words are for the operator.
        """
        action, sha256 = request.action, request.sha256
        if action == "offset":
            have_bytes = self._incoming.have_bytes(sha256, request.size_bytes)
            return {"have_bytes": have_bytes, "busy": self._incoming.is_busy(sha256)}
        if action == "upload":
            return {"have_bytes": self._incoming.take(sha256, request.size_bytes, request.offset_bytes, stream)}
        if action == "install":
            self._install(request, stream)
        elif action == "activate":
            self._slots.activate(sha256=sha256)
        elif action == "rollback":
            self._slots.roll_back(ROLLED_BACK, sha256=sha256)
        return self._state()

    def _install(self, request: Request, stream: IO[bytes]) -> None:
        signature = read_stream(stream, MAX_SIGNATURE_BYTES + 1) or None  # before what takes memory
        data = self._incoming.read(request.sha256)
        try:
            self._slots.install(data, signature, force=request.force)
        except SignatureError:
            raise  # once it is signed, the same bytes will do
        except BundleError:
            self._incoming.drop(request.sha256)
            raise
        self._incoming.drop(request.sha256)

    def _state(self) -> dict[str, object]:
        from maskwatch.slots.report import plain_of

        look = self._slots.look()
        daemon, fault, runs = self._daemon()
        return {
            "active": active_of(look),
            "slots": plain_of(look),
            "may_change": _may_change(self._slots.folder),
            "daemon": daemon,
            "daemon_fault": fault,
            "daemon_runs": runs,
        }

    def _daemon(self) -> tuple[dict[str, object] | None, str | None, bool | None]:
        """What the daemon says, or why it says nothing; and whether it runs, None where nobody can tell."""
        try:
            return dataclasses.asdict(self._ask()), None, True
        except NotRunningError as error:
            return None, str(error), False
        except MaskwatchError as error:
            return None, str(error), None


def active_of(look: Look) -> dict[str, object]:
    """Which bundle a door is to run by its slots. The built-in one counts as confirmed."""
    state, choice = look
    if choice.slot is not None:
        slot = state.slot(choice.slot)
        return {
            "slot": choice.slot,
            "sha256": slot.sha256,
            "model": f"{slot.name} {slot.version}",
            "state": slot.state,
        }
    from maskwatch.bundle import default_bundle_path, open_bundle  # numpy: a second for a small Pi

    try:
        bundle = open_bundle(default_bundle_path())
    except OperatorError as error:
        return {"slot": None, "sha256": "", "model": str(error), "state": "confirmed"}
    name = f"{bundle.manifest.name} {bundle.manifest.version}"
    return {"slot": None, "sha256": bundle.sha256, "model": name, "state": "confirmed"}


def _may_change(folder: Path) -> bool:
    """Whether this user may write there, or where it would be made."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)
