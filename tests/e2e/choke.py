"""A line that fails in mid-upload: a ProxyCommand that lets so many bytes through to a port, and then nothing more.

    choke.py PORT LIMIT_BYTES NOTE hangs|ends

It writes its process id to NOTE when the line is choked, and waits; one that `ends` does so when its ssh has ended, one
that `hangs` leaves the other side with a connection that nobody closes. Once NOTE is there a line is a good one.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
from pathlib import Path

BLOCK_BYTES = 16 * 1024


def main() -> None:
    port, limit_bytes, note = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    server = socket.create_connection(("127.0.0.1", port))
    threading.Thread(target=back, args=(server,), daemon=True).start()
    passed_bytes = 0
    while block := os.read(0, BLOCK_BYTES):
        server.sendall(block)
        passed_bytes += len(block)
        if passed_bytes >= limit_bytes and not note.exists():
            note.write_text(str(os.getpid()))
            if sys.argv[4] == "hangs":
                signal.pause()
            ssh = select.poll()
            ssh.register(0, 0)  # for POLLHUP, which is always told
            ssh.poll()
            return


def back(server: socket.socket) -> None:
    while block := server.recv(BLOCK_BYTES):
        os.write(1, block)


if __name__ == "__main__":
    main()
