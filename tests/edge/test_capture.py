"""The camera's thread and its one-slot mailbox: newest wins, losses are told and healed, nothing waits for ever."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.cameras import CameraMissingError
from maskwatch.cameras.fake import FakeCamera, Show, Silence, Vanish, noise_picture
from maskwatch.capture import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, STEADY_SECONDS, Capture, next_pause_s
from maskwatch.errors import CameraError, ImageError
from maskwatch.mailbox import Ended, Item, Lost, Mailbox
from maskwatch.types import Frame, Image

LIMIT_S = 10.0


def frame(index: int) -> Frame:
    return Frame(noise_picture(index), float(index), index)


class Pauses:
    """In place of waiting: remembers how long each pause would have been, and lets it pass at once."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, event: threading.Event, seconds: float) -> bool:
        self.seconds.append(seconds)
        return event.is_set()


@contextmanager
def running(camera: object, announced: Callable[[Capture], object], **options: object) -> Iterator[Capture]:
    capture = Capture(camera, 5.0, announced, **options)
    capture.start()
    try:
        yield capture
    finally:
        capture.stop()
        assert capture.join(LIMIT_S)


def take_all(camera: object, **options: object) -> list[Item]:
    """All that a capture says until its last word, each taken as soon as announced."""
    events: queue.SimpleQueue[Capture] = queue.SimpleQueue()
    taken: list[Item] = []
    with running(camera, events.put, **options) as capture:
        while not (taken and isinstance(taken[-1], Ended)):
            assert events.get(timeout=LIMIT_S) is capture
            item = capture.mailbox.take()
            if item is not None:
                taken.append(item)
    return taken


def test_the_newest_frame_replaces_one_that_was_not_taken() -> None:
    announced = []
    mailbox = Mailbox(lambda: announced.append(1))
    for index in range(5):
        mailbox.put(frame(index))
    assert (mailbox.take().index, mailbox.take()) == (4, None)
    assert (mailbox.dropped_frames, len(announced)) == (4, 1)
    mailbox.put(Lost("gone"))
    mailbox.put(frame(9))
    assert (mailbox.take().index, mailbox.dropped_frames, len(announced)) == (9, 4, 2)


@given(st.lists(st.booleans(), max_size=40))
def test_every_frame_put_is_taken_or_counted_as_dropped_or_still_there(steps: list[bool]) -> None:
    announced = []
    mailbox = Mailbox(lambda: announced.append(1))
    put, taken = 0, []
    for step in steps:
        if step:
            mailbox.put(frame(put))
            put += 1
        elif (item := mailbox.take()) is not None:
            taken.append(item.index)
    left = int(mailbox.take() is not None)
    assert put == len(taken) + mailbox.dropped_frames + left
    assert len(announced) == len(taken) + left
    assert taken == sorted(set(taken))


def test_frames_in_turn_wait_for_the_one_before_and_closing_ends_the_wait() -> None:
    full = threading.Event()
    mailbox = Mailbox(full.set)
    mailbox.put_in_turn(frame(0))
    put = []
    producer = threading.Thread(
        target=lambda: put.extend([mailbox.put_in_turn(frame(1)), mailbox.put_in_turn(frame(2))])
    )
    full.clear()
    producer.start()
    assert mailbox.take().index == 0
    assert full.wait(LIMIT_S)
    producer.join(0.05)
    assert producer.is_alive()  # frame 2 waits
    mailbox.close()
    producer.join(LIMIT_S)
    assert not producer.is_alive()


def test_files_give_every_frame_then_their_end() -> None:
    camera = FakeCamera([Show(noise_picture(1), count=50)], live=False)
    *frames, last = take_all(camera)
    assert [item.index for item in frames] == list(range(50))
    assert last == Ended(None)
    assert camera.calls[-1] == "close"


def test_a_live_camera_never_queues() -> None:
    announced: queue.SimpleQueue[Capture] = queue.SimpleQueue()
    camera = FakeCamera([Show(noise_picture(index)) for index in range(100)])
    with running(camera, announced.put) as capture:
        assert capture.join(LIMIT_S)
        assert capture.mailbox.take() == Ended(None)
        assert (capture.mailbox.dropped_frames, announced.qsize()) == (100, 1)


def test_a_lost_camera_is_told_and_opened_again_after_growing_pauses() -> None:
    pauses = Pauses()
    camera = FakeCamera([Show(noise_picture(0)), Vanish(refused_opens=9), Show(noise_picture(1))], live=False)
    items = take_all(camera, wait=pauses)
    assert pauses.seconds == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert isinstance(items[0], Frame)
    assert Lost("the fake camera is unplugged") in items
    assert isinstance(items[-2], Frame)
    assert items[-1] == Ended(None)


def test_a_loss_does_not_hold_on_to_the_last_frame() -> None:
    """From its first loss on a door took one frame more for good: the fault's traceback held it."""

    class OneFrame(FakeCamera):
        def read(self, timeout_s: float) -> Frame | None:
            if images:
                raise CameraError("unplugged")
            image = noise_picture(0)
            images.append(weakref.ref(image))
            return Frame(image, 0.0)

    def pause(event: threading.Event, seconds: float) -> bool:
        kept.append(images[0]() is not None)
        event.set()
        return True

    images: list[weakref.ref[Image]] = []
    kept: list[bool] = []
    with running(OneFrame([]), lambda capture: None, wait=pause) as capture:
        assert capture.join(LIMIT_S)
    assert kept == [False]


def test_a_silent_camera_is_lost() -> None:
    camera = FakeCamera([Silence(), Show(noise_picture(1))], live=False)
    capture_items = []
    events: queue.SimpleQueue[Capture] = queue.SimpleQueue()
    capture = Capture(camera, 0.01, events.put, wait=Pauses())
    capture.start()
    while not (capture_items and isinstance(capture_items[-1], Ended)):
        events.get(timeout=LIMIT_S)
        capture_items.append(capture.mailbox.take())
    assert capture_items[0] == Lost("the fake camera gave no picture for 0.01 seconds: check its cable")
    assert capture.join(LIMIT_S)


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_pauses_grow_up_to_a_bound_and_start_anew_after_steady_work(last_s: float, worked_s: float) -> None:
    pause_s = next_pause_s(last_s, worked_s)
    assert FIRST_PAUSE_SECONDS <= pause_s <= LONGEST_PAUSE_SECONDS
    if worked_s >= STEADY_SECONDS:
        assert pause_s == FIRST_PAUSE_SECONDS
    elif 0 < last_s < LONGEST_PAUSE_SECONDS:
        assert pause_s > last_s


class Missing(FakeCamera):
    """A camera whose opening fails in a chosen way, so many times."""

    def __init__(self, fault: Exception, times: int) -> None:
        super().__init__([Show(noise_picture(0))], live=False)
        self.fault, self.times = fault, times

    def open(self) -> None:
        if self.times:
            self.times -= 1
            raise self.fault
        super().open()


@pytest.mark.parametrize("fault", [CameraMissingError("no camera"), CameraError("busy"), ImageError("no file")])
def test_a_camera_that_must_open_and_does_not_is_the_end(fault: Exception) -> None:
    (ended,) = take_all(Missing(fault, 1), must_open=True)
    assert isinstance(ended, Ended)
    assert ended.fault is fault


@pytest.mark.parametrize("fault", [CameraMissingError("no camera"), CameraError("busy"), ImageError("no file")])
def test_a_camera_that_may_come_later_is_waited_for(fault: Exception) -> None:
    items = take_all(Missing(fault, 3), wait=Pauses())
    assert Lost(str(fault)) in items
    assert isinstance(items[-2], Frame)
    assert items[-1] == Ended(None)


def test_a_fault_that_nobody_foresaw_is_handed_over() -> None:
    class Broken(FakeCamera):
        def read(self, timeout_s: float) -> Frame | None:
            raise ZeroDivisionError("a bug")

    camera = Broken([])
    (ended,) = take_all(camera)
    assert isinstance(ended.fault, ZeroDivisionError)
    assert camera.calls == ["open", "close"]


class Frozen(FakeCamera):
    """Its `read` ignores the timeout and comes back only when the test lets it."""

    def __init__(self) -> None:
        super().__init__([])
        self.inside, self.release = threading.Event(), threading.Event()

    def read(self, timeout_s: float) -> Frame | None:
        self.inside.set()
        assert self.release.wait(LIMIT_S)
        return None


def test_a_frozen_read_is_noticed_and_does_not_hold_up_the_one_who_stops() -> None:
    camera = Frozen()
    now_s = [100.0]
    capture = Capture(camera, 5.0, lambda capture: None, clock=lambda: now_s[0])
    capture.start()
    assert camera.inside.wait(LIMIT_S)
    now_s[0] = 107.0
    assert capture.stuck_s() == 7.0
    capture.stop()
    assert not capture.join(0.01)
    camera.release.set()
    assert capture.join(LIMIT_S)
    assert (capture.stuck_s(), camera.calls[-1]) == (0.0, "close")


def test_a_pause_ends_when_told_to_stop() -> None:
    lost = threading.Event()
    camera = FakeCamera([Vanish(refused_opens=100)])
    capture = Capture(camera, 5.0, lambda capture: lost.set())
    capture.start()
    assert lost.wait(LIMIT_S)
    capture.stop()
    assert capture.join(LIMIT_S)


def test_a_new_camera_waits_until_the_old_one_is_closed() -> None:
    first, second = Frozen(), FakeCamera([Show(noise_picture(0))])
    old = Capture(first, 5.0, lambda capture: None)
    old.start()
    assert first.inside.wait(LIMIT_S)
    old.stop()
    ended = threading.Event()
    new = Capture(second, 5.0, lambda capture: ended.set(), after=old)
    new.start()
    assert second.calls == []
    first.release.set()
    assert new.join(LIMIT_S)
    assert (first.calls[-1], second.calls[0], ended.is_set()) == ("close", "open", True)
