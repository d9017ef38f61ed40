"""The status as a record, and what its keeper makes of what the daemon tells."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.observer import NoObserver, Observers, RunningModel
from maskwatch.slots.states import SlotName
from maskwatch.status import PersonStatus, State, Status, Trial, read_status
from maskwatch.status_keeper import FPS_FRAMES, FPS_SECONDS, StatusKeeper
from maskwatch.strict_json import SchemaError
from maskwatch.types import Box, Face, Label, Person, Situation, Verdict
from status_stage import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


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
    model_sha256=st.none() | texts,
    slot=st.none() | st.sampled_from(get_args(SlotName)),
    trial=st.none() | st.sampled_from(get_args(Trial)),
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


def test_a_model_that_is_swapped_confirmed_or_rolled_back_is_told_and_is_no_reload(keeper: StatusKeeper) -> None:
    keeper.watching("demo", "one 1.0.0")
    keeper.runs(RunningModel("one 1.0.0", "1" * 64), "")
    told = []
    for model in (
        RunningModel("two 2.0.0", "2" * 64, "b", "trying"),
        RunningModel("two 2.0.0", "2" * 64, "b", "confirmed"),
        RunningModel("one 1.0.0", "1" * 64),
    ):
        keeper.runs(model, "the log's words")
        status = keeper.status()
        told.append((status.model, status.model_sha256, status.slot, status.trial))
    assert told == [
        ("two 2.0.0", "2" * 64, "b", "trying"),
        ("two 2.0.0", "2" * 64, "b", "confirmed"),
        ("one 1.0.0", "1" * 64, None, None),
    ]
    assert (status.reloads, status.camera_source) == (0, "demo")


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

        def runs(self, model: RunningModel, why: str) -> None:
            told.append((self.name, "runs", str(model), why))

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
    both.runs(RunningModel("one", "1", "a", "trying"), "swapped")
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
            ("a", "runs", "one (slot a, on trial)", "swapped"),
            ("b", "runs", "one (slot a, on trial)", "swapped"),
            ("a", "judged", 5.0),
            ("b", "judged", 5.0),
            ("a", "resting", True),
            ("b", "resting", True),
        ],
        *[("a", "lost", "gone"), ("b", "lost", "gone"), ("a", "reloading"), ("b", "reloading"), ("", "inside")],
        *[("b", "reloaded"), ("a", "reloaded"), ("a", "stopping"), ("b", "stopping")],
    ]
