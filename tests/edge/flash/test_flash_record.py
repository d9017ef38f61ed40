"""The file from which a roll-out goes on."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from line_stage import parcel_of
from maskwatch.errors import OperatorError, TryAgainError
from maskwatch.flash.parcel import Parcel
from maskwatch.flash.record import alone, open_record, record_path
from maskwatch.flash.result import Outcome, Result

PARCEL = parcel_of(b"bundle")
HOSTS = ["door-1", "door-2", *Outcome]


def test_what_was_done_is_left_out_and_the_rest_is_not(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "fleet.flashed.json"
    record = open_record(path, PARCEL, HOSTS, resume=False)
    for outcome in Outcome:
        record.note(Result(outcome.value, outcome, "why"))
    again = open_record(path, PARCEL, HOSTS, resume=True)
    assert {outcome for outcome in Outcome if again.is_done(outcome.value)} == {Outcome.CONFIRMED, Outcome.ALREADY}
    assert not again.is_done("another")
    assert not open_record(path, PARCEL, HOSTS, resume=False).is_done("confirmed")


def test_a_door_that_failed_later_is_not_done(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    record = open_record(path, PARCEL, HOSTS, resume=False)
    record.note(Result("door-1", Outcome.CONFIRMED))
    record.note(Result("door-1", Outcome.ROLLED_BACK))
    assert not open_record(path, PARCEL, HOSTS, resume=True).is_done("door-1")


def test_without_a_record_all_begins_anew(tmp_path: Path) -> None:
    assert not open_record(tmp_path / "none.json", PARCEL, HOSTS, resume=True).is_done("door-1")


def test_a_record_of_another_bundle_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "fleet.flashed.json"
    open_record(path, PARCEL, HOSTS, resume=False).note(Result("door-1", Outcome.CONFIRMED))
    other = Parcel(b"other", b"", "f" * 64, "other 2")
    with pytest.raises(
        OperatorError, match=r"fleet.flashed.json: is of another bundle, tiny 1.2.3; leave out --resume"
    ):
        open_record(path, other, HOSTS, resume=True)


def test_a_flash_of_one_group_leaves_what_is_known_of_the_others(tmp_path: Path) -> None:
    """Group b was flashed, and then --resume began anew with all doors of group a."""
    path = tmp_path / "fleet.flashed.json"
    open_record(path, PARCEL, ["a-1"], resume=False).note(Result("a-1", Outcome.CONFIRMED))
    of_b = open_record(path, PARCEL, ["b-1", "b-2"], resume=False)
    of_b.note(Result("b-1", Outcome.CONFIRMED))
    of_b.note(Result("b-2", Outcome.UNREACHABLE))
    everybody = open_record(path, PARCEL, ["a-1", "b-1", "b-2"], resume=True)
    assert [everybody.is_done(host) for host in ("a-1", "b-1", "b-2")] == [True, True, False]
    again = open_record(path, PARCEL, ["a-1"], resume=False)
    assert not again.is_done("a-1"), "without --resume each door that is named is looked at"
    other = parcel_of(b"another bundle")
    open_record(path, other, ["b-1"], resume=False).note(Result("b-1", Outcome.CONFIRMED))
    assert not open_record(path, other, ["a-1"], resume=True).is_done("a-1")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300)
    | st.builds(
        lambda value: json.dumps(value).encode(),
        st.dictionaries(
            st.sampled_from(["sha256", "model", "hosts", "schema_version"]),
            st.text(max_size=3) | st.integers() | st.none(),
        ),
    )
)
def test_a_damaged_record_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fleet.flashed.json"
    path.write_bytes(content)
    with pytest.raises(OperatorError, match=r"leave out --resume, then all doors are looked at") as error:
        open_record(path, PARCEL, HOSTS, resume=True)
    assert "\n" not in str(error.value)
    assert not open_record(path, PARCEL, HOSTS, resume=False).is_done("door-1")


def test_a_record_that_cannot_be_written_is_said_once_and_all_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    record = open_record(tmp_path / "file" / "a.json", PARCEL, HOSTS, resume=False)
    record.note(Result("door-1", Outcome.CONFIRMED))
    record.note(Result("door-2", Outcome.CONFIRMED))
    (line,) = [entry.getMessage() for entry in caplog.records]
    assert "so --resume will not know" in line
    assert record.is_done("door-2")


def test_it_lies_beside_the_fleet_or_in_the_users_own_folder(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.toml"
    assert record_path(fleet, [], PARCEL, {}) == tmp_path / "fleet.flashed.json"
    state = {"XDG_STATE_HOME": "/state", "HOME": "/home/me"}
    path = record_path(None, ["b", "a"], PARCEL, state)
    assert path.parent == Path("/state/maskwatch")
    assert path == record_path(None, ["a", "b"], PARCEL, state)
    assert path.name != record_path(None, ["a"], PARCEL, state).name
    home = record_path(None, ["a"], PARCEL, {"HOME": "/home/me", "XDG_STATE_HOME": "relative"})
    assert home.parent == Path("/home/me/.local/state/maskwatch")


def _hold(fleet: Path, held: multiprocessing.synchronize.Event, done: multiprocessing.synchronize.Event) -> None:
    with alone(fleet):
        held.set()
        done.wait(30)


def test_two_roll_outs_of_one_fleet_do_not_go_on_at_once(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.toml"
    fleet.touch()
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(fleet, held, done))
    process.start()
    try:
        assert held.wait(30)
        with pytest.raises(TryAgainError, match=r"another flash of .* is going on"), alone(fleet):
            pass
    finally:
        done.set()
        process.join(30)
    with alone(fleet), alone(None):
        assert os.path.exists(fleet)


@pytest.mark.parametrize("code", [errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_fleet_that_cannot_be_locked_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """On NFS it was an internal error."""

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OperatorError) as error, alone(_fleet(tmp_path)):
        pass
    assert str(error.value) == (
        f"{tmp_path}/fleet.toml: cannot be locked: {os.strerror(code)}; put it on a disk of this machine"
    )


def _fleet(folder: Path) -> Path:
    fleet = folder / "fleet.toml"
    fleet.touch()
    return fleet
