"""A camera as a process of its own, for the soak: JPEGs at a steady rate to whoever connects, until it is killed.

    python soak_camera.py SOCKET FILM PICTURES_PER_SECOND

The socket is there once the camera works, as a device is; who kills the camera removes it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path

LENGTH = struct.Struct("!I")
"""Stands before each JPEG, in the film and on the socket."""

FILM_PICTURES_PER_SECOND = 10
"""How fast what is seen changes, however often the camera shows it."""


def die_with_parent() -> None:
    """Ask the kernel (Linux) for SIGKILL should the process that started this one end before it."""
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def read_film(path: Path) -> list[bytes]:
    """Each picture of a film, as it goes onto the socket."""
    film, pictures, start = path.read_bytes(), [], 0
    while start < len(film):
        end = start + LENGTH.size + LENGTH.unpack_from(film, start)[0]
        pictures.append(film[start:end])
        start = end
    return pictures


def play(pictures: list[bytes], channel: socket.socket, period_s: float) -> None:
    """Show the film over and over until the reader goes; a reader that is slow misses pictures, as at a camera."""
    began_s = due_s = time.monotonic()
    while True:
        now_s = time.monotonic()
        if now_s < due_s:
            time.sleep(due_s - now_s)
            now_s = due_s
        due_s += period_s * (1 + (now_s - due_s) // period_s)
        try:
            channel.sendall(pictures[int((now_s - began_s) * FILM_PICTURES_PER_SECOND) % len(pictures)])
        except OSError:
            return


def main() -> None:
    die_with_parent()
    path, film, rate = sys.argv[1:]
    pictures = read_film(Path(film))
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    ear.bind(f"{path}.new")
    ear.listen()
    os.rename(f"{path}.new", path)
    while True:
        channel, _ = ear.accept()
        with channel:
            play(pictures, channel, 1 / float(rate))


if __name__ == "__main__":
    main()
