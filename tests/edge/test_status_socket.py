"""The status over real sockets: what it says, who is answered, and that nobody who asks holds a daemon up."""

from __future__ import annotations

import datetime
import errno
import json
import logging
import os
import queue
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch import capture as capture_module
from maskwatch import status_socket
from maskwatch.cameras.fake import FakeCamera, Show, Step, Vanish, noise_picture
from maskwatch.config import AlertSettings, CameraSettings, ModelSettings, Settings, TrackerSettings
from maskwatch.daemon import Daemon
from maskwatch.door import Model, Parts
from maskwatch.indicators.record import RecordOutputs
from maskwatch.observer import NoObserver, Observers
from maskwatch.signals import Command
from maskwatch.status import PersonStatus, State, Status, read_status
from maskwatch.status_keeper import FPS_FRAMES, FPS_SECONDS, StatusKeeper
from maskwatch.status_socket import SERVICE_SOCKET, own_socket, served
from maskwatch.strict_json import SchemaError
from maskwatch.types import Box, Face, Frame, Label, Person, Situation, Verdict

LIMIT_S = 20.0
UNIT = Path(__file__).parents[2] / "systemd" / "maskwatch.service"

PLAIN = Status(
    state="nobody",
    state_seconds=1.0,
    alarm=False,
    dark=False,
    resting=False,
    people_count=0,
    unmasked_count=0,
    people=(),
    frames=7,
    passed_frames=0,
    dropped_frames=0,
    fps=9.5,
    latency_seconds=0.1,
    camera_source="demo",
    camera_lost_seconds=None,
    camera_lost_reason=None,
    model="one 1.0.0",
    reloads=0,
    since="2026-01-02T03:04:05+01:00",
    uptime_seconds=2.0,
    version="0.1.0",
    pid=1,
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "status.sock"


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# The record

counts = st.integers(0, 2**53)
spans = st.floats(0, 2**53)
texts = st.text(st.characters(codec=None), max_size=20)
people = st.builds(PersonStatus, st.sampled_from([None, "with_mask", "without_mask"]), st.floats(0, 1))
statuses = st.builds(
    Status,
    state=st.sampled_from(get_args(State)),
    state_seconds=spans,
    alarm=st.booleans(),
    dark=st.booleans(),
    resting=st.booleans(),
    people_count=counts,
    unmasked_count=counts,
    people=st.lists(people, max_size=3).map(tuple),
    frames=counts,
    passed_frames=counts,
    dropped_frames=counts,
    fps=spans,
    latency_seconds=st.none() | spans,
    camera_source=st.none() | texts,
    camera_lost_seconds=st.none() | spans,
    camera_lost_reason=st.none() | texts,
    model=st.none() | texts,
    reloads=counts,
    since=texts,
    uptime_seconds=spans,
    version=texts,
    pid=counts,
)


@settings(deadline=None)
@given(statuses)
def test_every_status_is_one_line_of_ascii_and_comes_back_as_it_was(status: Status) -> None:
    line = status.to_json().encode("ascii")
    assert b"\n" not in line
    assert read_status(line + b"\n") == status


junk = st.sampled_from([-1, 1.5, "x", None, True, [], {}, [{"label": "maybe", "mask": 0.5}], float("nan"), 10**30])


@settings(deadline=None)
@given(statuses, st.sampled_from([field.name for field in fields(Status)]), junk)
def test_what_is_not_of_the_schema_is_refused(status: Status, key: str, value: object) -> None:
    record = json.loads(status.to_json())
    refused = ""
    try:
        read = read_status(json.dumps(record | {key: value}).encode())
    except SchemaError as error:
        refused = str(error)
    if refused:
        assert refused.startswith(key) or "JSON number" in refused or "too large" in refused
    else:  # junk for one key is sound for another
        assert json.loads(read.to_json()) == record | {key: value}
        assert type(value) is not bool or key in {"alarm", "dark", "resting"}
    with pytest.raises(SchemaError, match="missing"):
        read_status(json.dumps({name: record[name] for name in record if name != key}).encode())
    with pytest.raises(SchemaError, match="picture: unknown key"):
        read_status(json.dumps(record | {"picture": ""}).encode())


@pytest.mark.parametrize("line", [b"", b"[]", b"null", b"\xff", b"{" * 100_000])
def test_what_is_no_object_is_refused(line: bytes) -> None:
    with pytest.raises(SchemaError):
        read_status(line)


def test_the_states_are_the_situations_and_the_time_before() -> None:
    assert set(get_args(State)) == {situation.value for situation in Situation} | {"starting"}


# What the keeper makes of what it is told


def person(label: Label | None, mask: float, track_id: int = 4711) -> Person:
    face = Face(Box(123, 234, 345, 456), 0.87, mask, Label.WITH_MASK if mask >= 0.5 else Label.WITHOUT_MASK)
    return Person(track_id, face, label, 9)


def verdict(clock: Clock, *seen: Person, situation: Situation = Situation.NOBODY, latency_s: float = 0.0) -> Verdict:
    return Verdict(situation, situation is Situation.UNMASKED, seen, clock.now_s - latency_s)


@pytest.fixture
def keeper(clock: Clock) -> StatusKeeper:
    start = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    return StatusKeeper(clock, lambda: start + datetime.timedelta(seconds=clock.now_s - 1000.0))


def test_before_the_first_frame_little_is_known(keeper: StatusKeeper, clock: Clock) -> None:
    clock.now_s += 3.0
    status = keeper.status()
    assert (status.state, status.state_seconds, status.uptime_seconds) == ("starting", 3.0, 3.0)
    assert (status.frames, status.fps, status.camera_source, status.model) == (0, 0.0, None, None)
    assert (status.since, status.pid) == ("2026-01-02T03:04:05+01:00", os.getpid())


def test_people_are_counted_and_nothing_tells_one_from_another(keeper: StatusKeeper, clock: Clock) -> None:
    seen = (person(Label.WITHOUT_MASK, 0.03), person(Label.WITH_MASK, 0.98), person(None, 0.5))
    keeper.judged(verdict(clock, *seen, situation=Situation.UNMASKED, latency_s=0.0843))
    status = keeper.status(dropped_frames=5)
    assert (status.state, status.alarm, status.people_count, status.unmasked_count) == ("unmasked", True, 3, 1)
    assert [asdict(one) for one in status.people] == [
        {"label": "without_mask", "mask": 0.03},
        {"label": "with_mask", "mask": 0.98},
        {"label": None, "mask": 0.5},
    ]
    assert (status.frames, status.dropped_frames, status.latency_seconds) == (1, 5, 0.0843)
    told = replace(status, pid=1).to_json()
    assert not any(number in told for number in ("4711", "123", "456", "0.87"))


def test_frames_of_a_time_of_their_own_have_no_latency(keeper: StatusKeeper, clock: Clock) -> None:
    keeper.judged(verdict(clock, latency_s=-5.0))
    assert keeper.status().latency_seconds is None


@pytest.mark.parametrize("fps", [0.5, 1.0, 10.0, 500.0])
def test_frames_a_second_are_those_of_the_last_seconds_and_sink_when_none_comes(
    fps: float, keeper: StatusKeeper, clock: Clock
) -> None:
    for rate in (3.0, fps):  # what was long ago does not count
        for _ in range(max(FPS_FRAMES, int(2 * FPS_SECONDS * rate))):
            clock.now_s += 1 / rate
            keeper.judged(verdict(clock))
    assert keeper.status().fps == pytest.approx(fps, rel=0.01)
    seen = []
    for _ in range(int(FPS_SECONDS) + 2):
        clock.now_s += 1.0
        seen.append(keeper.status().fps)
    assert seen == sorted(seen, reverse=True)
    assert seen[0] < fps
    assert seen[-1] == 0.0


@pytest.mark.parametrize("look_every_seconds", [0.2, 1.0, 10.0])
def test_frames_a_second_at_rest_count_those_that_are_passed_over(look_every_seconds: float, clock: Clock) -> None:
    """A healthy door at rest said "1.0 frames/s", or 0.0 as of a lost camera."""
    passed, told = [0], []
    keeper = StatusKeeper(clock, passed_frames=lambda: passed[0])
    for index in range(600):  # a minute of ten frames a second
        clock.now_s += 0.1
        if index % round(10 * look_every_seconds) == 0:
            keeper.judged(verdict(clock))
        else:
            passed[0] += 1
        told.append(keeper.status())
    assert told[-1].frames + told[-1].passed_frames == 600
    assert told[-1].passed_frames == passed[0]
    assert all(status.fps == pytest.approx(10.0) for status in told[1:])
    for _ in range(30):  # and when none comes
        clock.now_s += 1.0
        told.append(keeper.status())
    assert [status.fps for status in told[-31:]] == sorted((status.fps for status in told[-31:]), reverse=True)
    assert told[-1].fps == 0.0


def test_a_lost_camera_has_no_frames_a_second_and_the_newest_reason(keeper: StatusKeeper, clock: Clock) -> None:
    for _ in range(20):
        clock.now_s += 0.1
        keeper.judged(verdict(clock, person(Label.WITH_MASK, 0.9), situation=Situation.ALL_MASKED))
    for reason in ("unplugged", "still unplugged"):
        clock.now_s += 2.0
        keeper.lost_camera(reason)
    lost = keeper.status()
    assert (lost.state, lost.state_seconds, lost.people, lost.alarm) == ("no_camera", 2.0, (), False)
    assert (lost.camera_lost_seconds, lost.camera_lost_reason) == (2.0, "still unplugged")
    assert (lost.fps, lost.latency_seconds, lost.frames) == (0.0, None, 20)
    for _ in range(2):
        clock.now_s += 0.1
        keeper.judged(verdict(clock))
    back = keeper.status()
    assert (back.state, back.camera_lost_seconds, back.camera_lost_reason) == ("nobody", None, None)
    assert back.fps == 10.0  # the pause does not count


def test_a_state_lasts_until_it_changes(keeper: StatusKeeper, clock: Clock) -> None:
    for _ in range(3):
        clock.now_s += 1.0
        keeper.judged(verdict(clock))
    assert keeper.status().state_seconds == 2.0
    keeper.judged(verdict(clock, situation=Situation.UNSURE))
    assert keeper.status().state_seconds == 0.0


def test_only_reloads_that_took_something_over_count(keeper: StatusKeeper, clock: Clock) -> None:
    keeper.watching("demo", "one 1.0.0")
    assert keeper.status().reloads == 0
    with keeper.reloading():
        keeper.watching("demo", "two 2.0.0")
    with keeper.reloading():
        pass
    status = keeper.status()
    assert (status.reloads, status.camera_source, status.model) == (1, "demo", "two 2.0.0")


def test_another_cameras_frames_are_counted_anew(keeper: StatusKeeper, clock: Clock) -> None:
    seen = []
    for source, model in (("demo", "one 1.0.0"), ("demo", "two 2.0.0"), ("picamera", "two 2.0.0")):
        keeper.watching(source, model)
        seen.append(keeper.status().fps)
        for _ in range(10):
            clock.now_s += 0.5
            keeper.judged(verdict(clock))
    assert seen == [0.0, 2.0, 0.0]


def test_the_start_is_counted_back_from_a_clock_that_was_set_late(clock: Clock) -> None:
    """A Pi has no clock of its own: it starts in the past, and hears the time from the network later."""
    wall = [datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)]
    keeper = StatusKeeper(clock, lambda: wall[0])
    clock.now_s += 60.0
    wall[0] = datetime.datetime(2026, 1, 2, 3, 5, 0, tzinfo=datetime.UTC)
    assert keeper.status().since == "2026-01-02T03:04:00+00:00"


STEPS = st.one_of(
    st.tuples(st.just("judged"), st.sampled_from(sorted(Situation, key=str)), st.floats(-5, 5)),
    st.tuples(st.just("lost"), texts),
    st.tuples(st.just("resting"), st.booleans()),
    st.tuples(st.just("watching"), texts, texts),
    st.tuples(st.just("time"), st.floats(-1, 20)),
)


@settings(deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_whatever_it_is_told_the_status_is_sound(told: list[tuple[object, ...]]) -> None:
    clock = Clock()
    keeper = StatusKeeper(clock)
    for word, *more in told:
        match word, more:
            case "judged", [situation, latency_s]:
                keeper.judged(verdict(clock, situation=situation, latency_s=latency_s))
            case "lost", [reason]:
                keeper.lost_camera(reason)
            case "resting", [resting]:
                keeper.resting(resting)
                assert keeper.status().resting is resting
            case "watching", [source, model]:
                keeper.watching(source, model)
            case "time", [seconds]:
                clock.now_s += seconds
        status = keeper.status()
        assert read_status(status.to_json().encode()) == status
        assert (status.state == "no_camera") >= (status.camera_lost_seconds is not None)
        if status.camera_lost_seconds is not None:
            assert status.fps == 0.0
    assert status.frames == sum(word == "judged" for word, *_ in told) if told else True


def test_several_observers_are_all_told_in_their_order() -> None:
    told = []

    class One(NoObserver):
        def __init__(self, name: str) -> None:
            self.name = name

        def watching(self, source: str, model: str) -> None:
            told.append((self.name, "watching", source, model))

        def judged(self, verdict: Verdict) -> None:
            told.append((self.name, "judged", verdict.captured_s))

        def resting(self, resting: bool) -> None:
            told.append((self.name, "resting", resting))

        def lost_camera(self, reason: str) -> None:
            told.append((self.name, "lost", reason))

        @contextmanager
        def reloading(self) -> Iterator[None]:
            told.append((self.name, "reloading"))
            yield
            told.append((self.name, "reloaded"))

        def stopping(self) -> None:
            told.append((self.name, "stopping"))

    both = Observers(One("a"), One("b"))
    both.watching("demo", "one")
    both.judged(Verdict(Situation.NOBODY, False, (), 5.0))
    both.resting(True)
    both.lost_camera("gone")
    with both.reloading():
        told.append(("", "inside"))
    both.stopping()
    assert told == [
        *[
            ("a", "watching", "demo", "one"),
            ("b", "watching", "demo", "one"),
            ("a", "judged", 5.0),
            ("b", "judged", 5.0),
            ("a", "resting", True),
            ("b", "resting", True),
        ],
        *[("a", "lost", "gone"), ("b", "lost", "gone"), ("a", "reloading"), ("b", "reloading"), ("", "inside")],
        *[("b", "reloaded"), ("a", "reloaded"), ("a", "stopping"), ("b", "stopping")],
    ]


# Asking


class Asker:
    """A client, to be watched closely."""

    def __init__(self, path: Path, words: bytes = b"") -> None:
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.channel.connect(str(path))  # a timeout would make it fail where it has to wait
        self.channel.settimeout(LIMIT_S)
        self.channel.sendall(words)
        self.lines = self.channel.makefile("rb")

    def status(self) -> Status:
        return read_status(self.lines.readline())

    def wait_for(self, state: str) -> Status:
        while (status := self.status()).state != state:
            pass
        return status

    def is_let_go(self) -> bool:
        """Waits for the end; False where there is an answer."""
        try:
            return self.channel.recv(1) == b""
        except ConnectionResetError:  # it was let go before all that it said was read
            return True

    def has_news(self) -> bool:
        return bool(select.select([self.channel], [], [], 0)[0])

    def close(self) -> None:
        self.lines.close()
        self.channel.close()


@pytest.fixture
def connect(path: Path) -> Iterator[Callable[..., Asker]]:
    with ExitStack() as all_of_them:

        def one(words: bytes = b"") -> Asker:
            asker = Asker(path, words)
            all_of_them.callback(asker.close)
            return asker

        yield one


def answer(path: Path) -> Status:
    """One status; after it, whatever the server had to look after before it was asked has been looked after."""
    asker = Asker(path, b"status\n")
    status = asker.status()
    assert asker.lines.read() == b""
    asker.close()
    return status


def test_who_asks_gets_one_line_and_the_end(path: Path) -> None:
    with served(path, lambda: PLAIN):
        assert answer(path) == PLAIN
        assert answer(path) == PLAIN
    assert not path.exists()


def test_a_word_may_come_in_pieces(path: Path, connect: Callable[..., Asker]) -> None:
    with served(path, lambda: PLAIN):
        asker = connect(b"sta")
        answer(path)
        asker.channel.sendall(b"tus")
        answer(path)
        asker.channel.sendall(b"\n")
        assert asker.status() == PLAIN


def test_who_watches_hears_of_each_change_and_of_the_end(path: Path, connect: Callable[..., Asker]) -> None:
    now = [PLAIN]
    with served(path, lambda: now[0]):
        asker = connect(b"watch\n")
        assert asker.status() == PLAIN
        now[0] = replace(PLAIN, state="unmasked")
        assert asker.wait_for("unmasked") == now[0]
    assert asker.lines.read() == b""


def test_who_watches_hears_at_most_so_often_and_at_least_so_often(
    path: Path, clock: Clock, connect: Callable[..., Asker]
) -> None:
    now = [PLAIN]
    with served(path, lambda: now[0], clock):
        asker = connect(b"watch\n")
        assert asker.status() == PLAIN
        for frames in range(20):  # figures run on
            now[0] = replace(PLAIN, frames=frames)
            answer(path)
        clock.now_s += status_socket.BEAT_SECONDS - 0.01
        answer(path)
        answer(path)
        assert not asker.has_news()
        clock.now_s += 0.01
        assert asker.status() == now[0]
        for state in ("unsure", "unmasked", "unsure", "unmasked"):  # flicker
            now[0] = replace(PLAIN, state=state)
            answer(path)
            answer(path)
            assert not asker.has_news()
        clock.now_s += status_socket.CHANGE_SECONDS
        assert asker.status() == now[0]
        answer(path)
        answer(path)
        assert not asker.has_news()


@pytest.mark.parametrize("change", ["frames", "fps", "uptime_seconds", "state_seconds", "latency_seconds"])
def test_figures_that_run_on_are_no_news(change: str) -> None:
    assert replace(PLAIN, **{change: 8}).news == PLAIN.news


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"state": "unsure"},
            {"alarm": True},
            {"dark": True},
            {"resting": True},
            {"unmasked_count": 1},
            {"reloads": 1},
            {"pid": 2},
        ),
        *({"model": "two"}, {"camera_source": "v4l2:0"}, {"camera_lost_reason": "unplugged"}),
        {"people": (PersonStatus(None, 0.5),)},
    ],
)
def test_what_is_news(change: dict[str, object]) -> None:
    assert replace(PLAIN, **change).news != PLAIN.news


# Clients that mean no good, or know no better


@pytest.mark.parametrize(
    "words",
    [
        b"\n",
        b"STATUS\n",
        b"status \n",
        b"watch\nstatus\n",
        b"status\nstatus\n",
        b"\0" * 15 + b"\n",
        b"x" * 100_000,
        b"\xff\n",
    ],
)
def test_who_says_anything_else_gets_no_answer(words: bytes, path: Path, connect: Callable[..., Asker]) -> None:
    with served(path, lambda: PLAIN):
        asker = connect()
        with suppress(BrokenPipeError, ConnectionResetError):  # it is not even read to its end
            asker.channel.sendall(words)
        assert asker.is_let_go()
        assert answer(path) == PLAIN


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=16, max_size=64).filter(lambda words: not words.startswith((b"status\n", b"watch\n"))))
def test_garbage_is_not_answered(words: bytes) -> None:
    with garbage_server() as place:
        asker = Asker(place, words)
        assert asker.is_let_go()
        asker.close()
        assert answer(place) == PLAIN


@contextmanager
def garbage_server() -> Iterator[Path]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, served(Path(folder) / "s", lambda: PLAIN):
        yield Path(folder) / "s"


def test_who_watches_and_talks_is_let_go(path: Path, connect: Callable[..., Asker]) -> None:
    with served(path, lambda: PLAIN):
        asker = connect(b"watch\n")
        assert asker.status() == PLAIN
        asker.channel.sendall(b"watch\n")
        while line := asker.lines.readline():
            assert read_status(line) == PLAIN


def test_who_says_nothing_is_let_go_in_time(path: Path, clock: Clock, connect: Callable[..., Asker]) -> None:
    with served(path, lambda: PLAIN, clock):
        silent, watching = connect(), connect(b"watch\n")
        watching.status()
        clock.now_s += status_socket.ASK_SECONDS - 0.01
        answer(path)
        answer(path)
        assert not silent.has_news()
        clock.now_s += 0.01
        assert silent.is_let_go()
        assert watching.status() == PLAIN


def test_a_thousand_who_connect_and_say_nothing_keep_nobody_out(path: Path, connect: Callable[..., Asker]) -> None:
    with served(path, lambda: PLAIN):
        watching = connect(b"watch\n")
        for _ in range(500):
            Asker(path).close()
        crowd = [connect() for _ in range(500)]
        assert answer(path) == PLAIN
        assert watching.status() == PLAIN
        assert sum(asker.has_news() for asker in crowd) >= 500 - status_socket.MAX_CLIENTS  # let go


def test_more_watchers_than_there_is_room_for_are_let_go_and_others_still_get_answers(
    path: Path, clock: Clock, connect: Callable[..., Asker]
) -> None:
    with served(path, lambda: PLAIN, clock):
        watching = [connect(b"watch\n") for _ in range(status_socket.MAX_WATCHERS)]
        assert [asker.status() for asker in watching] == [PLAIN] * len(watching)
        assert connect(b"watch\n").is_let_go()
        assert answer(path) == PLAIN
        watching[0].close()
        answer(path)
        answer(path)
        assert connect(b"watch\n").status() == PLAIN


def test_who_goes_away_before_the_answer_is_forgotten(path: Path) -> None:
    with served(path, lambda: PLAIN):
        for words in (b"", b"stat", b"status\n", b"watch\n"):
            Asker(path, words).close()
        assert answer(path) == PLAIN


def test_who_does_not_read_is_let_go_and_holds_nobody_up(
    path: Path, clock: Clock, connect: Callable[..., Asker]
) -> None:
    long = replace(PLAIN, camera_source="m" * 50_000)
    with served(path, lambda: long, clock):
        lazy, busy = connect(b"watch\n"), connect(b"watch\n")
        for _ in range(20):  # more than a socket's buffer holds
            assert busy.status() == long
            clock.now_s += status_socket.BEAT_SECONDS
        assert 0 < len(lazy.lines.read()) < 20 * 50_000  # it ends


def test_a_client_killed_while_it_reads_is_forgotten(path: Path) -> None:
    script = f"""
import socket
channel = socket.socket(socket.AF_UNIX)
channel.connect({str(path)!r})
channel.sendall(b"watch\\n")
print(channel.recv(1).decode(), flush=True)
channel.recv(10_000, socket.MSG_WAITALL)
"""
    with served(path, lambda: PLAIN):
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "{\n"
        child.kill()
        child.communicate(timeout=LIMIT_S)
        for _ in range(3):
            assert answer(path) == PLAIN


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
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        with served(path, lambda: PLAIN):
            answer(path)
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


# A whole daemon


class Fed(FakeCamera):
    """A live camera that shows what a test feeds it, when it does."""

    def __init__(self) -> None:
        super().__init__([])
        self.feed: queue.SimpleQueue[Step | None] = queue.SimpleQueue()
        self.asked = threading.Semaphore(0)

    def read(self, timeout_s: float) -> Frame | None:
        self.asked.release()
        step = self.feed.get(timeout=LIMIT_S)
        if step is not None:
            self._steps.append(step)
        return super().read(timeout_s)


class OneBareFace:
    """Eyes that see somebody without a mask in every frame, once they may look."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()

    def faces(self, frame: Frame) -> tuple[Face, ...]:
        assert self.open.wait(LIMIT_S)
        return (Face(Box(0, 0, 100, 120), 0.9, 0.04, Label.WITHOUT_MASK),)


class Running:
    """A daemon in a thread of its own, with a fed camera, recorded lights and a socket."""

    def __init__(self, path: Path) -> None:
        self.camera, self.eyes, self.judged = Fed(), OneBareFace(), threading.Semaphore(0)
        self.settings = Settings(
            camera=CameraSettings(source="demo", timeout_seconds=0.5),
            tracker=TrackerSettings(votes_needed=1),
            alert=AlertSettings(hold_seconds=0.0),
        )
        self.model = "one 1.0.0"
        self.seed = 0
        keeper = StatusKeeper(passed_frames=lambda: self.daemon.passed_frames)
        self.daemon = Daemon(
            lambda: self.settings,
            Parts(lambda _: self.camera, lambda _: RecordOutputs(), self._model),
            lambda frame, verdict: self.judged.release(),
            observer=Observers(NoObserver(), keeper),
            wait_for_camera=True,
        )
        self.served = served(path, lambda: keeper.status(self.daemon.dropped_frames))
        self.thread = threading.Thread(target=self._run)

    def _model(self, settings: ModelSettings, loaded: Model | None) -> Model:
        return Model(self.eyes, (self.model, 1), self.model)

    def _run(self) -> None:
        with self.served:
            self.daemon.run()

    def show(self, count: int) -> None:
        """Frames, one after the other: each is judged before the next is there."""
        for _ in range(count):
            self.seed += 1
            self.camera.feed.put(Show(noise_picture(self.seed)))
            assert self.judged.acquire(timeout=LIMIT_S)


@pytest.fixture
def running(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(capture_module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(capture_module, "LONGEST_PAUSE_SECONDS", 0.002)
    door = Running(path)
    door.thread.start()
    door.show(1)  # from now on there is a socket
    yield door
    door.eyes.open.set()
    door.camera.feed.put(None)
    door.thread.join(LIMIT_S)
    assert not door.thread.is_alive()


def test_a_daemon_tells_what_it_sees_loses_and_loads(
    running: Running, path: Path, connect: Callable[..., Asker]
) -> None:
    asker = connect(b"watch\n")
    first = asker.status()
    assert (first.state, first.camera_source, first.model) == ("unmasked", "demo", "one 1.0.0")
    assert (first.people_count, first.unmasked_count) == (1, 1)
    assert first.people == (PersonStatus("without_mask", 0.04),)
    running.camera.feed.put(Vanish(refused_opens=5))
    lost = asker.wait_for("no_camera")
    assert (lost.camera_lost_reason, lost.fps, lost.people_count) == ("the fake camera is unplugged", 0.0, 0)
    running.show(2)
    assert asker.wait_for("unmasked").camera_lost_reason is None
    running.model = "two 2.0.0"
    running.daemon.command(Command.RELOAD)
    while (status := asker.status()).reloads == 0:
        pass
    assert (status.reloads, status.model) == (1, "two 2.0.0")
    running.show(4)
    assert answer(path).frames >= 6  # the last frame's observers may not have been told yet
    running.camera.feed.put(None)
    while line := asker.lines.readline():
        read_status(line)
    running.thread.join(LIMIT_S)
    assert not path.exists()


def test_dropped_frames_are_told_while_the_daemon_runs(running: Running, path: Path) -> None:
    def wait_for_reads(count: int) -> None:
        for _ in range(count):
            assert running.camera.asked.acquire(timeout=LIMIT_S)

    wait_for_reads(2)  # the first frame, and the one that is waited for
    running.eyes.open.clear()
    for seed in range(100, 105):
        running.camera.feed.put(Show(noise_picture(seed)))
    wait_for_reads(5)  # all five lie in the mailbox, or did
    assert answer(path).dropped_frames in (3, 4)  # the daemon is busy with one, or does not know of any yet
    running.eyes.open.set()


def test_no_client_keeps_a_frame_from_being_judged(running: Running, path: Path, connect: Callable[..., Asker]) -> None:
    hostile = [connect() for _ in range(300)]
    hostile += [connect(b"watch\n") for _ in range(20)]  # none of them reads
    running.show(50)
    Asker(path, b"x" * 1000).close()
    running.show(50)
    assert running.daemon.frames == 101
    assert answer(path).people_count == 1
