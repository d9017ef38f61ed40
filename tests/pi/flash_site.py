"""A door on a whole Debian and the workstation that flashes it, set up as docs/flashing.md tells."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from booted_door import SETTINGS, Door
from flash_runs import Flash, new_model, run_flash
from installation import CLONE
from maskwatch.slots.store import Slots
from maskwatch.trust import trust_of
from real_command import maskwatch
from signing_keys import make_key
from ssh_logins import Logins

FLASHING = CLONE / "docs/flashing.md"
LOGIN = "maskwatch-flash@door-1"
ROOT, PERSON = "root@free", "pi@person"
FLASH_HOME = Path("var/lib/maskwatch-flash")
SLOTS = Path("var/lib/maskwatch/slots")
QUICK = SETTINGS.replace("5.0", "10.0")
"""A trial takes five seconds: 50 frames."""

versions = (f"9.{number}.0" for number in itertools.count())


@dataclass(frozen=True)
class Site:
    """A door with Maskwatch, and the workstation that flashes it: `folder` is the workstation's."""

    door: Door
    logins: Logins
    folder: Path

    def bundle(self, signer: str | None = "maria", **changes: object) -> Path:
        """A higher version than any before, signed with that key; `changes` go to its manifest."""
        path = new_model(self.folder, next(versions), **changes)
        if signer is not None:
            signed = maskwatch("bundle", "sign", "--key", self.folder / signer, path)
            assert signed.code == 0, signed.err
        return path

    def flash(self, *words: str | Path, login: str = LOGIN) -> Flash:
        *options, bundle = words
        return run_flash(self.logins.config, *options, login, bundle)

    def flashed(self) -> Path:
        """What the door runs for good, by a flash: the last one's bundle, where there was one."""
        slot = self.slots.read().active_slot
        if slot is not None:
            return self.folder / f"{slot.name}-{slot.version}.maskwatch"
        bundle = self.bundle()
        done = self.flash(bundle)
        assert done.code == 0, done
        return bundle

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.door.machine.ask("maskwatch", "status", "--json")))

    def runs(self) -> tuple[str, str | None, str | None]:
        """What the service says that it runs: model, slot, and how its trial stands."""
        status = self.status()
        return status["model"], status["slot"], status["trial"]

    def process(self) -> tuple[str, str, str]:
        """Another one after each restart."""
        properties = self.door.show()
        return properties["MainPID"], properties["InvocationID"], properties["NRestarts"]

    @property
    def slots(self) -> Slots:
        """The door's slots, as they lie on its disk."""
        return Slots(self.door.root.path / SLOTS, trust_of(self.door.root.path / "etc/maskwatch/allowed_signers"))


def documented_line(key: str) -> str:
    """The line of authorized_keys that docs/flashing.md shows, for this key."""
    text = FLASHING.read_text(encoding="utf-8")
    (options,) = re.findall(r"^(restrict,command=.*) ssh-ed25519 AAAA… \S+$", text, re.MULTILINE)
    return f"{options} {key}\n"


def set_up(site: Site) -> Site:
    """What docs/flashing.md tells an administrator to do; and two other logins, for comparison."""
    machine = site.door.machine
    for name in ("maria", "stranger"):
        make_key(site.folder / name, comment=f"{name}@example.org")
    said = machine.run("maskwatch", "keys", "trust", "-", stdin=(site.folder / "maria.pub").read_text())
    assert (said.returncode, said.stdout.split()[:2]) == (0, ["trusted:", "maria@example.org"]), said.stderr
    machine.ask("useradd", "--create-home", "pi")
    for user, home, line in (
        ("root", FLASH_HOME, documented_line(site.logins.add_host("door-1"))),
        ("root", Path("root"), f"{site.logins.add_host('free')}\n"),
        ("pi", Path("home/pi"), f"{site.logins.add_host('person')}\n"),
    ):
        machine.ask("install", "-d", "-o", user, f"/{home}/.ssh")
        path = site.door.root.path / home / ".ssh/authorized_keys"
        path.write_text(line, encoding="ascii")
        path.chmod(0o644)
    return site
