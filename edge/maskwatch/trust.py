"""Whose signatures count on this machine: where that is written. Light to import; signature.py asks ssh-keygen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maskwatch.errors import OperatorError

ALLOWED_SIGNERS = Path("/etc/maskwatch/allowed_signers")
REVOKED_KEYS = Path("/etc/maskwatch/revoked_keys")


@dataclass(frozen=True, slots=True)
class Trust:
    """An allowed_signers file, and a list of revoked keys where there is one. Without the first all is trusted."""

    allowed_signers: Path = ALLOWED_SIGNERS
    revoked_keys: Path = REVOKED_KEYS

    def is_asked_for(self) -> bool:
        """Whether bundles must be signed here. Raises OperatorError where nobody can tell."""
        return is_there(self.allowed_signers)


def trust_of(allowed_signers: Path | None, revoked_keys: Path | None = None) -> Trust:
    """The trust that an operator names, or this machine's own; revoked keys lie beside, unless they are named too."""
    allowed = ALLOWED_SIGNERS if allowed_signers is None else allowed_signers
    return Trust(allowed, allowed.parent / REVOKED_KEYS.name if revoked_keys is None else revoked_keys)


def is_there(path: Path) -> bool:
    """Whether something has this name, be it a broken link. Raises OperatorError where nobody can tell."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise OperatorError(f"{path}: cannot be read: {error.strerror}") from error
    return True
