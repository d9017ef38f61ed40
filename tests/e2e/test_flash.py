"""`maskwatch flash` to one door, over a real sshd."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import sshd as sshd_module
from flash_runs import answered, new_model
from flashing import command, environment, flash
from maskwatch.bundle import default_bundle_path
from real_command import COMMAND
from signing_keys import allow, make_key, signature_of
from sshd import Sshd, running
from stage_doors import FAULT, PlayedDoor, played

pytestmark = pytest.mark.timeout(300)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_door_gets_a_new_model_and_confirms_it(sshd: Sshd, place: Path, tiny_bundle_path: Path) -> None:
    door = PlayedDoor("door-1", place / "door-1")
    with played(sshd, [door]):
        done = flash(sshd, "door-1", tiny_bundle_path)
        assert (done.code, done.one()["outcome"], done.one()["reason"]) == (0, "confirmed", "")
        assert done.one()["model"] == "tiny 1.2.3"
        assert done.one()["sent_bytes"] == done.one()["size_bytes"] == tiny_bundle_path.stat().st_size
        path = door.slots.choose().path
        assert path is not None
        assert path.read_bytes() == tiny_bundle_path.read_bytes()
        assert list((door.slots.folder / "incoming").iterdir()) == []
        assert "1 of 1 door runs tiny 1.2.3" in done.err
        again = flash(sshd, "door-1", tiny_bundle_path)
    assert (again.code, again.one()["outcome"], again.one()["sent_bytes"]) == (0, "already", 0)
    assert door.trials == 1


def test_a_door_that_rolls_back_says_why_and_goes_on(sshd: Sshd, place: Path, tiny_bundle_path: Path) -> None:
    door = PlayedDoor("door-1", place / "door-1", "rolls back")
    with played(sshd, [door]):
        done = flash(sshd, "door-1", tiny_bundle_path)
    assert (done.code, done.one()["outcome"], done.one()["reason"]) == (1, "rolled_back", FAULT)
    assert done.one()["model"].startswith("masknet ")
    assert door.slots.choose().path is None


def test_a_trial_that_nobody_confirms_is_rolled_back(sshd: Sshd, place: Path, tiny_bundle_path: Path) -> None:
    door = PlayedDoor("door-1", place / "door-1", "does nothing")
    with played(sshd, [door]):
        done = flash(sshd, "--window", "1", "door-1", tiny_bundle_path)
    assert (done.code, done.one()["outcome"]) == (1, "rolled_back")
    assert done.one()["reason"] == "not confirmed within 1 s"
    state = door.slots.read()
    assert (state.active, state.trying) == (None, False)
    assert "not confirmed within its health window" in state.a.reason


def test_a_door_without_a_daemon_is_not_touched(sshd: Sshd, place: Path, tiny_bundle_path: Path) -> None:
    door = PlayedDoor("door-1", place / "door-1", "away")
    with played(sshd, [door]):
        done = flash(sshd, "door-1", tiny_bundle_path)
    assert (done.code, done.one()["outcome"]) == (1, "refused")
    assert done.one()["reason"].endswith("start it: sudo systemctl start maskwatch")
    assert done.one()["sent_bytes"] == 0
    assert not door.slots.folder.exists()


def test_only_what_is_signed_gets_in_where_that_is_asked_for(sshd: Sshd, place: Path, tiny_bundle_path: Path) -> None:
    key = make_key(place / "maria")
    trust = place / "trust"
    trust.mkdir()
    allow(trust / "allowed_signers", "maria@example.org", key)
    door = PlayedDoor("door-1", place / "door-1", trust=trust)
    with played(sshd, [door]):
        unsigned = flash(sshd, "door-1", tiny_bundle_path)
        assert (unsigned.code, unsigned.one()["outcome"]) == (1, "refused")
        assert "not signed" in unsigned.one()["reason"]
        assert door.slots.read().changes == 0
        signature = tiny_bundle_path.with_name(tiny_bundle_path.name + ".sig")
        signature.write_bytes(signature_of(tiny_bundle_path.read_bytes(), key))
        signed = flash(sshd, "door-1", tiny_bundle_path)
    assert (signed.code, signed.one()["outcome"]) == (0, "confirmed")
    assert signed.one()["sent_bytes"] == 0, "the bytes that were refused lie there still"
    assert door.slots.read().a.signer == "maria@example.org"


def test_an_older_version_is_forced_only(sshd: Sshd, place: Path) -> None:
    door = PlayedDoor("door-1", place / "door-1")
    old = new_model(place, version="0.0.1")
    with played(sshd, [door]):
        refused = flash(sshd, "door-1", old)
        assert (refused.code, refused.one()["outcome"]) == (1, "refused")
        assert "is older than" in refused.one()["reason"]
        assert flash(sshd, "--force", "door-1", old).code == 0


def test_the_built_in_model_is_there_already(sshd: Sshd, place: Path) -> None:
    with played(sshd, [PlayedDoor("door-1", place / "door-1")]):
        done = flash(sshd, "door-1", default_bundle_path())
    assert (done.code, done.one()["outcome"]) == (0, "already")


# What ssh has to say


def test_an_unreachable_door_is_told_in_sshs_own_words(sshd: Sshd, tiny_bundle_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    sshd.add_host("door-1", "", port=port)
    done = flash(sshd, "door-1", tiny_bundle_path)
    assert (done.code, done.one()["outcome"]) == (1, "unreachable")
    assert done.one()["reason"] == f"ssh: connect to host 127.0.0.1 port {port}: Connection refused"
    assert done.err.count("Connection refused") == 1, "one line"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("  HostName no-such-host.invalid\n", "Could not resolve hostname no-such-host.invalid"),
        (
            "  UserKnownHostsFile /dev/null\n",
            "its host key is not known here: log in once by hand: ssh -F {config} door-1",
        ),
        ("  PubkeyAuthentication no\n", "Permission denied (publickey): your key is not accepted there"),
        ("  ProxyCommand false\n", "Connection closed by"),
    ],
)
def test_ssh_says_what_is_wrong(sshd: Sshd, tiny_bundle_path: Path, lines: str, words: str) -> None:
    sshd.add_host("door-1", "", lines=lines)
    done = flash(sshd, "door-1", tiny_bundle_path)
    assert (done.code, done.one()["outcome"]) == (1, "unreachable")
    assert words.format(config=sshd.config) in done.one()["reason"]
    assert "\n" not in done.one()["reason"]


def test_the_users_own_options_reach_ssh(sshd: Sshd, place: Path, tiny_bundle_path: Path) -> None:
    with played(sshd, [PlayedDoor("door-1", place / "door-1")]):
        refused = flash(sshd, "--ssh-option", "Port=1", "door-1", tiny_bundle_path)
        assert "port 1: Connection refused" in refused.one()["reason"]
        assert flash(sshd, "--ssh-option", f"Port={sshd.port}", "door-1", tiny_bundle_path).code == 0


def test_a_host_key_that_has_changed_is_told_apart(sshd: Sshd, tiny_bundle_path: Path, place: Path) -> None:
    other, known = sshd_module.make_host_key(place / "other"), place / "known"
    known.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    sshd.add_host("door-1", "", lines=f"  UserKnownHostsFile {known}\n")
    done = flash(sshd, "door-1", tiny_bundle_path)
    assert (done.code, done.one()["outcome"]) == (1, "unreachable")
    assert done.one()["reason"] == (
        "its host key has CHANGED: another machine, or an attack; "
        f"if it was replaced: ssh-keygen -R '[127.0.0.1]:{sshd.port}'"
    )


# Logins without a forced command


def test_a_plain_login_runs_the_same_program(place: Path, tiny_bundle_path: Path) -> None:
    door = PlayedDoor("door-1", place / "door-1")
    slots, answers, trust = door.slots.folder, door.socket, door.folder
    line = f'{COMMAND} receive --slots {slots} --socket {answers} --trust {trust} "$@"'
    (place / "bin").mkdir()
    written(place / "bin", "maskwatch", f"#!/bin/sh\nshift\nexec {line}\n")
    with running(path_for_logins=f"{place}/bin:/usr/bin:/bin") as sshd, played(sshd, [door]):
        sshd.add_host("plain", "")
        done = flash(sshd, "plain", tiny_bundle_path)
    assert (done.code, done.one()["outcome"]) == (0, "confirmed")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "there is no Maskwatch: maskwatch install plain"),
        (f"exec {COMMAND} no-such-verb", "its Maskwatch is too old to be flashed: maskwatch install plain"),
        ("echo hello", "no Maskwatch answers there; try: ssh -F {config} plain maskwatch receive state"),
        ("echo 'maskwatch: the card is broken: buy one' >&2; exit 3", "the card is broken: buy one"),
        ("echo oops >&2; exit 9", "exit code 9: oops"),
        (
            "exec yes",
            "it says more than 64 kB, which no Maskwatch does; try: ssh -F {config} plain maskwatch receive state",
        ),
    ],
)
def test_what_is_no_maskwatch_is_told(place: Path, tiny_bundle_path: Path, script: str | None, words: str) -> None:
    if script is not None:
        written(place, "maskwatch", f"#!/bin/sh\n{script}\n")
    with running(path_for_logins=f"{place}:/usr/bin:/bin") as sshd:
        sshd.add_host("plain", "")
        done = flash(sshd, "plain", tiny_bundle_path)
    assert (done.code, done.one()["outcome"], done.one()["reason"]) == (1, "refused", words.format(config=sshd.config))


# Being told to stop


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_broken_off_and_leaves_no_ssh_behind(
    sshd: Sshd, place: Path, tiny_bundle_path: Path, sign: signal.Signals
) -> None:
    door = PlayedDoor("door-1", place / "door-1", "does nothing")
    with played(sshd, [door]):
        words = command(sshd, "door-1", tiny_bundle_path)
        with subprocess.Popen(
            words, env=environment(sshd), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            assert any("trying" in line for line in process.stderr)
            process.send_signal(sign)
            out, err = process.communicate(timeout=60)
    done = answered(process.returncode, out, err)
    assert (done.code, done.one()["outcome"]) == (130, "interrupted")
    assert done.one()["reason"] == "by a signal; it tries the new model, and confirms it or rolls back by itself"
    assert err.endswith("maskwatch: interrupted\n")
    assert door.slots.read().trying
    assert ssh_processes(sshd) == []


def ssh_processes(sshd: Sshd) -> list[int]:
    """The client's processes that use this server's configuration."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:  # it has just ended
            continue
        if os.path.basename(words[0]) == b"ssh" and os.fsencode(sshd.config) in words:
            found.append(int(path.parent.name))
    return found


def test_no_ssh_at_all_is_said_before_anything_else(
    tiny_bundle_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from maskwatch.cli import main

    monkeypatch.setenv("PATH", str(place))
    assert shutil.which("ssh") is None
    assert main(["flash", "door-1", str(tiny_bundle_path)]) == 3
    assert capsys.readouterr().err == "maskwatch: there is no ssh here: sudo apt-get install openssh-client\n"
