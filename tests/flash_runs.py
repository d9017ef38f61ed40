"""Runs `maskwatch flash` as its users do, and makes the bundles that it brings."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maskwatch.bundle import default_bundle_path, open_bundle
from maskwatch_convert.pack import write_bundle
from real_command import COMMAND, users_environment

LIMIT_S = 240


@dataclass(frozen=True)
class Flash:
    """What `maskwatch flash --json` answered: its doors by host, in the order of their ends."""

    code: int
    doors: Mapping[str, Mapping[str, Any]]
    err: str

    def one(self) -> Mapping[str, Any]:
        (door,) = self.doors.values()
        return door


def flash_command(ssh_config: Path, *words: str | Path) -> list[str | Path]:
    return [COMMAND, "flash", "--json", "--ssh-config", ssh_config, *words]


def flash_environment(folder: Path) -> dict[str, str]:
    """Whoever flashes keeps what he notes in `folder`."""
    return users_environment() | {"XDG_STATE_HOME": str(folder / "state")}


def run_flash(ssh_config: Path, *words: str | Path) -> Flash:
    """Run it to its end."""
    done = subprocess.run(
        flash_command(ssh_config, *words),
        env=flash_environment(ssh_config.parent),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return answered(done.returncode, done.stdout, done.stderr)


def answered(code: int, out: str, err: str) -> Flash:
    assert "Traceback" not in err, err
    doors = {door["host"]: door for door in map(json.loads, out.splitlines())}
    assert len(doors) == len(out.splitlines())
    return Flash(code, doors, err)


def new_model(folder: Path, version: str = "9.0.0", card: bytes = b"# New\n", **changes: object) -> Path:
    """The networks that a door has already, in a bundle of another version, and as large as `card` makes it.

    `changes` go to its manifest.
    """
    bundle = open_bundle(default_bundle_path())
    manifest = replace(bundle.manifest, version=version, members={}, **changes)
    return write_bundle(folder, manifest, {**bundle.members, "MODEL_CARD.md": card}).path
