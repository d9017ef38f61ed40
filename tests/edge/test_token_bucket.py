from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from maskwatch.token_bucket import TokenBucket


def test_some_at_once_then_one_each_so_many_seconds() -> None:
    bucket = TokenBucket(3, 8.0)
    assert [second for second in range(40) if bucket.allows(float(second))] == [0, 1, 2, 8, 16, 24, 32]


def test_silence_earns_no_more_than_what_may_be_said_at_once() -> None:
    bucket = TokenBucket(3, 10.0)
    assert [bucket.allows(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.allows(1000.0) for _ in range(4)] == [True, True, True, False]


def test_time_that_jumps_back_earns_nothing() -> None:
    bucket = TokenBucket(1, 10.0)
    assert [bucket.allows(now_s) for now_s in (100.0, 5.0, 8.0, 5.0, 8.0, 5.0, 14.0)] == [True] + [False] * 5 + [True]


@given(st.integers(1, 9), st.floats(0.5, 100.0), st.lists(st.floats(0.0, 50.0), max_size=80))
def test_never_more_than_the_bucket_and_what_has_flown_in(at_once: int, each_s: float, steps_s: list[float]) -> None:
    bucket = TokenBucket(at_once, each_s)
    now_s, said = 0.0, 0
    for step_s in steps_s:
        now_s += step_s
        said += bucket.allows(now_s)
    assert said <= at_once + now_s / each_s + 1e-6
