"""The operator's own ssh settings: they reach doors, but give nothing away, and cannot have another thing happen."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flash_runs import Flash, answered
from flashing import command, environment, flash
from maskwatch.flash.protocol import Request
from maskwatch.flash.ssh import OWN, OWN_WHERE_KNOWN, Ssh, UnreachableError, connected
from real_command import COMMAND
from sshd import LIMIT_S, Sshd, free_port, running
from stage_doors import PlayedDoor, played

pytestmark = pytest.mark.timeout(300)

WAIT_S = 100


@contextmanager
def plain_login(place: Path) -> Iterator[Sshd]:
    """A login whose shell finds a Maskwatch, which notes the environment that ssh gives it."""
    door = PlayedDoor("door", place / "door")
    (place / "bin").mkdir()
    program = place / "bin" / "maskwatch"
    receive = " ".join(map(str, [COMMAND, *door.receive_words()]))
    program.write_text(f'#!/bin/sh\nenv >> {place}/seen\nshift\nexec {receive} "$@"\n')
    program.chmod(0o755)
    with running(path_for_logins=f"{place}/bin:/usr/bin:/bin") as sshd, played(sshd, [door]):
        yield sshd


@contextmanager
def agent(place: Path) -> Iterator[Path]:
    socket = place / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as process:
        try:
            yield socket
        finally:
            process.terminate()


SETTINGS = """\
  ForwardAgent yes
  ForwardX11 yes
  RequestTTY force
  RemoteCommand cat /etc/hostname
  PermitLocalCommand yes
  LocalCommand touch {place}/local-command
  LocalForward {port} 127.0.0.1:1
  ExitOnForwardFailure yes
  ControlMaster auto
  ControlPath {place}/users-own
  ControlPersist 30
  BatchMode no
  SendEnv SECRET_* LANG
  SetEnv SECRET_SET=told
"""
NEWER = "  StdinNull yes\n  ForkAfterAuthentication yes\n"


def test_settings_for_logins_by_hand_harm_no_flash(place: Path, tiny_bundle_path: Path) -> None:
    """A door could use the operator's agent and read his variables; a RemoteCommand or a terminal made an end of it."""
    with agent(place) as socket, plain_login(place) as sshd:
        lines = SETTINGS.format(place=place, port=free_port())
        sshd.add_host("plain", "", lines=lines + (NEWER if _knows("StdinNull") else ""))
        sshd.config.write_text(sshd.config.read_text().replace("IdentityAgent none", f"IdentityAgent {socket}"))
        variables = {"SSH_AUTH_SOCK": str(socket), "DISPLAY": ":99", "SECRET_SENT": "told", "LANG": "C.UTF-8"}
        by_hand = sshd.ssh(
            "plain",
            options=[f"-o{option}" for option in ("RemoteCommand=env", "ControlPath=none", *OWN)],
        )
        assert b"SECRET_SET=told" in by_hand.stdout, "this server takes what it is sent"
        done = _flash_with(sshd, variables, "plain", tiny_bundle_path)
    assert (done.code, done.one()["outcome"]) == (0, "confirmed"), done
    seen = (place / "seen").read_text()
    assert "SSH_CONNECTION=" in seen
    assert not any(word in seen for word in ("SSH_AUTH_SOCK", "DISPLAY=", "SSH_TTY", "SECRET_", "LANG="))
    assert not (place / "local-command").exists()
    assert not (place / "users-own").exists()


def _knows(option: str) -> bool:
    """Whether this ssh has that option: all that it has is told by -G."""
    told = subprocess.run(["ssh", "-G", "-F", "/dev/null", "door"], capture_output=True, timeout=LIMIT_S, check=True)
    return f"\n{option.lower()} ".encode() in told.stdout


def test_without_its_master_a_command_reaches_nobody(sshd: Sshd, place: Path) -> None:
    """Nor another machine, which has the door's name outside the operator's settings."""
    with played(sshd, [PlayedDoor("door-1", place / "door-1")]), connected("door-1", Ssh(sshd.config)) as line:
        line.open()
        assert line.ask(Request("state"))
        line.close()
        with pytest.raises(UnreachableError, match="Connection closed by"):
            line.ask(Request("state"))
        line.open()
        assert line.ask(Request("state"))


def _flash_with(sshd: Sshd, variables: dict[str, str], *words: str | Path) -> Flash:
    done = subprocess.run(
        command(sshd, *words),
        env=environment(sshd) | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    return answered(done.returncode, done.stdout, done.stderr)


def test_what_must_hold_wins_over_all_options(tmp_path: Path) -> None:
    """As ssh itself tells."""
    against = {
        "BatchMode": "no",
        "ControlPath": "/tmp/users-own",
        "ForwardAgent": "yes",
        "ForwardX11": "yes",
        "ClearAllForwardings": "no",
        "RequestTTY": "force",
        "RemoteCommand": "id",
        "PermitLocalCommand": "yes",
        "SetEnv": "SECRET=told",
        "GSSAPIDelegateCredentials": "yes",
    }
    must = {option.partition("=")[0] for option in (*OWN, *OWN_WHERE_KNOWN)}
    assert set(against) == must | {"ControlPath"}
    if not _knows("GSSAPIDelegateCredentials"):
        del against["GSSAPIDelegateCredentials"]
    config = tmp_path / "config"
    config.write_text("".join(f"{key} {value}\n" for key, value in against.items()))
    ssh = Ssh(config, tuple(f"{key}={value}" for key, value in against.items())).checked()

    def told(words: list[str]) -> list[str]:
        return subprocess.run(
            [*words, "-G", "door-1"], capture_output=True, text=True, timeout=LIMIT_S, check=True
        ).stdout.splitlines()

    answer = told(ssh.words("/tmp/mine"))
    assert "controlpath /tmp/mine" in answer
    assert {"batchmode yes", "forwardagent no", "forwardx11 no", "clearallforwardings yes"} <= set(answer)
    assert "requesttty false" in answer
    assert "permitlocalcommand no" in answer
    assert "gssapidelegatecredentials yes" not in answer
    assert [line for line in answer if line.startswith("setenv ")] == ["setenv TERM=dumb"]
    assert not any(line.startswith("remotecommand id") for line in answer)


@pytest.mark.parametrize("option", ["Prot=22", "Port=x", "RequestTTY=maybe"])
def test_an_option_that_ssh_does_not_know_is_told_before_any_door(
    sshd: Sshd, tiny_bundle_path: Path, option: str
) -> None:
    """Each door was "unreachable"."""
    done = flash(sshd, "--ssh-option", option, "door-1", tiny_bundle_path)
    assert (done.code, done.doors) == (3, {})
    assert done.err.startswith("maskwatch: ssh refuses an option or its configuration: command-line")
    assert done.err.count("\n") == 1


def test_a_configuration_that_ssh_refuses_is_told_before_any_door(sshd: Sshd, tiny_bundle_path: Path) -> None:
    sshd.config.write_text("Host other\n  Prot 22\n")
    done = flash(sshd, "door-1", tiny_bundle_path)
    assert (done.code, done.doors) == (3, {})
    assert "Bad configuration option: prot" in done.err


def test_the_command_lines_options_go_before_the_fleets(sshd: Sshd, place: Path, tiny_bundle_path: Path) -> None:
    fleet = place / "fleet.toml"
    fleet.write_text('ssh_options = ["Port=1"]\n[groups.all]\nhosts = ["door-1"]\n')
    with played(sshd, [PlayedDoor("door-1", place / "door-1")]):
        assert "port 1: Connection refused" in flash(sshd, "--fleet", fleet, tiny_bundle_path).one()["reason"]
        done = flash(sshd, "--fleet", fleet, "--ssh-option", f"Port={sshd.port}", tiny_bundle_path)
    assert (done.code, done.one()["outcome"]) == (0, "confirmed")
