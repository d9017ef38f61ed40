"""sd_notify: a word to the service manager, by its own protocol of datagrams, without its library.

Source: sd_notify(3) and sd_watchdog_enabled(3) of systemd.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

logger = logging.getLogger(__name__)


class Notifier:
    """Speaks to the service manager that the environment names, and to nobody where it names none.

    `watchdog_seconds` is how long that manager waits for a WATCHDOG=1; None where it waits for none of this process.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_seconds = None if self._address is None else _watchdog_seconds(environment)

    @property
    def has_manager(self) -> bool:
        """Whether a service manager has started this process, and waits for its word."""
        return self._address is not None

    def send(self, *assignments: str) -> bool:
        """Send assignments, such as "READY=1", as one message; False where that was not possible.

        Never waits and never raises: a door goes on without a service manager.
        """
        if self._address is None:
            return False
        # Each assignment is one line, and systemd passes over what is not UTF-8.
        message = "\n".join(" ".join(line.split()) for line in assignments).encode("utf-8", "backslashreplace")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.setblocking(False)
                channel.sendto(message, self._address)
        except OSError as error:
            logger.debug("the service manager was not told %r: %s", message, error)
            return False
        return True


def _address(name: str) -> bytes | None:
    """The address of a socket's name: a path, or with "@" a Linux abstract name; None for all others."""
    if name.startswith("@"):
        return b"\0" + os.fsencode(name[1:])
    return os.fsencode(name) if name.startswith("/") else None


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    period_us = environment.get("WATCHDOG_USEC", "")
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(period_us) / 1e6 if period_us.isascii() and period_us.isdigit() and int(period_us) > 0 else None
