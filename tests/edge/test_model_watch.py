"""The watch over the door's model, whatever comes in whatever order: always a model, and in the end the right one."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from maskwatch import model_watch
from maskwatch.config import ModelSettings
from maskwatch.door import Model
from maskwatch.model_watch import ModelWatch
from maskwatch.observer import RunningModel
from maskwatch.slots import states
from maskwatch.slots.running import Onlooker, Runner
from quick_slots import BUILT_IN, Eyes, QuickSlots, load
from slots_stage import Shelf
from status_stage import LIMIT_S, Clock
from watched_door import LONG, SETTINGS, Watched


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Watched]:
    door = Watched(tmp_path)
    with door.slots.in_use():
        door.watch.open(SETTINGS)
        yield door


def test_what_was_loaded_before_a_trial_failed_is_not_taken_after_it(door: Watched) -> None:
    one = door.on_trial()
    door.step()
    door.slots.confirm()
    door.begin()  # finds the failing one confirmed
    assert door.watch.give_up(SETTINGS, RuntimeError("gather")) is not None
    assert door.watch.take() is None
    assert door.runs == BUILT_IN
    door.step(LONG)
    assert [model.sha256 for model in door.told] == [BUILT_IN, one, BUILT_IN]


def test_a_trial_that_takes_the_place_of_a_healthy_one_has_to_be_healthy_itself(door: Watched) -> None:
    one = door.on_trial()
    door.step()
    door.judge(states.HEALTHY_FRAMES)
    two = door.on_trial()
    door.step(LONG)
    assert [(model.sha256, model.trial) for model in door.told[1:]] == [(one, "trying"), (two, "trying")]
    assert door.slots.healthy == []


def test_frames_of_one_trial_do_not_count_for_the_next(door: Watched) -> None:
    for _ in range(2):
        sha256 = door.on_trial()
        door.step()
        door.judge(states.HEALTHY_FRAMES - 1)
        door.step(LONG)
    assert door.slots.healthy == []
    door.judge(1)
    door.step()
    assert door.slots.healthy == [sha256]
    assert door.told[-1] == RunningModel(sha256, sha256, "a", "confirmed")


# A run that counts for nothing


def test_an_onlooker_tries_what_the_slots_choose_and_writes_nothing(tmp_path: Path) -> None:
    door = Watched(tmp_path, Onlooker)
    with door.slots.in_use():
        sha256 = door.slots.bring()
        before = door.slots.slots.state_path.stat().st_mtime_ns
        door.watch.open(SETTINGS)
        door.judge(2 * states.HEALTHY_FRAMES)
        door.step(2 * LONG)
        assert door.told == [RunningModel(sha256, sha256, "a", "trying")]
        assert door.watch.give_up(SETTINGS, RuntimeError("gather")) is not None
        door.step(2 * LONG)
        assert door.runs == BUILT_IN
        assert door.whys[-1] == f"slot a is passed over: RuntimeError: gather; the door runs {BUILT_IN}"
        assert door.slots.slots.state_path.stat().st_mtime_ns == before


# What it loads


def test_a_file_that_changes_between_a_look_and_its_loading_is_not_run(tmp_path: Path) -> None:
    slots = QuickSlots(tmp_path)
    slots.bring()

    def other(settings: ModelSettings, loaded: Model | None) -> Model:
        return Model(Eyes(), ("2" * 64 if settings.bundle else BUILT_IN, settings.threads), "tiny")

    told: list[tuple[RunningModel, str]] = []
    watch = ModelWatch(other, slots.runner(), lambda: None, lambda model, why: told.append((model, why)), Clock())
    assert watch.open(SETTINGS).identity[0] == BUILT_IN
    assert "changed since it was installed" in told[0][1]
    assert slots.read().a.state == "failed"


# What it keeps


def test_the_model_before_is_kept_in_memory_for_as_long_as_the_trial_lasts(tmp_path: Path) -> None:
    door = Watched(tmp_path)
    eyes: list[weakref.ref[Eyes]] = []

    def weak(settings: ModelSettings, loaded: Model | None) -> Model:
        model = load(settings, loaded)
        eyes.append(weakref.ref(model.eyes))  # type: ignore[arg-type]
        return model

    with door.slots.in_use():
        door.watch = ModelWatch(weak, door.runner, lambda: None, lambda model, why: None, door.clock)
        door.watch.open(SETTINGS)
        sha256 = door.on_trial()
        door.step()
        gc.collect()
        assert [ref() is None for ref in eyes] == [False, False]
        door.judge(states.HEALTHY_FRAMES)
        door.step()
        gc.collect()
        assert door.slots.healthy == [sha256]
        assert [ref() is None for ref in eyes] == [True, False]


# How often it looks


def test_it_looks_once_a_second_however_many_frames_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(tmp_path)
    shelf.confirm("2.0.0")
    clock = Clock()
    stats = []
    stat = Path.stat

    def counted(path: Path, **more: bool) -> os.stat_result:
        if path == shelf.slots.state_path:
            stats.append(clock.now_s)
        return stat(path, **more)

    watch = ModelWatch(
        lambda settings, loaded: Model(Eyes(), (shelf.slots.read().a.sha256, 2), "tiny"),
        Runner(shelf.slots),
        lambda: None,
        lambda model, why: None,
        clock,
    )
    watch.open(SETTINGS)
    monkeypatch.setattr(Path, "stat", counted)
    opened = []
    monkeypatch.setattr(model_watch, "bring", lambda *words, **more: opened.append(words))
    for _ in range(600):
        clock.now_s += 0.05
        watch.look(SETTINGS)
    assert 29 <= len(stats) <= 31
    assert opened == [], "nothing is read while nothing has changed"


def test_settings_that_name_a_bundle_have_it_look_at_nothing(tmp_path: Path) -> None:
    slots = QuickSlots(tmp_path)
    named = replace(SETTINGS, bundle="named.maskwatch")
    told: list[str] = []
    watch = ModelWatch(
        lambda settings, loaded: Model(Eyes(), (settings.bundle, settings.threads), settings.bundle),
        slots.runner(),
        lambda: told.append("announced"),
        lambda model, why: told.append(str(model)),
        Clock(),
    )
    watch.open(named)
    slots.bring()
    for _ in range(5):
        watch.look(named)
        watch.close(LIMIT_S)
        assert watch.take() is None
    assert told == ["named.maskwatch"]
