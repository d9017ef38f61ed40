"""What ssh says when it fails, in one line that says what to do."""

from __future__ import annotations

import re
import shlex

MAX_WORDS = 240
"""Characters of another side's words that are passed on."""

_NO_PROXY = re.compile(r"kex_exchange_identification: |Connection (closed|reset) by UNKNOWN port ")
"""What ssh says at last where its ProxyCommand has ended, whatever was the matter."""

_CHANGED = re.compile(r"Host key for (\S+) has changed")


def words_of_ssh(complaints: str, code: int, host: str, by_hand: str) -> str:
    """Why ssh to this host failed: the line of its own that says most, and what to do where that is known.

    `by_hand` is the command that logs in there in the same way.
    """
    lines = [line.strip() for line in complaints.splitlines() if line.strip(" @\t")]
    if not lines:
        return f"ssh was ended by signal {-code}" if code < 0 else "ssh gives no reason"
    advice = _of_host_key(complaints, host, by_hand)
    if advice:
        return advice
    # What ssh says of a name or a port comes first; what follows is that the other end of a pipe has gone.
    telling = [line for line in lines if line.startswith("ssh: ")]
    others = [line for line in lines if not _NO_PROXY.match(line)] or lines
    words = (telling or others[-1:])[0][:MAX_WORDS]
    if "Permission denied (" in words:
        words = f"{words.rstrip('.')}: your key is not accepted there: add it to its authorized_keys, or here: ssh-add"
    return words


def _of_host_key(complaints: str, host: str, by_hand: str) -> str:
    if "HOST IDENTIFICATION HAS CHANGED" in complaints:
        known = _CHANGED.search(complaints)
        name = known[1] if known else host  # with its port, where that is another than 22
        return (
            "its host key has CHANGED: another machine, or an attack; "
            f"if it was replaced: ssh-keygen -R {shlex.quote(name)}"
        )[:MAX_WORDS]
    if "REVOKED HOST KEY" in complaints:
        return "its host key is one that your known hosts mark as revoked: do not trust what answers there"
    if "Host key verification failed" in complaints:
        return f"its host key is not known here: log in once by hand: {by_hand}"
    return ""
