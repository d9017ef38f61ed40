"""Real OpenSSH keys, and the files that say whose signatures count."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

needs_ssh_keygen = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen: install openssh-client"
)

FOR_BUNDLES = 'namespaces="maskwatch-bundle"'
LIMIT_S = 60


def ssh_keygen(*words: str | Path, given: bytes = b"") -> bytes:
    """What ssh-keygen answers; fails where it does."""
    done = subprocess.run(
        ["ssh-keygen", *map(str, words)], input=given, capture_output=True, timeout=LIMIT_S, check=True
    )
    return done.stdout


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "", comment: str = "maria@example.org") -> Path:
    """A new private key; its public half lies beside it."""
    ssh_keygen("-q", "-t", kind, "-N", passphrase, "-C", comment, "-f", path)
    return path


def public_key(key: Path) -> str:
    """The public half as one line, without its comment."""
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])


def allow(file: Path, name: str, key: Path, options: str = FOR_BUNDLES) -> Path:
    """Add a line to an allowed_signers file, as a person would."""
    with file.open("a") as lines:
        lines.write(f"{name} {options} {public_key(key)}\n")
    return file


def signature_of(data: bytes, key: Path, namespace: str = "maskwatch-bundle") -> bytes:
    """A signature, made by ssh-keygen alone."""
    return ssh_keygen("-Y", "sign", "-f", key, "-n", namespace, given=data)
