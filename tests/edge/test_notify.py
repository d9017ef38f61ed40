"""sd_notify over real datagram sockets, in the file system and abstract, as systemd listens on them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from maskwatch.notify import Notifier
from maskwatch.service import ServiceObserver
from maskwatch.types import Box, Face, Label, Person, Situation, Verdict

PID = str(os.getpid())


class Manager:
    """A service manager's ear."""

    def __init__(self, address: str | bytes, name: str) -> None:
        self.name = name
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ear.bind(address)
        self.ear.setblocking(False)

    def heard(self) -> list[list[str]]:
        """The messages since the last call, each as its lines."""
        messages = []
        while True:
            try:
                messages.append(self.ear.recv(4096).decode("utf-8").split("\n"))
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    if request.param == "path":
        path = str(tmp_path / "notify")
        manager = Manager(path, path)
    else:
        name = f"maskwatch-test-{PID}-{tmp_path.name}"
        manager = Manager(b"\0" + name.encode(), f"@{name}")
    yield manager
    manager.ear.close()


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def verdict(situation: Situation, *labels: Label | None) -> Verdict:
    face = Face(Box(0, 0, 9, 9), 0.9, 0.5, Label.WITH_MASK)
    people = tuple(Person(index, face, label, 1) for index, label in enumerate(labels))
    return Verdict(situation, False, people, 0.0)


NOBODY = verdict(Situation.NOBODY)
TWO = verdict(Situation.UNMASKED, Label.WITHOUT_MASK, None)


def observer(manager: Manager, clock: Clock, watchdog_seconds: float | None = None) -> ServiceObserver:
    environment = {"NOTIFY_SOCKET": manager.name}
    if watchdog_seconds is not None:
        environment |= {"WATCHDOG_USEC": str(int(watchdog_seconds * 1e6)), "WATCHDOG_PID": PID}
    return ServiceObserver(Notifier(environment), clock)


# The protocol


def test_assignments_are_the_lines_of_one_datagram(manager: Manager) -> None:
    assert Notifier({"NOTIFY_SOCKET": manager.name}).send("READY=1", "STATUS=all is well")
    assert manager.heard() == [["READY=1", "STATUS=all is well"]]


def test_no_text_can_smuggle_in_a_line_or_make_the_message_unreadable(manager: Manager) -> None:
    Notifier({"NOTIFY_SOCKET": manager.name}).send("STATUS=größer\nREADY=1 \udce9")
    assert manager.heard() == [["STATUS=größer READY=1 \\udce9"]]


@pytest.mark.parametrize(
    "name", ["", "relative/path", "vsock:2:1234", "/nobody/listens/here", "@nobody-listens-here", "/" * 200]
)
def test_where_nobody_listens_nothing_happens(name: str) -> None:
    assert not Notifier({"NOTIFY_SOCKET": name}).send("READY=1")


def test_without_a_socket_nothing_happens() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "1000000"})
    assert (notifier.send("READY=1"), notifier.watchdog_seconds) == (False, None)


def test_a_manager_that_does_not_listen_holds_nobody_up(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.name})
    sent = 0
    while notifier.send("STATUS=x"):  # a socket that waits would hang here: the queue of datagrams is bounded
        sent += 1
    assert len(manager.heard()) == sent > 0
    assert notifier.send("STATUS=x")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": PID}, 180.0),
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": "1"}, None),  # meant for another process
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": ""}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_read_from_the_environment(environment: dict[str, str], seconds: float | None) -> None:
    assert Notifier({"NOTIFY_SOCKET": "@x", **environment}).watchdog_seconds == seconds


# What a service manager hears of a door


def test_ready_comes_with_the_first_frame_and_once(manager: Manager, clock: Clock) -> None:
    door = observer(manager, clock)
    door.lost_camera("it is unplugged")
    assert manager.heard() == [["STATUS=no_camera: it is unplugged; trying again"]]
    door.judged(NOBODY)
    assert manager.heard() == [["READY=1", "STATUS=nobody: 0 seen, 0 unmasked"]]
    door.judged(NOBODY)
    assert manager.heard() == []


def test_the_watchdog_is_fed_by_frames_alone_four_times_in_its_period(manager: Manager, clock: Clock) -> None:
    door = observer(manager, clock, watchdog_seconds=180.0)
    fed_s = []
    for step in range(1000):
        door.judged(TWO if step % 2 else NOBODY)  # a new status is no feed
        fed_s += [clock.now_s for message in manager.heard() if "WATCHDOG=1" in message]
        clock.now_s += 0.5
    assert fed_s == [100.0 + 45 * feed for feed in range(12)]
    for _ in range(100):
        clock.now_s += 30.0
        door.lost_camera("it is unplugged")
        with door.reloading():
            pass
    assert not any("WATCHDOG=1" in message for message in manager.heard())
    door.judged(NOBODY)
    assert "WATCHDOG=1" in manager.heard()[0]


def test_no_watchdog_is_fed_that_is_not_ours(manager: Manager, clock: Clock) -> None:
    environment = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    door = ServiceObserver(Notifier(environment), clock)
    for _ in range(10):
        door.judged(NOBODY)
        clock.now_s += 1.0
    assert not any("WATCHDOG=1" in message for message in manager.heard())


def test_the_status_follows_what_the_door_shows_once_a_second_at_most(manager: Manager, clock: Clock) -> None:
    door = observer(manager, clock)
    for step in range(8):  # faces that come and go from frame to frame
        door.judged(TWO if step % 2 else NOBODY)
        clock.now_s += 0.375
    assert manager.heard() == [
        ["READY=1", "STATUS=nobody: 0 seen, 0 unmasked"],
        ["STATUS=unmasked: 2 seen, 1 unmasked"],  # after 1.125 s
        ["STATUS=nobody: 0 seen, 0 unmasked"],  # after 2.25 s
    ]
    clock.now_s += 1.0
    door.judged(TWO)  # the last word is told however short its life was
    assert manager.heard() == [["STATUS=unmasked: 2 seen, 1 unmasked"]]


def test_a_lost_camera_and_its_return_are_told_at_once_and_once(manager: Manager, clock: Clock) -> None:
    door = observer(manager, clock)
    door.judged(NOBODY)
    for _ in range(5):
        door.lost_camera("it is unplugged")
    door.judged(NOBODY)
    assert [message[-1] for message in manager.heard()] == [
        "STATUS=nobody: 0 seen, 0 unmasked",
        "STATUS=no_camera: it is unplugged; trying again",
        "STATUS=nobody: 0 seen, 0 unmasked",
    ]


def test_a_reload_is_announced_with_its_time_and_ended_even_where_it_fails(manager: Manager, clock: Clock) -> None:
    door = observer(manager, clock)
    door.judged(NOBODY)
    manager.heard()

    def fail() -> None:
        with door.reloading():
            assert manager.heard() == [["RELOADING=1", "MONOTONIC_USEC=100000000"]]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert manager.heard() == [["READY=1"]]


def test_a_reload_before_the_first_frame_makes_nothing_ready(manager: Manager, clock: Clock) -> None:
    door = observer(manager, clock)
    with door.reloading():
        pass
    assert manager.heard() == []


def test_stopping_is_told(manager: Manager, clock: Clock) -> None:
    observer(manager, clock).stopping()
    assert manager.heard() == [["STOPPING=1"]]


def test_what_could_not_be_sent_is_sent_with_the_next_frame(tmp_path: Path, clock: Clock) -> None:
    path = str(tmp_path / "notify")
    environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "180000000", "WATCHDOG_PID": PID}
    door = ServiceObserver(Notifier(environment), clock)
    door.judged(NOBODY)
    door.lost_camera("it is unplugged")
    door.stopping()
    manager = Manager(path, path)
    door.judged(NOBODY)
    assert manager.heard() == [["READY=1", "WATCHDOG=1", "STATUS=nobody: 0 seen, 0 unmasked"]]
    with door.reloading():
        manager.ear.close()
        os.unlink(path)
    manager = Manager(path, path)
    door.judged(NOBODY)
    assert manager.heard() == [["READY=1"]]
    manager.ear.close()
