from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from maskwatch import cli
from maskwatch.errors import ExitCode, OperatorError, SignatureError
from maskwatch.slots.store import Slots
from maskwatch.verbs import slots as verb
from nobody import NOBODY
from tiny_models import tiny_bundle

Command = Callable[..., ExitCode]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def call(tmp_path: Path) -> Command:
    def run(action: str, *words: str | Path) -> ExitCode:
        parser = argparse.ArgumentParser()
        verb.add_arguments(parser)
        places = ["--slots", str(tmp_path / "slots"), "--trust", str(tmp_path)]
        return verb.run(parser.parse_args([action, *places, *map(str, words)]))

    return run


def bundle(folder: Path, version: str) -> Path:
    return tiny_bundle(folder, version=version)


def lines(capsys: Captured) -> dict[str, str]:
    """What is printed, by how each line begins."""
    return {line[:9].strip(): line[10:] for line in capsys.readouterr().out.splitlines()}


def test_a_door_that_has_only_the_built_in_bundle(call: Command, capsys: Captured, tmp_path: Path) -> None:
    assert call("list") is ExitCode.DONE
    assert lines(capsys) == {"runs": "the built-in bundle", "slot a": "empty", "slot b": "empty"}
    assert not (tmp_path / "slots").exists()


def test_a_model_comes_in_by_hand(call: Command, capsys: Captured, tmp_path: Path) -> None:
    path = bundle(tmp_path, "1.0.0")
    sha256 = f"SHA-256 {sha256_of(path)}…"
    assert call("install", path) is ExitCode.DONE
    assert lines(capsys) == {
        "runs": "the built-in bundle",
        "slot a": f"verified   tiny 1.0.0, {sha256}",
        "slot b": "empty",
        "last": "verify, slot a",
    }
    assert call("activate") is ExitCode.DONE
    assert lines(capsys) == {
        "runs": "slot a: tiny 1.0.0",
        "slot a": f"trying     tiny 1.0.0, {sha256}",
        "slot b": "empty",
        "fallback": "the built-in bundle",
        "trial": "50 judged frames confirm it, 3 more starts without them roll it back",
        "last": "activate, slot a",
    }
    assert call("confirm") is ExitCode.DONE
    assert lines(capsys)["slot a"] == f"confirmed  tiny 1.0.0, {sha256}"


def sha256_of(path: Path) -> str:
    from maskwatch.bundle import open_bundle

    return open_bundle(path).sha256[:12]


def test_a_trial_is_rolled_back_by_hand_with_a_reason(call: Command, capsys: Captured, tmp_path: Path) -> None:
    call("install", bundle(tmp_path, "1.0.0"))
    call("activate")
    capsys.readouterr()
    assert call("rollback", "--reason", "it calls\nbeards masks") is ExitCode.DONE
    found = lines(capsys)
    assert found["runs"] == "the built-in bundle"
    assert found["slot a"].endswith("…: it calls beards masks")
    assert found["last"] == "roll_back, slot a: it calls beards masks"


def test_a_confirmed_model_is_left_on_request_alone(call: Command, capsys: Captured, tmp_path: Path) -> None:
    for action in ("install", "activate", "confirm"):
        call(action, *([bundle(tmp_path, "1.0.0")] if action == "install" else []))
    capsys.readouterr()
    with pytest.raises(OperatorError, match="slot a is confirmed, not on trial: rollback --confirmed leaves it"):
        call("rollback")
    assert call("list") is ExitCode.DONE
    assert lines(capsys)["runs"] == "slot a: tiny 1.0.0"
    assert call("rollback", "--confirmed") is ExitCode.DONE
    found = lines(capsys)
    assert (found["runs"], found["last"]) == ("the built-in bundle", "roll_back, slot a: by hand")


def test_a_trial_that_is_over_is_not_confirmed(call: Command, capsys: Captured, tmp_path: Path) -> None:
    for version in ("1.0.0", "2.0.0"):
        call("install", bundle(tmp_path, version))
        capsys.readouterr()
        call("activate")
        if version == "1.0.0":
            call("confirm")
            assert call("confirm") is ExitCode.DONE, "once more does no harm"
            assert capsys.readouterr().err == "nothing was to do\n"
    call("rollback", "--reason", "it calls beards masks")
    with pytest.raises(OperatorError, match=r"^nothing is on trial: slot b failed: it calls beards masks$"):
        call("confirm")


def test_json_tells_all_of_it(call: Command, capsys: Captured, tmp_path: Path) -> None:
    call("install", bundle(tmp_path, "1.0.0"))
    call("activate", "--json")
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer == json.loads((tmp_path / "slots/state.json").read_text()) | {"runs": "a", "faults": []}
    assert (answer["active"], answer["fallback"], answer["tries_left"], answer["healthy_frames"]) == ("a", None, 3, 50)
    assert (answer["a"]["state"], answer["a"]["name"], answer["a"]["version"]) == ("trying", "tiny", "1.0.0")
    assert answer["b"]["state"] == "empty"
    assert answer["last_event"] == {"event": "activate", "slot": "a", "reason": ""}


def test_a_fault_is_said_beside_the_answer(call: Command, capsys: Captured, tmp_path: Path) -> None:
    for action in ("install", "activate", "confirm"):
        call(action, *([bundle(tmp_path, "1.0.0")] if action == "install" else []))
    path = tmp_path / "slots/a/bundle.maskwatch"
    path.write_bytes(b"?")
    capsys.readouterr()
    assert call("list") is ExitCode.FINDING
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "runs      the built-in bundle"
    assert err == f"maskwatch: {path} is damaged: its SHA-256 is not the one that was installed\n"
    call("list", "--json")
    assert json.loads(capsys.readouterr().out)["faults"] == [err.removeprefix("maskwatch: ").rstrip()]


def test_a_lower_version_needs_force(call: Command, tmp_path: Path) -> None:
    for action in ("install", "activate", "confirm"):
        call(action, *([bundle(tmp_path, "1.0.0")] if action == "install" else []))
    older = bundle(tmp_path, "0.9.0")
    with pytest.raises(OperatorError, match=r"tiny-0.9.0.maskwatch: tiny 0.9.0 is older than 1.0.0.*--force"):
        call("install", older)
    assert call("install", older, "--force") is ExitCode.DONE


def test_the_signature_beside_the_file_counts(call: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bundle(tmp_path, "1.0.0")
    (tmp_path / "allowed_signers").touch()
    with pytest.raises(SignatureError, match=r"tiny-1.0.0.maskwatch: not signed, and"):
        call("install", path)
    path.with_name(f"{path.name}.sig").write_bytes(b"no signature")
    with pytest.raises(SignatureError, match=r"tiny-1.0.0.maskwatch: its signature is none of OpenSSH's"):
        call("install", path)
    monkeypatch.setattr("maskwatch.slots.admission.check_signature", lambda data, given, trust: given.decode())
    call("install", path)
    assert Slots(tmp_path / "slots", NOBODY).read().a.signer == "no signature"


def test_what_may_not_be_read_is_not_taken_for_empty(
    call: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`list` of a person who may not look would have said that the built-in bundle runs."""
    call("install", bundle(tmp_path, "1.0.0"))

    def stat(path: Path, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(OperatorError, match="slots: not permitted: run it with sudo"):
        call("list")


def test_progress_is_for_those_who_ask(tmp_path: Path, capsys: Captured) -> None:
    path = bundle(tmp_path, "1.0.0")
    words = ["slots", "install", str(path), "--slots", str(tmp_path / "slots")]
    assert cli.main(words) == ExitCode.DONE
    assert capsys.readouterr().err == ""


def test_an_action_is_needed(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["slots"])
    assert caught.value.code == ExitCode.USAGE
    assert "list|install|activate|confirm|rollback" in capsys.readouterr().err


def test_faults_are_one_line_and_an_exit_code(tmp_path: Path, capsys: Captured) -> None:
    place = ["--slots", str(tmp_path / "slots")]
    assert cli.main(["slots", "install", str(tmp_path / "none.maskwatch"), *place]) == ExitCode.OPERATOR
    assert (
        capsys.readouterr().err == f"maskwatch: {tmp_path}/none.maskwatch: cannot be read: No such file or directory\n"
    )
    assert cli.main(["slots", "install", str(bundle(tmp_path, "1.0.0")), *place]) == ExitCode.DONE
    assert cli.main(["slots", "activate", *place]) == ExitCode.DONE
    capsys.readouterr()
    assert cli.main(["slots", "install", str(bundle(tmp_path, "2.0.0")), *place]) == ExitCode.TRY_AGAIN
    assert capsys.readouterr().err == "maskwatch: slot a is on trial: confirm it or roll it back first\n"
