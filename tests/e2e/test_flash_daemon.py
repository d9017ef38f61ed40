"""`maskwatch flash` to a daemon that really runs, over a real sshd."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from flash_runs import new_model
from flashing import flash
from real_door import watching
from sshd import Sshd, forced

pytestmark = pytest.mark.timeout(300)


def test_a_daemon_takes_the_new_model_up_and_confirms_it(sshd: Sshd, place: Path) -> None:
    bundle = new_model(place)
    with watching(place / "door") as door:
        sshd.add_host("door-1", forced(*door.receive_words()))
        before = door.status()
        done = flash(sshd, "door-1", bundle)
        after = door.status()
    assert (done.code, done.one()["outcome"], done.one()["model"]) == (0, "confirmed", "masknet 9.0.0")
    assert (after.model, after.slot, after.trial) == ("masknet 9.0.0", "a", "confirmed")
    assert after.model_sha256 == hashlib.sha256(bundle.read_bytes()).hexdigest()
    assert (after.pid, after.reloads) == (before.pid, 0), "the same process, the same camera"
    assert after.frames > before.frames


def test_a_daemon_whose_settings_name_a_bundle_is_no_door_on_the_new_model(sshd: Sshd, place: Path) -> None:
    """Its slots are as they should be, and it runs another model all the same."""
    bundle = new_model(place)
    with watching(place / "door") as door:
        sshd.add_host("door-1", forced(*door.receive_words()))
        # Slots of another folder: this daemon never looks there, as one whose settings name a bundle never does.
        words = ["receive", "--slots", place / "others", "--socket", door.socket, "--trust", place]
        sshd.add_host("door-2", forced(*words))
        done = flash(sshd, "--window", "2", "door-2", bundle)
    assert (done.code, done.one()["outcome"]) == (1, "rolled_back")
