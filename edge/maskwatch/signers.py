"""The files of trust: allowed_signers, which says whose signatures count, and the list of keys that are revoked.

Their formats are ssh-keygen(1)'s. Lines that somebody else wrote are left as they are.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from maskwatch.atomic import write_file
from maskwatch.errors import OperatorError, TryAgainError
from maskwatch.signature import NAMESPACE, TIMESTAMP, ask_ssh_keygen, judged_at
from maskwatch.strict_json import shown
from maskwatch.trust import Trust

MODE = 0o644
"""The service's user reads both files; only who owns them changes them."""

MAX_KEY_BYTES = 16 * 1024
KRL_MAGIC = b"SSHKRL\n\0"

_KEY = (
    r"(?P<kind>ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521)|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)"
    r"[ \t]+(?P<blob>[A-Za-z0-9+/]+={0,2})(?:[ \t]+(?P<comment>.*))?"
)
_PUBLIC_KEY = re.compile(_KEY)
_OPTION = r'(?:(?i:cert-authority)|(?i:namespaces|valid-after|valid-before)="[^"]*")'
_SIGNER = re.compile(rf'(?P<names>"[^"]*"|[^\s"]+)[ \t]+(?:(?P<options>,?{_OPTION}(?:,{_OPTION})*)[ \t]+)?{_KEY}')
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,99}")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One public key as OpenSSH writes it: its kind, the key itself in base64, and whatever stands behind."""

    kind: str
    blob: str
    comment: str = ""

    @property
    def fingerprint(self) -> str:
        """Its SHA-256, as ssh-keygen writes it."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return f"SHA256:{base64.b64encode(digest).decode('ascii').rstrip('=')}"

    @property
    def line(self) -> bytes:
        """As a .pub file has it, without the comment."""
        return f"{self.kind} {self.blob}\n".encode("ascii")


@dataclass(frozen=True, slots=True)
class Signer:
    """One line of allowed_signers: who, on which conditions (their names in small letters), and with which key."""

    names: str
    options: Mapping[str, str]
    key: PublicKey


def read_public_key(content: bytes, source: str) -> PublicKey:
    """The one public key that a file holds; `source` names it. Raises OperatorError for anything else."""
    if b"PRIVATE KEY" in content:
        raise OperatorError(f"{source} is a private key, which must stay secret: give its public half, the .pub file")
    found = [line for _, line in _entries(content.decode("utf-8", "replace").split("\n"))]
    key = _public_key(found[0]) if len(found) == 1 and len(content) <= MAX_KEY_BYTES else None
    if key is None:
        raise OperatorError(f"{source} is not one public key of OpenSSH: give the .pub file that ssh-keygen made")
    if not ask_ssh_keygen(["-l", "-f", "-"], key.line).done:
        raise OperatorError(f"{source} is a damaged public key, says ssh-keygen: copy it again")
    return key


def trust_key(key: PublicKey, name: str, valid_before: datetime | None, trust: Trust) -> bool:
    """Have `name`'s signatures with this key count, of bundles only; False where they do so already.

    Raises OperatorError for a name that cannot stand in the file, for a time that is over, for a revoked key, and for
    one that the file lists in a way that is not ours to change.
    """
    if _NAME.fullmatch(name) is None:
        raise OperatorError(f"{shown(name)} cannot be a signer's name: give one of letters, digits and @ . _ + -")
    options = f'namespaces="{NAMESPACE}"'
    if valid_before is not None:
        if valid_before <= judged_at():
            raise OperatorError(f"{valid_before:%Y-%m-%d} is over already: give a later day")
        options += f',valid-before="{valid_before.astimezone(UTC):{TIMESTAMP}}"'
    with _changing(trust.allowed_signers):
        if key.blob in revoked_among([key], trust.revoked_keys):
            raise OperatorError(f"{key.fingerprint} is revoked by {trust.revoked_keys}: make a new key")
        lines = _lines(trust.allowed_signers)
        places = []
        for place, line in enumerate(lines):
            signer = _signer(line.strip())
            if signer is None or signer.key.blob != key.blob:
                continue
            if signer.options.get("namespaces") != NAMESPACE or signer.options.keys() - {"namespaces", "valid-before"}:
                raise OperatorError(
                    f"{trust.allowed_signers} lists this key in line {place + 1} with other options: change it there"
                )
            places.append(place)
        kept = [line for place, line in enumerate(lines) if place not in places]
        kept.insert(places[0] if places else len(kept), f"{name} {options} {key.kind} {key.blob}")
        return _write(trust.allowed_signers, kept)


def list_signers(allowed_signers: Path) -> list[Signer]:
    """All that allowed_signers lists, in its order. Raises OperatorError for a line that is none of its format."""
    signers, faults = read_signers(allowed_signers)
    for fault in faults:
        raise OperatorError(fault)
    return signers


def read_signers(allowed_signers: Path) -> tuple[list[Signer], list[str]]:
    """All that allowed_signers lists, in its order, and what is wrong with its other lines, as ssh-keygen reads on."""
    signers, faults = [], []
    for number, line in _entries(_lines(allowed_signers)):
        signer = _signer(line)
        if signer is None:
            faults.append(f"{allowed_signers}: line {number} is no signer with a key: mend or remove it")
        else:
            signers.append(signer)
    return signers, faults


def state_of(signer: Signer, revoked: Container[str], now: datetime) -> str:
    """What signatures of this signer are worth: `trusted`, or why they are not. `revoked`: keys in base64.

    Raises OperatorError where its time cannot be read.
    """
    patterns = signer.options.get("namespaces", "*").split(",")
    if signer.key.blob in revoked:
        return "revoked"
    if any(pattern.startswith("!") and fnmatchcase(NAMESPACE, pattern[1:]) for pattern in patterns) or not any(
        fnmatchcase(NAMESPACE, pattern) for pattern in patterns
    ):
        return "not for bundles"
    if "valid-before" in signer.options and _moment(signer.options["valid-before"]) < now:
        return "expired"
    if "valid-after" in signer.options and _moment(signer.options["valid-after"]) > now:
        return "not valid yet"
    return "trusted"


def revoke_keys(keys: Sequence[PublicKey], trust: Trust) -> list[PublicKey]:
    """Have signatures with these keys refused, whatever allowed_signers says; returns those that were not revoked yet.

    Raises OperatorError where the list is a KRL, which only ssh-keygen writes.
    """
    with _changing(trust.revoked_keys):
        known = revoked_among(keys, trust.revoked_keys)
        new = {key.blob: key for key in keys if key.blob not in known}
        if new and _is_krl(trust.revoked_keys):
            raise OperatorError(f"{trust.revoked_keys} is a KRL: add to it with ssh-keygen -k -u -f FILE KEY.pub")
        if new:
            more = [f"{key.kind} {key.blob} {key.comment}".rstrip() for key in new.values()]
            _write(trust.revoked_keys, [*_lines(trust.revoked_keys), *more])
        return list(new.values())


def revoked_among(keys: Sequence[PublicKey], revoked_keys: Path) -> set[str]:
    """Those of the keys, in base64, that a KRL or a plain list revokes. Raises OperatorError where it is damaged."""
    if not _is_krl(revoked_keys):
        return {key.blob for key in list_revoked(revoked_keys)} & {key.blob for key in keys}
    revoked = set()
    for key in keys:
        answer = ask_ssh_keygen(["-Q", "-f", str(revoked_keys), "/dev/stdin"], key.line)
        if "REVOKED" in answer.out:
            revoked.add(key.blob)
        elif not answer.done:
            raise OperatorError(f"{revoked_keys} is a damaged KRL: put a sound one in its place")
    return revoked


def list_revoked(revoked_keys: Path) -> list[PublicKey]:
    """The keys of a plain list; a KRL does not tell its own. Raises OperatorError where it is damaged."""
    keys = []
    for number, line in _entries([] if _is_krl(revoked_keys) else _lines(revoked_keys)):
        key = _public_key(line)
        if key is None:
            raise OperatorError(f"{revoked_keys}: line {number} is no public key: mend or remove it")
        keys.append(key)
    return keys


def _is_krl(path: Path) -> bool:
    return _content(path).startswith(KRL_MAGIC)


def _entries(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers."""
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _public_key(text: str) -> PublicKey | None:
    match = _PUBLIC_KEY.fullmatch(text)
    return None if match is None else _key(match)


def _signer(text: str) -> Signer | None:
    match = _SIGNER.fullmatch(text)
    key = None if match is None else _key(match)
    if match is None or key is None:
        return None
    parts = [part.partition("=") for part in re.findall(_OPTION, match["options"] or "")]
    options = {name.lower(): value.strip('"') for name, _, value in parts}
    if len(options) != len(parts):
        return None
    return Signer(match["names"].strip('"'), options, key)


def _key(match: re.Match[str]) -> PublicKey | None:
    """The key, unless it is not what its kind says."""
    try:
        blob = base64.b64decode(match["blob"], validate=True)
    except binascii.Error:
        return None
    kind = match["kind"].encode("ascii")
    if not blob.startswith(len(kind).to_bytes(4, "big") + kind):
        return None
    return PublicKey(match["kind"], base64.b64encode(blob).decode("ascii"), (match["comment"] or "").strip())


def _moment(text: str) -> datetime:
    """A moment as allowed_signers writes it, YYYYMMDD[HHMM[SS]][Z]; in local time without the Z."""
    digits = text.upper().removesuffix("Z")
    try:
        moment = datetime.strptime(digits, {8: "%Y%m%d", 12: "%Y%m%d%H%M"}.get(len(digits), "%Y%m%d%H%M%S"))
    except ValueError as error:
        raise OperatorError(f"{shown(text)} is no time: YYYYMMDD or YYYYMMDDHHMMSS, with a Z for UTC") from error
    return moment.astimezone() if digits == text else moment.replace(tzinfo=UTC)


def _lines(path: Path) -> list[str]:
    # not splitlines: ssh-keygen knows no other line break
    text = _content(path).decode("utf-8", "surrogateescape")
    return text.removesuffix("\n").split("\n") if text else []


def _content(path: Path) -> bytes:
    """A file's bytes; none where there is no file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}") from error


def _write(path: Path, lines: Sequence[str]) -> bool:
    """Have these lines in a file that all may read; False where all is so already."""
    content = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    try:
        if _content(path) == content and path.stat().st_mode & 0o7777 == MODE:
            return False
        write_file(path, content, MODE)
    except OSError as error:
        raise _unwritten(path, error) from error
    return True


def _unwritten(path: Path, error: OSError) -> OperatorError:
    advice = ": run it with sudo" if isinstance(error, PermissionError) else ""
    return OperatorError(f"{path} cannot be written: {error.strerror}{advice}")


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Keep others from changing the files of this folder meanwhile; the folder is made where it is missing."""
    try:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        _lock(folder, path.parent)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, path: Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise TryAgainError(f"{path}: another command is changing the keys there: run this again") from error
