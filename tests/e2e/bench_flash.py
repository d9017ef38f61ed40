"""How long a flash takes: to a real daemon's first frame on the new model, and how the total grows with the doors.

All of it goes on on this one machine: doors, sshd, ssh and all. So the growth with the doors is the machine's, whose
cores they share, more than that of `flash`; real doors verify a bundle each on their own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # what the tests share

import sshd as sshd_module
from flash_runs import new_model
from flashing import flash
from maskwatch import status_client
from maskwatch.bundle import open_bundle
from real_door import RealDoor, watching
from sshd import Sshd, forced
from stage_doors import PlayedDoor, played

ROUNDS = 5
DOORS = (1, 2, 5, 10, 20)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="flashes of the real daemon")
    parser.add_argument("--doors", type=int, nargs="+", default=DOORS, help="how many doors at once, in turn")
    options = parser.parse_args()
    if not sshd_module.is_there():
        print(
            f"bench-flash: {sshd_module.MISSING}: sudo apt-get install openssh-server openssh-client", file=sys.stderr
        )
        return 3
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} before it begins")
    with tempfile.TemporaryDirectory(prefix="mw-bench-", dir="/tmp") as name:
        one_door(Path(name), options.rounds)
        many_doors(Path(name), options.doors)
    return 0


def one_door(folder: Path, rounds: int) -> None:
    """A real daemon on the demo's pictures, flashed again and again with a newer version."""
    first_frames, ends = [], []
    with sshd_module.running() as sshd, watching(folder / "door") as door:
        sshd.add_host("door-1", forced(*door.receive_words()))
        for number in range(rounds):
            bundle = new_model(folder, version=f"9.0.{number}")
            with first_frame_on(door, open_bundle(bundle).sha256) as seen_s:
                began_s = time.monotonic()
                done = flash(sshd, "door-1", bundle)
                ended_s = time.monotonic()
            assert done.code == 0, done.err
            first_frames.append(seen_s[0] - began_s)
            ends.append(ended_s - began_s)
    print(f"one door, the real daemon, {bundle.stat().st_size / 1000:.0f} kB, {rounds} times: median (least to most)")
    print(f"  to the first frame on the new model  {figures(first_frames)}")
    print(f"  to confirmed, after 50 frames        {figures(ends)}")


@contextmanager
def first_frame_on(door: RealDoor, sha256: str) -> Iterator[list[float]]:
    """When a frame was first judged on that model: the status tells it within a quarter of a second."""
    seen_s: list[float] = []

    def watch() -> None:
        swapped_at: int | None = None
        for status in status_client.watch([door.socket]):
            if status.model_sha256 != sha256:
                continue
            swapped_at = status.frames if swapped_at is None else swapped_at
            if status.frames > swapped_at:
                seen_s.append(time.monotonic())
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield seen_s
    watcher.join(30.0)


def many_doors(folder: Path, counts: tuple[int, ...]) -> None:
    """Doors whose daemons are played and confirm at once: what is timed is `flash` and the doors' own side of it."""
    print("many doors, their daemons played, 8 at once unless told otherwise")
    base: float | None = None
    for count in counts:
        bundle = new_model(folder, version=f"9.1.{count}")
        doors = [PlayedDoor(f"door-{number}", folder / f"{count}-{number}") for number in range(count)]
        with sshd_module.running() as sshd, played(sshd, doors):
            total_s, cpu_s = timed(sshd, [door.name for door in doors], bundle)
        base = total_s if base is None else base
        each = f"{total_s / count:5.2f} s a door, {total_s / base:4.1f} times the first"
        print(f"  {count:3} doors  {total_s:6.1f} s, {each}; flash and its ssh took {cpu_s:.1f} s of a core")


def timed(sshd: Sshd, names: list[str], bundle: Path) -> tuple[float, float]:
    """How long all of them took, and the processor time of `maskwatch flash` and its children."""
    before = os.times()
    began_s = time.monotonic()
    done = flash(sshd, *names, bundle)
    total_s = time.monotonic() - began_s
    after = os.times()
    assert done.code == 0, done.err
    return total_s, (after.children_user + after.children_system) - (before.children_user + before.children_system)


def figures(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):5.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.TimeoutExpired as error:
        print(f"bench-flash: {error}", file=sys.stderr)
        sys.exit(4)
