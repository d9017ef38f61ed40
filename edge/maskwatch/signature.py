"""Who made a bundle: detached OpenSSH signatures, made and checked by the system's own `ssh-keygen -Y`.

A signature lies beside its bundle, `NAME-VERSION.maskwatch.sig`, as ssh-keygen names it. Its formats (SSHSIG,
allowed_signers, key revocation lists) are those of ssh-keygen(1).
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from maskwatch.atomic import write_file
from maskwatch.errors import OperatorError, SignatureError
from maskwatch.limits import MAX_SIGNATURE_BYTES
from maskwatch.strict_json import shown
from maskwatch.trust import Trust, is_there

NAMESPACE = "maskwatch-bundle"
"""A signature made for anything else, a git commit or an e-mail, is none of a bundle."""

SUFFIX = ".sig"

CHECK_S = 20.0
"""Some hundred times what it takes; a daemon that starts asks for two bundles at the most."""

SIGN_S = 300.0
"""Somebody may have to type a passphrase, or to touch a token."""

SSH_KEYGEN = "ssh-keygen"

TIMESTAMP = "%Y%m%d%H%M%SZ"
"""How ssh-keygen reads a moment in UTC."""

_VERDICTS = ("Could not verify signature", "No principal matched")
"""What ssh-keygen says at the end when it has found against a signature, and not when it fails itself."""

_DATE = r'(?i:valid-(?:after|before))="[^"]*"'
_DATES = re.compile(rf",{_DATE}|(?<=[ \t]){_DATE},?".encode("ascii"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What ssh-keygen said."""

    done: bool
    out: str
    complaints: str


def signature_path(bundle: Path) -> Path:
    """Where a bundle's signature lies."""
    return bundle.with_name(bundle.name + SUFFIX)


def read_signature(bundle: Path) -> bytes | None:
    """The signature beside a bundle; None where there is none. Raises SignatureError where it cannot be read."""
    path = signature_path(bundle)
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SignatureError(f"{path}: not a file")
            return file.read(MAX_SIGNATURE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SignatureError(f"{path}: cannot be read: {error.strerror}") from error


def check_signature(data: bytes, signature: bytes | None, trust: Trust, *, dates: bool = True) -> str | None:
    """The principal that signed a bundle's bytes; None where no allowed_signers file exists: nothing is asked for then.

    Without `dates` a key counts whenever it is or was valid: for what was installed already, which no day shall stop.

    Raises SignatureError for what is unsigned, tampered with, or signed for another purpose or by a key that is
    unknown, revoked, expired or not valid yet; another OperatorError where nobody can tell, as ssh-keygen or a list
    fails. The message does not say where the bytes are from; the caller knows.
    """
    if not trust.is_asked_for():
        return None
    if signature is None:
        raise SignatureError(
            f"not signed, and {trust.allowed_signers} asks for a signature: make one with maskwatch bundle sign, "
            f"and copy the file {SUFFIX} along"
        )
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise SignatureError(f"its signature is larger than {MAX_SIGNATURE_BYTES} bytes, so it is none")
    key = _signing_key(data, signature)
    allowed, files = _allowed(trust, dates)
    files["-s"] = signature
    found = _run(["-Y", "find-principals", *allowed], CHECK_S, b"", files)
    principals = found.out.splitlines() if found.done else []
    if not principals:
        raise _not_allowed(key, found, trust.allowed_signers)
    revoked = _revoked(trust)
    for principal in principals:
        verify = ["-Y", "verify", "-n", NAMESPACE, "-I", principal, *allowed]
        answer = _run([*verify, *revoked], CHECK_S, data, files)
        if answer.done:
            return principal
        if revoked and _run(verify, CHECK_S, data, files).done:
            raise SignatureError(
                f"signed by {shown(principal)[1:-1]} with a key that {trust.revoked_keys} revokes ({key}), or that "
                "file is damaged: sign with another key; maskwatch keys list shows all"
            )
    raise _not_allowed(key, answer, trust.allowed_signers)


def sign(bundle: Path, key: Path) -> Path:
    """Sign a sound bundle with a private key, or a public one whose private half an agent holds; returns the new file.

    ssh-keygen may ask for a passphrase on the terminal. Raises BundleError for what is no sound bundle, and
    OperatorError where ssh-keygen refuses the key or the signature cannot be written.
    """
    import tempfile

    from maskwatch.bundle import read_bundle, verify_bundle

    data = read_bundle(bundle)
    verify_bundle(data, bundle)
    path = signature_path(bundle)
    try:
        with tempfile.TemporaryDirectory(prefix="maskwatch-") as folder:
            # a copy of what was verified; given on stdin, ssh-keygen could not ask for a passphrase
            copy = Path(folder) / "bundle"
            copy.write_bytes(data)
            answer = _run(["-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(copy)], SIGN_S)
            if not answer.done:
                raise OperatorError(f"{key}: ssh-keygen does not sign with it: {_last_words(answer.complaints)}")
            signature = signature_path(copy).read_bytes()
        write_file(path, signature)
    except OSError as error:
        raise OperatorError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def judged_at() -> datetime:
    """The time that keys are judged by: this clock's, but never before the built-in bundle was made.

    A board without a clock starts in 1970, where no key has expired yet.
    """
    from maskwatch.bundle import default_bundle_path, open_bundle  # numpy: a second for a small Pi

    made_at = datetime.fromisoformat(open_bundle(default_bundle_path()).manifest.made_at)
    return max(_clock(), made_at)


def ask_ssh_keygen(words: Sequence[str], given: bytes = b"") -> Answer:
    """Run ssh-keygen with `given` on its stdin. Raises OperatorError where it is missing or hangs."""
    return _run(words, CHECK_S, given)


def _signing_key(data: bytes, signature: bytes) -> str:
    """The fingerprint of the key that signed these very bytes as a bundle, whoever it belongs to."""
    answer = _run(["-Y", "check-novalidate", "-n", NAMESPACE], CHECK_S, data, {"-s": signature})
    if answer.done:
        fingerprint = re.search(r"SHA256:\S+", answer.out)
        return fingerprint.group() if fingerprint else "unknown"
    if "namespace" in answer.complaints:
        raise SignatureError(f"signed, but not as a bundle (namespace {NAMESPACE}): sign with maskwatch bundle sign")
    if "incorrect signature" in answer.complaints:
        raise SignatureError("changed since it was signed, or that is another file's signature: copy both again")
    _check_verdict(answer)
    raise SignatureError(f"its signature is none of OpenSSH's: {_last_words(answer.complaints)}; copy it again")


def _check_verdict(answer: Answer) -> None:
    """Raise OperatorError where ssh-keygen did not come to its end: killed, or without a library."""
    if not any(verdict in answer.complaints + answer.out for verdict in _VERDICTS):
        raise OperatorError(f"{SSH_KEYGEN} fails: {_last_words(answer.complaints)}: does it work by itself?")


def _revoked(trust: Trust) -> list[str]:
    """How ssh-keygen is told of the revoked keys. Raises OperatorError for a list that this user cannot read."""
    if not is_there(trust.revoked_keys):
        return []
    try:
        with trust.revoked_keys.open("rb"):
            return ["-r", str(trust.revoked_keys)]
    except OSError as error:
        raise OperatorError(f"{trust.revoked_keys} cannot be read: {error.strerror}: mend it") from error


def _not_allowed(key: str, answer: Answer, allowed_signers: Path) -> OperatorError:
    """Why a key does not count; SignatureError where that is certain."""
    complaints = answer.complaints
    if "Unable to" in complaints:
        return OperatorError(f"{allowed_signers} cannot be read: mend it")
    _check_verdict(answer)
    if "expired" in complaints:
        return SignatureError(f"signed with a key that {allowed_signers} lists as expired ({key}): sign with another")
    if "not yet valid" in complaints:
        return SignatureError(
            f"signed with a key that {allowed_signers} lists as not valid yet ({key}): is the clock right?"
        )
    if "namespace" in complaints:
        return SignatureError(f"signed with a key that {allowed_signers} lists for other things than bundles ({key})")
    unknown = f"signed with a key that {allowed_signers} does not list ({key})"
    damaged = re.search(r":(\d+): ", complaints)
    if damaged:
        return OperatorError(f"{unknown}, whose line {damaged[1]} is damaged: mend it")
    return SignatureError(f"{unknown}: only if it is yours, maskwatch keys trust")


def _clock() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def _allowed(trust: Trust, dates: bool) -> tuple[list[str], dict[str, bytes]]:
    """How ssh-keygen is told of the allowed signers: words, and files by their options."""
    if not dates:
        try:
            return [], {"-f": _without_dates(trust.allowed_signers.read_bytes())}
        except OSError as error:
            raise OperatorError(f"{trust.allowed_signers} cannot be read: {error.strerror}: mend it") from error
    moment = judged_at()
    words = ["-f", str(trust.allowed_signers)]
    if moment > _clock():  # where its own clock will not do
        words += ["-O", f"verify-time={moment:{TIMESTAMP}}"]
    return words, {}


def _without_dates(lines: bytes) -> bytes:
    while (fewer := _DATES.sub(b"", lines)) != lines:  # the comma between two goes with the first
        lines = fewer
    return lines


def _run(
    words: Sequence[str], limit_s: float, given: bytes | None = None, files: Mapping[str, bytes] | None = None
) -> Answer:
    """Run ssh-keygen. `files` stay in memory, by the options that name them: a full or read-only disk is no matter."""
    try:
        with contextlib.ExitStack() as stack:
            descriptors = {option: _in_memory(content, stack) for option, content in (files or {}).items()}
            named = [word for option, number in descriptors.items() for word in (option, f"/dev/fd/{number}")]
            done = subprocess.run(
                [SSH_KEYGEN, *words, *named],
                input=given,
                capture_output=True,
                env=os.environ | {"LC_ALL": "C"},
                pass_fds=tuple(descriptors.values()),
                timeout=limit_s,
                check=False,
            )
    except FileNotFoundError as error:
        raise OperatorError(f"{SSH_KEYGEN} is missing: install Debian's package openssh-client") from error
    except OSError as error:
        raise OperatorError(f"{SSH_KEYGEN} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise OperatorError(f"{SSH_KEYGEN} was not done after {limit_s:.0f} s: {words[1]}") from error
    return Answer(done.returncode == 0, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def _in_memory(content: bytes, stack: contextlib.ExitStack) -> int:
    """The descriptor of a file that is in memory alone, until the stack is left."""
    try:
        file: IO[bytes] = os.fdopen(os.memfd_create("maskwatch"), "wb")
    except (AttributeError, OSError):  # not Linux, or one that forbids it
        import tempfile

        file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the stack)
    stack.enter_context(file)
    file.write(content)
    file.seek(0)
    return file.fileno()


def _last_words(complaints: str) -> str:
    lines = [line.strip() for line in complaints.splitlines() if line.strip(" @")]
    return " | ".join(lines[-3:])[:300] or "it does not say why"


def _open_at_once(path: str, flags: int) -> int:
    """Open without the wait for a writer that a named pipe would otherwise mean."""
    return os.open(path, flags | os.O_NONBLOCK)
