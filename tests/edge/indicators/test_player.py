import threading
from collections.abc import Callable

import pytest
from maskwatch.errors import IndicatorError
from maskwatch.indicators.base import OFF, Levels
from maskwatch.indicators.patterns import DOUBLE_BLINKS, FAST_BLINK, FAST_BLINK_AND_BEEPS, HEARTBEAT, Pattern
from maskwatch.indicators.player import Player
from maskwatch.indicators.record import RecordOutputs
from maskwatch.types import Situation, Verdict

PATIENCE_S = 10.0


def verdict(situation: Situation, alarm: bool = False) -> Verdict:
    return Verdict(situation, alarm, (), 0.0)


class Script:
    """A clock that moves only while the player waits, and what happens at which time; then `done` is set."""

    def __init__(self, end_s: float) -> None:
        self.now_s = 0.0
        self.done = threading.Event()
        self.events: list[tuple[float, Callable[[], None]]] = [(end_s, self.done.set)]

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        self.events.append((time_s, action))
        self.events.sort(key=lambda event: event[0])

    def clock(self) -> float:
        return self.now_s

    def wait(self, wake: threading.Event, timeout_s: float | None) -> bool:
        if not self.events:
            return wake.wait(PATIENCE_S)
        time_s, action = self.events[0]
        if timeout_s is not None and self.now_s + timeout_s < time_s:
            self.now_s += timeout_s
            return False
        self.now_s = time_s
        self.events.pop(0)
        action()
        return True


def played(actions: list[tuple[float, Verdict]], end_s: float, **options: float) -> list[tuple[float, Levels]]:
    """Every change that the outputs went through, with times in milliseconds, the last being the switching off."""
    script = Script(end_s)
    outputs = RecordOutputs(script.clock)
    player = Player(outputs, clock=script.clock, wait=script.wait, **options)
    for time_s, shown in actions:
        script.at(time_s, lambda shown=shown: player.show(shown))
    with player:
        assert script.done.wait(PATIENCE_S)
    return [(round(time_s, 3), levels) for time_s, levels in outputs.history]


def expected(pattern: Pattern, begin_s: float, end_s: float) -> list[tuple[float, Levels]]:
    changes, now_s = [], begin_s
    while True:
        for step in pattern:
            if round(now_s, 3) >= end_s:
                return changes
            changes.append((round(now_s, 3), step.levels))
            now_s += step.duration_seconds


def test_nothing_shows_before_the_first_verdict():
    assert played([], end_s=5.0) == [(5.0, OFF)]


@pytest.mark.parametrize(
    ("shown", "pattern"),
    [
        (verdict(Situation.NOBODY), HEARTBEAT),
        (verdict(Situation.UNMASKED), FAST_BLINK),
        (verdict(Situation.UNMASKED, alarm=True), FAST_BLINK_AND_BEEPS),
        (verdict(Situation.NO_CAMERA), DOUBLE_BLINKS),
    ],
)
def test_a_pattern_plays_step_by_step_and_ends_dark(shown, pattern):
    assert played([(1.0, shown)], end_s=9.05) == [*expected(pattern, 1.0, 9.05), (9.05, OFF)]


def test_a_steady_light_is_set_once():
    changes = played([(0.0, verdict(Situation.ALL_MASKED))], end_s=300.0)
    assert [(time_s, levels.green) for time_s, levels in changes] == [(0.0, True), (300.0, False)]


def test_a_new_verdict_cuts_in_at_once():
    actions = [(0.0, verdict(Situation.NOBODY)), (1.5, verdict(Situation.UNMASKED))]
    assert played(actions, end_s=2.05) == [
        *expected(HEARTBEAT, 0.0, 1.5),
        *expected(FAST_BLINK, 1.5, 2.05),
        (2.05, OFF),
    ]


def test_the_same_verdict_again_does_not_disturb_the_rhythm():
    actions = [(time / 10, verdict(Situation.UNMASKED)) for time in range(30)]
    assert played(actions, end_s=3.05) == [*expected(FAST_BLINK, 0.0, 3.05), (3.05, OFF)]


def test_the_buzzer_falls_silent_at_the_limit_while_verdicts_go_on_and_the_light_blinks_on():
    """Frames whose timestamps stand still would let the alert sound for ever."""
    actions = [(time / 10, verdict(Situation.UNMASKED, alarm=True)) for time in range(200)]
    changes = played(actions, end_s=20.0, alarm_limit_seconds=5.9)
    assert max(time_s for time_s, levels in changes if levels.buzzer) < 5.9
    assert any(levels.buzzer for time_s, levels in changes if time_s > 4.0)
    assert sum(levels.red for time_s, levels in changes if time_s > 6.0) > 30


def test_closing_twice_switches_off_once():
    outputs = RecordOutputs()
    player = Player(outputs)
    player.start()
    player.close()
    player.close()
    assert [levels for _, levels in outputs.history] == [OFF]


def test_closing_without_a_start_switches_off():
    outputs = RecordOutputs()
    Player(outputs).close()
    assert outputs.closed


def test_an_error_in_the_body_switches_off():
    outputs = RecordOutputs()

    def fail_while_it_beeps() -> None:
        with Player(outputs) as player:
            player.show(verdict(Situation.UNMASKED, alarm=True))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_while_it_beeps()
    assert outputs.closed
    assert outputs.history[-1][1] == OFF


def test_with_the_real_clock_a_verdict_is_shown_and_closing_does_not_wait_for_its_step():
    shown = threading.Event()

    class Outputs(RecordOutputs):
        def set(self, levels: Levels) -> None:
            super().set(levels)
            shown.set()

    outputs = Outputs()
    with Player(outputs, join_seconds=PATIENCE_S) as player:
        player.show(verdict(Situation.ALL_MASKED))  # one step of 60 s
        assert shown.wait(PATIENCE_S)
    assert [(levels.green, levels.red) for _, levels in outputs.history] == [(True, False), (False, False)]


class BrokenOutputs(RecordOutputs):
    """Lights whose wire breaks at the first change."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.off = threading.Event()

    def set(self, levels: Levels) -> None:
        raise self.error

    def close(self) -> None:
        super().close()
        self.off.set()


def test_outputs_that_fail_are_switched_off_and_the_caller_is_told(caplog):
    outputs = BrokenOutputs(IndicatorError("the wire is broken"))
    player = Player(outputs)
    player.start()
    player.show(verdict(Situation.ALL_MASKED))
    assert outputs.off.wait(PATIENCE_S)
    with pytest.raises(IndicatorError, match="the wire is broken"):
        player.close()
    with pytest.raises(IndicatorError, match="the wire is broken"):
        player.show(verdict(Situation.ALL_MASKED))
    assert "the wire is broken" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_outputs_switches_off_and_is_not_silent():
    outputs = BrokenOutputs(KeyError("a bug"))
    player = Player(outputs)
    player.start()
    player.show(verdict(Situation.ALL_MASKED))
    assert outputs.off.wait(PATIENCE_S)
    player.close()
    with pytest.raises(RuntimeError, match="has ended"):
        player.show(verdict(Situation.ALL_MASKED))


def test_outputs_that_hang_are_an_error_after_a_bounded_wait():
    stuck, release = threading.Event(), threading.Event()

    class Outputs(RecordOutputs):
        def set(self, levels: Levels) -> None:
            stuck.set()
            release.wait(PATIENCE_S)

    outputs = Outputs()
    player = Player(outputs, join_seconds=0.05)
    player.start()
    player.show(verdict(Situation.ALL_MASKED))
    assert stuck.wait(PATIENCE_S)
    with pytest.raises(IndicatorError, match="did not end within"):
        player.close()
    assert outputs.closed
    release.set()


def test_a_thread_that_was_held_up_sets_nothing_after_the_lights_went_off():
    """On a busy machine the thread once wrote a lit line after `close` had written the dark one."""
    reached, go_on = threading.Event(), threading.Event()

    def clock() -> float:
        if threading.current_thread().name == "indicator":
            reached.set()
            assert go_on.wait(PATIENCE_S)
        return 0.0

    outputs = RecordOutputs(lambda: 0.0)
    player = Player(outputs, clock=clock, join_seconds=0.01)
    player.start()
    player.show(verdict(Situation.ALL_MASKED))
    assert reached.wait(PATIENCE_S)
    with pytest.raises(IndicatorError, match="did not end"):
        player.close()
    go_on.set()
    player.close()
    assert [levels for _, levels in outputs.history] == [OFF]
