"""Whose turn it is: canaries first, not too many at once, none after a canary that failed, none after a Ctrl-C."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.flash import rollout as rollouts
from maskwatch.flash.fleet import Target
from maskwatch.flash.line import Stopper
from maskwatch.flash.result import Outcome, Result
from maskwatch.flash.rollout import Limits, Rollout

LIMIT_S = 20.0


class Doors:
    """Flashes nothing, and notes who was at it with whom. `bad` doors fail."""

    def __init__(self, bad: frozenset[str] = frozenset(), meet: int = 1) -> None:
        self.bad = bad
        self.meeting = threading.Barrier(meet)
        self.lock = threading.Lock()
        self.at_work: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.order: list[str] = []
        self.ended: list[Result] = []

    def flash(self, target: Target) -> Result:
        with self.lock:
            self.order.append(target.host)
            for group in (target.group, "all"):
                self.at_work[group] += 1
                self.most[group] = max(self.most[group], self.at_work[group])
        self.meeting.wait(LIMIT_S)
        with self.lock:
            self.at_work[target.group] -= 1
            self.at_work["all"] -= 1
        outcome = Outcome.ROLLED_BACK if target.host in self.bad else Outcome.CONFIRMED
        return Result(target.host, outcome)


def roll_out(
    doors: Doors, targets: list[Target], parallel: int = 4, groups: Mapping[str, int] | None = None
) -> list[Result]:
    rollout = Rollout(targets, doors.flash, Limits(parallel, groups or {}), doors.ended.append, Stopper())
    return rollout.run()


def targets_of(count: int, group: str = "a", canaries: int = 0) -> list[Target]:
    return [Target(f"{group}{number}", group, number < canaries) for number in range(count)]


def test_all_are_flashed_and_told_in_their_order() -> None:
    doors = Doors()
    targets = targets_of(20)
    results = roll_out(doors, targets)
    assert [result.host for result in results] == [target.host for target in targets]
    assert all(result.outcome is Outcome.CONFIRMED for result in results)
    assert sorted(result.host for result in doors.ended) == sorted(doors.order)


def test_so_many_are_at_work_at_once_and_no_more() -> None:
    doors = Doors(meet=4)  # each waits for three others: fewer would never end
    roll_out(doors, targets_of(16), parallel=4)
    assert doors.most["all"] == 4


def test_a_group_keeps_its_own_limit_while_others_go_on() -> None:
    doors = Doors(meet=1)
    targets = [*targets_of(10, "slow"), *targets_of(10, "quick")]
    roll_out(doors, targets, parallel=6, groups={"slow": 1})
    assert doors.most["slow"] == 1
    assert doors.most["all"] <= 6
    assert len(doors.order) == 20


def test_a_full_group_does_not_hold_up_the_others() -> None:
    doors = Doors(meet=3)  # one of the slow group and two of the other: the queue begins with the slow ones
    targets = [*targets_of(1, "slow"), *targets_of(2, "quick")]
    assert len(roll_out(doors, targets, parallel=3, groups={"slow": 1})) == 3
    doors = Doors(meet=2)
    roll_out(
        doors,
        [Target("s0", "slow"), Target("s1", "slow"), Target("q0", "quick"), Target("q1", "quick")],
        2,
        {"slow": 1},
    )
    assert doors.order[:2] in (["s0", "q0"], ["q0", "s0"])


def test_who_waits_for_a_turn_is_told_when_there_is_one_or_none_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first door takes until all others wait, and they look by themselves only when the test has failed."""
    monkeypatch.setattr(rollouts, "LOOK_S", 2 * LIMIT_S)
    all_there, ended = threading.Event(), threading.Event()
    stopper = Stopper()
    seen: set[int] = set()

    class Watched(threading.Event):
        def is_set(self) -> bool:
            seen.add(threading.get_ident())
            if len(seen) == 4:
                all_there.set()
            return super().is_set()

    stopper.event = Watched()

    def flash(target: Target) -> Result:
        assert all_there.wait(LIMIT_S)
        return Result(target.host, Outcome.CONFIRMED)

    def roll() -> None:
        Rollout(targets_of(40, "slow"), flash, Limits(4, {"slow": 1}), lambda result: None, stopper).run()
        ended.set()

    thread = threading.Thread(target=roll)
    thread.start()
    assert ended.wait(LIMIT_S)
    thread.join(LIMIT_S)


def test_canaries_of_all_groups_go_before_all_others() -> None:
    doors = Doors()
    targets = [*targets_of(5, "a", canaries=1), *targets_of(5, "b", canaries=2)]
    roll_out(doors, targets)
    assert set(doors.order[:3]) == {"a0", "b0", "b1"}
    assert len(doors.order) == 10


def test_a_canary_that_fails_stops_all_that_has_not_begun() -> None:
    doors = Doors(bad=frozenset({"b0"}))
    targets = [*targets_of(3, "a", canaries=1), *targets_of(3, "b", canaries=1)]
    results = roll_out(doors, targets)
    assert set(doors.order) == {"a0", "b0"}, "the other canary is seen to its end"
    outcomes = [result.outcome for result in results]
    waiting = [Outcome.NOT_BEGUN] * 2
    assert outcomes == [Outcome.CONFIRMED, *waiting, Outcome.ROLLED_BACK, *waiting]
    assert results[1].reason == "the roll-out stopped, as a canary failed: b0"
    assert sorted(result.host for result in doors.ended) == ["a0", "b0"]


def test_another_door_that_fails_stops_nobody() -> None:
    doors = Doors(bad=frozenset({"a1", "a2"}))
    results = roll_out(doors, targets_of(8, canaries=1))
    assert Counter(result.outcome for result in results) == {Outcome.CONFIRMED: 6, Outcome.ROLLED_BACK: 2}


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=12),
    st.integers(1, 5),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 3)),
)
def test_whatever_the_fleet_every_door_has_one_result(
    doors: list[tuple[str, bool, bool]], parallel: int, groups: dict[str, int]
) -> None:
    targets = [Target(str(number), group, canary) for number, (group, canary, _) in enumerate(doors)]
    bad = frozenset(str(number) for number, (_, _, fails) in enumerate(doors) if fails)
    staged = Doors(bad)
    results = roll_out(staged, targets, parallel, groups)
    assert [result.host for result in results] == [target.host for target in targets]
    assert len(staged.order) == len(set(staged.order))
    assert staged.most["all"] <= parallel
    assert all(staged.most[group] <= limit for group, limit in groups.items())
    stopped = any(target.canary and target.host in bad for target in targets)
    for target, result in zip(targets, results, strict=True):
        expected = Outcome.ROLLED_BACK if target.host in bad else Outcome.CONFIRMED
        assert result.outcome is (Outcome.NOT_BEGUN if stopped and not target.canary else expected)


def test_what_is_broken_off_begins_nothing_more() -> None:
    stopper = Stopper()

    def flash(target: Target) -> Result:
        stopper.stop()
        return Result(target.host, Outcome.INTERRUPTED, "broken off")

    rollout = Rollout(targets_of(5, canaries=1), flash, Limits(2, {}), lambda result: None, stopper)
    results = rollout.run()
    assert [result.outcome for result in results] == [Outcome.INTERRUPTED, *[Outcome.NOT_BEGUN] * 4]
    assert {result.reason for result in results} == {"broken off"}


def test_a_bug_is_not_swallowed() -> None:
    def flash(target: Target) -> Result:
        raise ZeroDivisionError(target.host)

    with pytest.raises(ZeroDivisionError):
        Rollout(targets_of(3), flash, Limits(2, {}), lambda result: None, Stopper()).run()
