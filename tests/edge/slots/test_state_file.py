"""state.json: what is written is read again, and whatever else lies there is found out."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from maskwatch.slots.state_file import MAX_STATE_BYTES, StateFileError, read_state, to_json
from maskwatch.slots.states import MAX_REASON, LastEvent, Slot, State, activate, one_line, roll_back, stage, verify

SHA = "0123456789abcdef" * 4
VERIFIED = verify(stage(State(), Slot(sha256=SHA, name="tiny", version="1.2.3", signer="ops@example.org")))
STATES = [State(), VERIFIED, activate(VERIFIED), roll_back(activate(VERIFIED), "ünïcode \N{GRINNING FACE}")]
per_example = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("state", STATES)
def test_what_is_written_is_read_again(state: State, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(to_json(state))
    assert read_state(path) == state


@given(st.text(max_size=400), st.text(max_size=400))
@per_example
def test_whatever_the_reason_it_is_read_again(tmp_path: Path, reason: str, signer: str) -> None:
    path = tmp_path / "state.json"
    staged = stage(State(), dataclasses.replace(VERIFIED.a, signer=one_line(signer)))
    state = roll_back(activate(verify(staged)), reason)
    path.write_bytes(to_json(state))
    assert read_state(path) == state


def test_no_file_means_that_nothing_was_installed(tmp_path: Path) -> None:
    assert read_state(tmp_path / "state.json") == State()


@given(st.integers(0, len(to_json(STATES[3])) - 3))
@per_example
def test_a_torn_file_is_found_out(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "state.json"
    whole = to_json(STATES[3])
    for torn in (whole[:kept], whole[:kept] + bytes(len(whole) - kept)):
        path.write_bytes(torn)
        with pytest.raises(StateFileError, match=r"state.json is damaged"):
            read_state(path)


@given(st.binary(max_size=400))
@per_example
def test_noise_is_found_out(tmp_path: Path, noise: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(noise)
    with pytest.raises(StateFileError, match=r"state.json is damaged"):
        read_state(path)


def edited(**changes: object) -> bytes:
    return json.dumps(json.loads(to_json(STATES[2])) | changes).encode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[]", r"\[\], must be an object"),
        (edited(active="c"), "active: 'c', must be one of a, b"),
        (edited(active="b"), "the active slot b is empty"),
        (edited(more=1), "more: unknown key"),
        (edited(tries_left=4), "tries_left: 4, must be"),
        (edited(tries_left=True), "tries_left: True, must be a whole number"),
        (edited(a={"state": "odd"}), "a.state: 'odd', must be one of empty"),
        (edited(a={"state": "trying", "sha256": SHA, "name": "tiny", "version": "1.2"}), "a.version: '1.2' is not"),
        (edited(a={"state": "trying", "sha256": "0", "name": "tiny", "version": "1.2.3"}), "a.sha256: '0' is not"),
        (edited(last_event={"event": "verify", "slot": "a", "reason": "a\nb"}), "last_event.reason: 'a.*one line"),
        (edited(last_event={"event": "verify", "slot": "a", "reason": "x" * (MAX_REASON + 1)}), "last_event.reason:"),
        (edited(schema_version=2), "written in schema 2; this Maskwatch reads 1"),
        (b'{"active": null, "active": null}', "'active': given twice"),
        (b"[" * 5000, "nested too deeply|not JSON"),
        (b" " * (MAX_STATE_BYTES + 1), "more than 65536 bytes"),
    ],
)
def test_the_message_says_what_is_wrong(tmp_path: Path, text: bytes, words: str) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(text)
    with pytest.raises(StateFileError, match=words):
        read_state(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state.json")
    with pytest.raises(StateFileError, match="is no file"):
        read_state(tmp_path / "state.json")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(to_json(VERIFIED))
    (tmp_path / "state.json").symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        read_state(tmp_path / "state.json")


def test_a_last_event_of_each_kind_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state = dataclasses.replace(VERIFIED, last_event=LastEvent("spent", "b", "x" * MAX_REASON))
    path.write_bytes(to_json(state))
    assert read_state(path) == state
