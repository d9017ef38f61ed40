"""How ssh is called and heard, with a program in its place that does what no door should; tests/e2e has a real one."""

from __future__ import annotations

import errno
import os
import resource
import shlex
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from maskwatch.errors import OperatorError, TryAgainError
from maskwatch.flash.protocol import MAX_ANSWER_BYTES, Request
from maskwatch.flash.ssh import Connection, Ssh, UnreachableError, connected
from maskwatch.flash.ssh_words import MAX_WORDS, words_of_ssh

STATE = Request("state")
LIMIT_S = 20.0

Play = Callable[[str], Connection]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """A connection whose ssh is this script."""

    def write(script: str) -> Connection:
        program = tmp_path / "ssh"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return Connection("door-1", Ssh(), str(tmp_path))

    return write


def test_an_answer_is_heard(play: Play) -> None:
    line = play("""echo Welcome; echo 'maskwatch-answer {"a": 1}'; echo bye""")
    assert line.ask(STATE) == {"a": 1}


def test_a_large_upload_leaves_whole_and_is_told(play: Play, tmp_path: Path) -> None:
    line = play(f"""sleep 0.1; cat > {shlex.quote(str(tmp_path))}/got; echo 'maskwatch-answer {{}}'""")
    data = os.urandom(1_000_003)
    told: list[tuple[int, int]] = []
    line.ask(STATE, data, LIMIT_S, lambda done, total: told.append((done, total)))
    assert (tmp_path / "got").read_bytes() == data
    assert told[-1] == (len(data), len(data))
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_who_takes_no_upload_says_why(play: Play) -> None:
    line = play("echo 'maskwatch: a warning' >&2; echo 'maskwatch: the disk is full: make room' >&2; exit 3")
    with pytest.raises(OperatorError) as error:
        line.ask(STATE, bytes(1_000_000), LIMIT_S)
    assert str(error.value) == "the disk is full: make room", "the last of several lines is the fault"


def test_what_may_be_tried_again_is_told_apart(play: Play) -> None:
    with pytest.raises(TryAgainError, match=r"^later$") as error:
        play("echo 'maskwatch: later' >&2; exit 4").ask(STATE)
    assert not isinstance(error.value, UnreachableError)


def test_a_door_that_says_nothing_is_left_in_time(play: Play) -> None:
    line = play("exec sleep 100")
    began_s = time.monotonic()
    with pytest.raises(UnreachableError, match=r"no answer in 0.5 s"):
        line.ask(STATE, limit_s=0.5)
    assert time.monotonic() - began_s < LIMIT_S


def test_a_door_that_takes_nothing_is_left_in_time(play: Play) -> None:
    with pytest.raises(UnreachableError, match=r"no answer in 0.5 s"):
        play("exec sleep 100").ask(STATE, bytes(1_000_000), 0.5)


@pytest.mark.parametrize("to", ["1", "2"])
def test_a_door_that_never_stops_saying_something_is_left(play: Play, to: str) -> None:
    """It filled the operator's disk with 250 MB a second."""
    line = play(f"exec yes 0123456789 >&{to}")
    with pytest.raises(OperatorError) as error:
        line.ask(STATE, limit_s=LIMIT_S)
    assert str(error.value) == (
        "it says more than 64 kB, which no Maskwatch does; try: ssh door-1 maskwatch receive state"
    )


@pytest.mark.parametrize("complaint", ["", "Host key verification failed."])
def test_what_is_advised_goes_the_way_that_flash_goes(play: Play, tmp_path: Path, complaint: str) -> None:
    """It left --ssh-config and --ssh-option out, so that it reached another machine or none."""
    play(f"echo {shlex.quote(complaint)} >&2; exit {255 if complaint else 0}")
    config = tmp_path / "ssh config"
    line = Connection("pi@door-1", Ssh(config, ("Port=2222", "ProxyCommand=nc %h %p")), str(tmp_path))
    with pytest.raises((OperatorError, UnreachableError)) as error:
        line.ask(STATE)
    way = f"ssh -F '{config}' -o Port=2222 -o 'ProxyCommand=nc %h %p' pi@door-1"
    if complaint:
        assert str(error.value) == f"its host key is not known here: log in once by hand: {way}"
    else:
        assert str(error.value) == f"no Maskwatch answers there; try: {way} maskwatch receive state"


def test_an_ssh_is_given_the_options_that_it_knows(play: Play) -> None:
    """One of before 7.8, or without Kerberos, would refuse to go on."""
    play("""case "$*" in *GSSAPI* | *SetEnv*) exit 255 ;; esac; echo 'user pi'""")
    assert Ssh().checked().known == ()
    play("echo 'user pi'")
    assert Ssh().checked().known == ()
    play("""case "$*" in *GSSAPI*) exit 255 ;; esac; echo 'setenv TERM=dumb'""")
    assert Ssh().checked().known == ("SetEnv=TERM=dumb",)
    play("echo 'gssapidelegatecredentials no'; echo 'setenv TERM=dumb'")
    ssh = Ssh(options=("GSSAPIDelegateCredentials=yes",)).checked()
    words = ssh.words("none")
    assert words.index("GSSAPIDelegateCredentials=no") < words.index("GSSAPIDelegateCredentials=yes")
    assert "SetEnv=TERM=dumb" in words


def test_a_door_may_say_as_much_as_is_allowed(play: Play) -> None:
    answer = 'maskwatch-answer {"a": 1}'
    line = play(f"head -c {MAX_ANSWER_BYTES - len(answer) - 2} /dev/zero | tr '\\0' x; echo; echo '{answer}'")
    assert line.ask(STATE) == {"a": 1}


def test_a_fault_is_cut(play: Play) -> None:
    with pytest.raises(OperatorError) as error:
        play("printf 'maskwatch: ' >&2; head -c 60000 /dev/zero | tr '\\0' x >&2; exit 3").ask(STATE)
    assert str(error.value) == "x" * MAX_WORDS


def test_what_goes_on_behind_a_command_is_not_waited_for(play: Play) -> None:
    """As a master does, which keeps its outputs for as long as it lives."""
    line = play("""sleep 30 & echo 'maskwatch-answer {"a": 1}'""")
    began_s = time.monotonic()
    assert line.ask(STATE) == {"a": 1}
    assert time.monotonic() - began_s < LIMIT_S


def test_it_can_be_broken_off_by_another_thread(play: Play, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "begun")
    line = play(f"echo >{shlex.quote(str(tmp_path))}/begun; exec sleep 100")

    def stop() -> None:
        (tmp_path / "begun").read_text()
        line.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(UnreachableError, match="signal 9"):
        line.ask(STATE)
    thread.join(LIMIT_S)
    with pytest.raises(UnreachableError, match="broken off"):
        line.ask(STATE)


# This machine's own shortages: each cost the whole roll-out, with "internal error"


@contextmanager
def no_more_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    first_free = os.dup(0)
    os.close(first_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_no_more_files_cost_one_door(play: Play) -> None:
    line = play("""echo 'maskwatch-answer {"a": 1}'""")
    with no_more_files(), pytest.raises(UnreachableError, match=r"ssh cannot be run here: Too many open files; fewer"):
        line.ask(STATE)
    with no_more_files():
        line.close()
    assert line.ask(STATE) == {"a": 1}


def test_an_ssh_that_cannot_be_run_costs_one_door(play: Play, tmp_path: Path) -> None:
    line = play("")
    (tmp_path / "ssh").write_text("#!/no/such/interpreter\n")
    with pytest.raises(UnreachableError, match=r"ssh cannot be run here: No such file or directory"):
        line.open()


def test_no_room_for_a_socket_costs_one_door(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/mw-x")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(UnreachableError, match=r"/tmp/mw-x cannot be made: No space left"), connected("door-1", Ssh()):
        pass


# What ssh says

CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Offending ED25519 key in /home/me/.ssh/known_hosts:1
Host key for {name} has changed and you have requested strict checking.
Host key verification failed.
"""
REVOKED = "@       WARNING: REVOKED HOST KEY DETECTED!               @\nHost key verification failed.\n"
NO_ROUTE = "ssh: connect to host door-1 port 22: No route to host\nkex_exchange_identification: closed\n"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("", "ssh gives no reason"),
        ("Host key verification failed.\r\n", "its host key is not known here: log in once by hand: ssh door-1"),
        (CHANGED.format(name="door-1"), "if it was replaced: ssh-keygen -R door-1"),
        (CHANGED.format(name="[10.0.0.7]:2222"), "if it was replaced: ssh-keygen -R '[10.0.0.7]:2222'"),
        (CHANGED.format(name="door-1"), "its host key has CHANGED: another machine, or an attack; "),
        (REVOKED, "mark as revoked"),
        (
            "pi@door-1: Permission denied (publickey).\n",
            "pi@door-1: Permission denied (publickey): your key is not accepted there: "
            "add it to its authorized_keys, or here: ssh-add",
        ),
        ("Connection closed by UNKNOWN port 65535\r\n", "Connection closed by UNKNOWN port 65535"),
        (
            "mux: refused\r\nkex_exchange_identification: closed\r\nConnection closed by UNKNOWN port 65535\r\n",
            "mux: refused",
        ),
        (NO_ROUTE, "ssh: connect to host door-1 port 22: No route to host"),
        ("x" * 5000, "x" * MAX_WORDS),
    ],
)
def test_the_line_that_says_most_is_told_with_what_to_do(said: str, words: str) -> None:
    told = words_of_ssh(said, 255, "door-1", "ssh door-1")
    assert words in told
    assert len(told) <= MAX_WORDS + 90
    assert "\n" not in told
