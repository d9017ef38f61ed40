"""Where the status is served: whose socket it is, and who may ask."""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from maskwatch.status_socket import SERVICE_SOCKET, own_socket, served
from plain_status import PLAIN
from status_stage import LIMIT_S, answer

UNIT = Path(__file__).parents[2] / "systemd" / "maskwatch.service"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "status.sock"


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# Where it is served


def test_the_service_is_asked_where_its_unit_puts_it() -> None:
    (name,) = [line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith("RuntimeDirectory=")]
    assert own_socket({"RUNTIME_DIRECTORY": f"/run/{name}", "XDG_RUNTIME_DIR": "/run/user/1"}) == SERVICE_SOCKET


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"RUNTIME_DIRECTORY": "/run/one:/run/two"}, "/run/one/status.sock"),
        ({"XDG_RUNTIME_DIR": "/run/user/1000"}, "/run/user/1000/maskwatch/status.sock"),
        ({"XDG_RUNTIME_DIR": "relative"}, None),
        ({"RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": ""}, None),
        ({}, None),
    ],
)
def test_a_run_serves_where_its_environment_says(environment: dict[str, str], place: str | None) -> None:
    assert own_socket(environment) == (None if place is None else Path(place))


@pytest.mark.parametrize("umask", [0o000, 0o027, 0o077])
def test_owner_and_group_may_ask_and_nobody_else(umask: int, path: Path) -> None:
    before = os.umask(umask)
    try:
        with served(path, lambda: PLAIN):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
    finally:
        os.umask(before)


def test_the_folder_of_ones_own_is_made_for_ones_own_eyes(tmp_path: Path) -> None:
    place = own_socket({"XDG_RUNTIME_DIR": str(tmp_path)})
    with served(place, lambda: PLAIN):
        assert answer(place) == PLAIN
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700


def test_the_socket_of_a_killed_daemon_is_replaced(path: Path, warnings: Callable[[], list[str]]) -> None:
    script = f"""
import signal, sys
from pathlib import Path
from maskwatch.status_socket import served
with served(Path({str(path)!r}), lambda: None):
    print("serving", flush=True)
    signal.pause()
"""
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "serving\n"
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=LIMIT_S)
    assert path.is_socket()
    with served(path, lambda: PLAIN):
        assert answer(path) == PLAIN
    assert warnings() == []


def test_a_second_daemon_leaves_the_firsts_socket_alone(path: Path, warnings: Callable[[], list[str]]) -> None:
    second = replace(PLAIN, pid=2)
    with served(path, lambda: PLAIN):
        with served(path, lambda: second):
            assert answer(path) == PLAIN
        assert answer(path) == PLAIN
    (line,) = warnings()
    assert line.startswith("no status socket")
    assert line.endswith("status.sock: another Maskwatch that runs has it")
    with served(path, lambda: second):
        assert answer(path) == second


@pytest.mark.parametrize("place", ["file", "absent/folder/status.sock", "x" * 200, "folder", "loop"])
def test_where_no_socket_can_be_one_line_says_so(place: str, tmp_path: Path, warnings: Callable[[], list[str]]) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop.lock").symlink_to("loop.lock")
    with served(tmp_path / place, lambda: PLAIN):
        pass
    assert len(warnings()) == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_a_server_that_cannot_start_leaves_no_socket_that_never_answers(
    path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    """It listened on for the whole run: who asked was let in, and waited in vain."""

    def no_more() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with ExitStack() as run:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socketpair", no_more)
            run.enter_context(served(path, lambda: PLAIN))
        assert not path.exists()
        with served(path, lambda: PLAIN):  # nobody holds the place
            assert answer(path) == PLAIN
    (line,) = warnings()
    assert line.endswith("status.sock: Too many open files")


def test_without_any_place_nothing_is_served_or_said(caplog: pytest.LogCaptureFixture) -> None:
    """A line more would have stood before the one that says why a run could not start."""
    caplog.set_level(logging.INFO, "maskwatch")
    before = threading.active_count()
    with served(None, lambda: PLAIN):
        assert threading.active_count() == before
    assert caplog.records == []


def test_nothing_is_left_behind(path: Path) -> None:
    gc.collect()  # or what other tests left might go meanwhile
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        with served(path, lambda: PLAIN):
            answer(path)
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
