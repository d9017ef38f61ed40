"""slots.md has the states and events of the code, and each thing that may go wrong has its test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from maskwatch.model_watch import LONGEST_RETRY_SECONDS, RETRY_SECONDS
from maskwatch.slots import folder as disk
from maskwatch.slots.states import EVENTS, HEALTHY_FRAMES, SLOT_STATES, TRANSITIONS, TRIES
from maskwatch.slots.store import SLOTS

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "slots.md").read_text(encoding="utf-8")

SEEN_IN = {
    "The disk is full": (
        "test_bad_disks.test_a_full_disk_is_noticed_before_anything_is_written",
        "test_bad_disks.test_a_disk_that_fills_up_meanwhile_costs_nothing_but_the_installation",
        "test_crash.test_a_disk_that_refuses_harms_nobody",
    ),
    "The disk is read-only": (
        "test_bad_disks.test_a_read_only_disk_still_runs_its_model",
        "test_bad_disks.test_a_trial_that_cannot_be_counted_is_not_run",
        "test_crash.test_a_disk_that_refuses_harms_nobody",
    ),
    "Two installations at once": ("test_store.test_of_two_installations_at_once_one_waits_and_gives_up",),
    "An installation during a trial": ("test_store.test_an_installation_during_a_trial_is_refused",),
    "A bundle made for a newer schema": ("test_store.test_a_bundle_made_for_a_newer_schema_is_refused_even_by_force",),
    "A bundle made for another runtime: its golden vectors are answered otherwise here": (
        "test_store.test_a_bundle_made_for_another_runtime_is_refused",
    ),
    "A network whose answers a door can make nothing of": (
        "test_store.test_networks_that_a_door_can_make_nothing_of_are_refused",
    ),
    "A lower version of the same model": ("test_store.test_a_lower_version_is_refused_unless_forced",),
    "A bundle that nobody trusted signed, where signatures are asked for": (
        "test_store.test_an_unsigned_bundle_is_refused_where_signatures_are_asked_for",
    ),
    "The disk gives back something else than was written": ("test_store.test_what_the_disk_gives_back_is_what_counts",),
    "The clock is in 1970": ("test_store.test_what_time_it_is_makes_no_difference",),
    "The power is lost during an installation": ("test_crash.test_no_power_cut_leaves_a_door_without_a_model",),
    "The power is lost during a trial, or the model crashes the daemon": (
        "test_store.test_a_trial_that_is_never_confirmed_ends_after_so_many_starts",
        "test_crash.test_no_power_cut_leaves_a_door_without_a_model",
    ),
    "The model hangs during its trial": ("test_flash_door.test_the_end_of_the_window_rolls_back",),
    "The camera is missing during a trial": (
        "test_store.test_a_trial_that_is_never_confirmed_ends_after_so_many_starts",
    ),
    "`state.json` is damaged or missing": (
        "test_bad_disks.test_without_a_sound_state_the_built_in_bundle_runs_and_it_is_said",
    ),
    "The active bundle is damaged": (
        "test_bad_disks.test_a_damaged_model_is_left_for_the_fallback",
        "test_bad_disks.test_where_both_are_damaged_the_built_in_bundle_runs",
    ),
    "The active bundle's signature is gone, or does not count any more: nobody trusts that key now, or it is revoked": (
        "test_signed_slots.test_what_nobody_trusted_has_signed_is_not_run",
        "test_signed_slots.test_a_door_that_begins_to_ask_leaves_what_is_not_signed",
        "test_model_faults.test_a_revoked_model_is_left_until_its_signature_counts_again",
    ),
    "Nobody can tell whether it is signed: ssh-keygen is missing or fails, or a list cannot be read": (
        "test_signed_slots.test_where_nobody_can_tell_it_is_not_run_but_kept",
    ),
    "The day of the key that signed the active bundle is over": ("test_signed_slots.test_no_day_takes_a_model_away",),
    "The active bundle does not load": (
        "test_daemon_slots.test_a_trial_that_does_not_load_is_rolled_back_at_once",
        "test_daemon_slots.test_a_confirmed_slot_whose_bundle_cannot_be_used_is_left_for_the_built_in",
        "test_running.test_a_trial_that_cannot_be_run_is_rolled_back",
        "test_bad_disks.test_a_trial_that_cannot_be_counted_is_not_run",
    ),
    "A confirmed model fails on a frame, or the runtime is missing or refuses it": (
        "test_daemon_swap.test_networks_that_fail_once_they_are_confirmed_are_left_by_this_process",
        "test_daemon_slots.test_a_confirmed_slot_that_this_process_cannot_load_is_passed_over",
        "test_model_faults.test_a_confirmed_model_that_the_runtime_refuses_is_passed_over_and_stays",
    ),
    "A fault that may pass: too many open files, no memory to load a model, a file that cannot be read now": (
        "test_model_faults.test_a_model_that_finds_no_memory_is_loaded_later",
        "test_model_faults.test_a_trial_that_finds_no_memory_spends_a_try_at_each_start_until_none_is_left",
        "test_model_faults.test_it_looks_again_after_ever_longer_pauses_until_it_is_sure",
        "test_model_faults.test_what_changes_has_it_look_again_soon",
        "test_model_faults.test_a_reload_has_it_look_again_at_once",
        "test_daemon_passing_faults.test_a_model_that_was_just_confirmed_goes_on",
        "test_daemon_passing_faults.test_a_trial_that_cannot_be_read_now_is_taken_up_later",
        "test_daemon_passing_faults.test_a_model_that_cannot_be_read_at_the_start_is_gone_over_to_later",
    ),
    "A start or a rollback that cannot be noted: the disk is read-only, somebody holds the lock": (
        "test_running.test_a_start_waits_for_a_lock_that_another_holds_and_is_noted_later",
        "test_running.test_a_rollback_that_cannot_be_noted_is_noted_later",
    ),
    "`confirm` or `rollback` when the trial is over": (
        "test_slots_verb.test_a_trial_that_is_over_is_not_confirmed",
        "test_slots_verb.test_a_confirmed_model_is_left_on_request_alone",
    ),
    "Somebody without the right": ("test_bad_disks.test_a_stranger_is_told_what_to_do",),
}
"""Where each row of "What may go wrong" is seen."""


def rows(heading: str, table: int = 0) -> list[list[str]]:
    """The cells of a table under a heading, without its head."""
    lines = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    tables = re.findall(r"(?:^\|.*\n)+", lines, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in tables[table].splitlines()[2:]]


def test_the_page_has_the_states_of_the_code() -> None:
    assert [row[0] for row in rows("States")] == list(SLOT_STATES)


def test_the_page_has_the_table_of_the_code() -> None:
    told = [(state, event, after) for states, event, after, _ in rows("Events") for state in states.split(", ")]
    assert len(told) == len(set(told))
    assert {(state, event): after for state, event, after in told} == TRANSITIONS


def test_the_page_has_the_events_that_move_the_pointers() -> None:
    moving = {event for row in rows("Events", 1) for event in row[0].split(", ")}
    assert moving == set(EVENTS) - {"verify", "refuse"}


def test_the_page_has_the_figures_of_the_code() -> None:
    assert {row[0]: row[3] for row in rows("Events", 1)}["activate"] == str(TRIES)
    assert set(re.findall(r"(\d+) (?:judged )?frames", PAGE)) == {"50"} == {str(HEALTHY_FRAMES)}
    assert f"after {RETRY_SECONDS:.0f} s, then after ever longer pauses, {LONGEST_RETRY_SECONDS / 60:.0f} min" in PAGE
    assert f"the second waits {disk.LOCK_WAIT_S:.0f} s" in PAGE
    assert f"In `{SLOTS}`" in PAGE
    assert f"files `0{disk.FILE_MODE:o}`" in PAGE


def test_all_that_may_go_wrong_has_a_test() -> None:
    assert [row[0] for row in rows("What may go wrong")] == list(SEEN_IN)


@pytest.mark.parametrize("name", sorted({name for names in SEEN_IN.values() for name in names}))
def test_the_tests_are_there(name: str) -> None:
    module, _, function = name.partition(".")
    (path,) = TESTS.rglob(f"{module}.py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
