"""When a trial is over, by what is seen of it from afar."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from maskwatch.flash.answers import Daemon, DoorState
from maskwatch.flash.trial import MOST, Trial

SHA256 = "1" * 64
WANTED = 50
WINDOW_S = 180.0


def state(frames: int | None, sha256: str | None = SHA256, wanted: int = WANTED) -> DoorState:
    return DoorState(SHA256, "m 1", True, (), True, Daemon(sha256, None, frames), "", True, wanted)


def test_frames_are_counted_over_a_new_start_of_the_daemon() -> None:
    trial = Trial(SHA256, WINDOW_S, 0.0)
    for frames in (100, 103, 103, 2, 4):
        assert trial.look(state(frames), 1.0) == ""
    assert trial.judged == 3 + 2 + 2


def test_a_door_that_does_not_tell_its_frames_has_one_window() -> None:
    for told in (state(None), state(None, None)):
        trial = Trial(SHA256, WINDOW_S, 0.0)
        assert trial.look(told, WINDOW_S - 1) == ""
        assert trial.look(told, WINDOW_S) == "not confirmed within 180 s"


def test_one_that_does_not_say_how_many_it_wants_has_one_window() -> None:
    trial = Trial(SHA256, WINDOW_S, 0.0)
    for now_s in range(int(WINDOW_S)):
        assert trial.look(state(now_s, wanted=0), float(now_s)) == ""
    assert trial.look(state(180, wanted=0), WINDOW_S)


@example([(1.0, 1), (179.0, 0)])
@given(st.lists(st.tuples(st.floats(0.1, 179.0), st.integers(0, 200)), min_size=1, max_size=400))
def test_it_is_over_after_a_window_without_a_frame_and_never_before(looks: list[tuple[float, int]]) -> None:
    trial = Trial(SHA256, WINDOW_S, 0.0)
    now_s = alive_s = 0.0
    last: int | None = None
    judged = 0
    for pause_s, frames in looks:
        now_s += pause_s
        if last is not None:
            new = frames - last if frames >= last else frames  # a new start alone is no sign of life
            if new and judged < MOST * WANTED:
                alive_s = now_s
            judged += new
        last = frames
        assert bool(trial.look(state(frames), now_s)) is (now_s - alive_s >= WINDOW_S)
        assert trial.judged == judged
