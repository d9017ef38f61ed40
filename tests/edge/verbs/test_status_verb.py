"""`maskwatch status` as its users meet it: a daemon that runs, one that doesn't, and things that are no daemon."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from maskwatch import status_client
from maskwatch.cli import main
from maskwatch.errors import ExitCode
from maskwatch.observer import in_words
from maskwatch.status import PersonStatus, Status, read_status
from maskwatch.status_client import usual_places
from maskwatch.status_socket import SERVICE_SOCKET, served
from maskwatch.types import Situation, Verdict
from maskwatch.verbs.status import STATES, block, change, duration
from real_command import COMMAND, maskwatch, users_environment

LIMIT_S = 60.0
Captured = pytest.CaptureFixture[str]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

DOOR = Status(
    state="unmasked",
    state_seconds=3.4,
    alarm=True,
    dark=False,
    resting=False,
    people_count=3,
    unmasked_count=1,
    people=(PersonStatus("without_mask", 0.03), PersonStatus("with_mask", 0.98), PersonStatus(None, 0.5)),
    frames=12345,
    passed_frames=678,
    dropped_frames=12,
    fps=9.84,
    latency_seconds=0.0841,
    camera_source="picamera",
    camera_lost_seconds=None,
    camera_lost_reason=None,
    model="masknet 1.2.3",
    model_sha256="0123456789abcdef" * 4,
    slot=None,
    trial=None,
    reloads=2,
    since="2026-01-02T03:04:05+01:00",
    uptime_seconds=11_530.0,
    version="0.1.0",
    pid=812,
)
BLIND = replace(
    DOOR,
    state="no_camera",
    alarm=False,
    people_count=0,
    unmasked_count=0,
    people=(),
    fps=0.0,
    latency_seconds=None,
    camera_lost_seconds=125.0,
    camera_lost_reason="it is unplugged",
    reloads=1,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "status.sock"


def one_fault(captured: Captured) -> str:
    out, err = captured.readouterr()
    assert out == ""
    assert err.startswith("maskwatch: ")
    assert err.count("\n") == 1
    return err


# For people


def test_a_few_lines_say_it_all(path: Path, capsys: Captured) -> None:
    with served(path, lambda: DOOR):
        assert main(["status", "--socket", str(path)]) == ExitCode.DONE
    assert capsys.readouterr().out.splitlines() == [
        "x someone without a mask, for 3 s; the alarm is on",
        "  people   without mask 0.97, with mask 0.98, not sure yet",
        "  camera   picamera, 9.8 frames/s, 84 ms from picture to light",
        "  frames   12345 judged, 678 watched for motion alone, 12 gave way to newer ones",
        "  model    masknet 1.2.3 (0123456789ab)",
        "  running  3 h 12 min, since 2026-01-02T03:04:05+01:00, 2 reloads",
        "  process  812, Maskwatch 0.1.0",
    ]


def test_a_lost_camera_says_since_when_and_why() -> None:
    lines = list(block(BLIND))
    assert lines[0] == "! no camera, for 3 s"
    assert lines[1:3] == [
        "  people   none",
        "  camera   picamera, lost for 2 min 5 s: it is unplugged; trying again",
    ]
    assert lines[5].endswith(", 1 reload")


def test_a_dark_picture_is_told() -> None:
    _, _, words = in_words(Verdict(Situation.NOBODY, False, (), 0.0, dark=True)).partition("; ")
    assert words.startswith("the picture is black: ")  # the log's own words
    assert words in next(block(replace(DOOR, dark=True)))
    assert "the picture is black" in change(replace(DOOR, dark=True))


def test_a_door_at_rest_says_so() -> None:
    resting = replace(DOOR, state="nobody", alarm=False, resting=True)
    assert next(block(resting)) == "- nobody, for 3 s; judges a few frames only, as nothing moves"


@pytest.mark.parametrize(("trial", "words"), [("trying", "on trial"), ("confirmed", "confirmed")])
def test_a_slots_model_says_where_it_is_from_and_how_its_trial_stands(trial: str, words: str) -> None:
    slotted = replace(DOOR, slot="b", trial=trial)
    assert list(block(slotted))[4] == f"  model    masknet 1.2.3 (0123456789ab), slot b, {words}"
    assert change(slotted).endswith(f"; picamera with masknet 1.2.3, slot b, {words}")
    assert slotted.news != DOOR.news


def test_before_the_first_frame_nothing_is_made_up() -> None:
    unknown = {
        "camera_source": None,
        "model": None,
        "model_sha256": None,
        "latency_seconds": None,
        "people": (),
        "reloads": 0,
    }
    lines = list(block(replace(DOOR, state="starting", **unknown)))
    assert lines[0].startswith(". starting: no picture judged yet")
    assert (lines[2], lines[4]) == ("  camera   not known yet, 9.8 frames/s", "  model    not loaded yet")


def test_each_state_has_a_mark_and_words_of_its_own() -> None:
    assert STATES.keys() == {situation.value for situation in Situation} | {"starting"}
    for part in (0, 1):
        assert len({state[part] for state in STATES.values()}) == len(STATES)
    assert all(mark.isascii() and words for mark, words, _ in STATES.values())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.9, "0 s"), (59.9, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h")],
)
def test_time_spans_are_told_in_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_no_text_of_others_breaks_a_line_or_reaches_the_terminal_raw(path: Path, capsys: Captured) -> None:
    with served(path, lambda: replace(BLIND, camera_source="a\nb\x1b[31m", camera_lost_reason="c\r\udce9")):
        assert main(["status", "--socket", str(path)]) == ExitCode.DONE
    out = capsys.readouterr().out
    assert out.count("\n") == 7
    assert "\x1b" not in out
    assert r"a\nb\x1b[31m, lost for 2 min 5 s: c\r\udce9; trying again" in out


# For machines


def test_json_is_the_daemons_own_line(path: Path) -> None:
    with served(path, lambda: DOOR):
        answer = maskwatch("status", "--json", "--socket", path)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == DOOR.to_json() + "\n"
    assert json.loads(answer.out)["people"][0] == {"label": "without_mask", "mask": 0.03}


def test_it_loads_neither_numbers_nor_pictures(path: Path) -> None:
    script = f"""
import sys
from maskwatch.cli import main
assert main(["status", "--socket", {str(path)!r}]) == 0
print(sorted({{"numpy", "cv2", "maskwatch.types", "asyncio"}} & set(sys.modules)))
"""
    with served(path, lambda: DOOR):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=LIMIT_S, check=True
        )
    assert done.stdout.splitlines()[-1] == "[]"


# Watching


class Watcher:
    """A `maskwatch status --watch` that runs."""

    def __init__(self, *words: str | Path) -> None:
        self.process = subprocess.Popen(
            [COMMAND, "status", "--watch", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=users_environment(),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's is ignored
        )

    def line(self) -> str:
        return self.process.stdout.readline()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, out, err


@pytest.fixture
def watching() -> Iterator[Callable[..., Watcher]]:
    watchers = []

    def start(*words: str | Path) -> Watcher:
        watchers.append(Watcher(*words))
        return watchers[-1]

    yield start
    for watcher in watchers:
        watcher.process.kill()
        watcher.process.communicate()


def test_each_change_is_one_line_and_the_end_is_told(path: Path, watching: Callable[..., Watcher]) -> None:
    now = [DOOR]
    with served(path, lambda: now[0]):
        watcher = watching("--socket", path)
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d x someone without a mask: "
            r"3 seen, 1 unmasked; the alarm is on; picamera with masknet 1\.2\.3\n",
            watcher.line(),
        )
        now[0] = replace(DOOR, frames=99_999, uptime_seconds=99_999.0)  # no news
        now[0] = BLIND
        assert watcher.line().endswith(" ! no camera: it is unplugged; picamera with masknet 1.2.3\n")
    code, out, err = watcher.end()
    assert (code, out) == (ExitCode.TRY_AGAIN, "")
    assert err.startswith("maskwatch: Maskwatch (process 812) has stopped")
    assert err.count("\n") == 1


def test_only_changes_are_printed_and_as_json_too(
    path: Path, monkeypatch: pytest.MonkeyPatch, watching: Callable[..., Watcher]
) -> None:
    now = [DOOR]
    beats = threading.Semaphore(0)

    def status() -> Status:
        beats.release()
        return now[0]

    monkeypatch.setattr("maskwatch.status_socket.BEAT_SECONDS", 0.0)
    monkeypatch.setattr("maskwatch.status_socket.CHANGE_SECONDS", 0.0)
    with served(path, status):
        watcher = watching("--json", "--socket", path)
        assert read_status(watcher.line().encode()) == DOOR
        for _ in range(10):
            assert beats.acquire(timeout=LIMIT_S)
        now[0] = BLIND
        assert read_status(watcher.line().encode()) == BLIND


def test_ctrl_c_ends_it_in_one_line(path: Path, watching: Callable[..., Watcher]) -> None:
    with served(path, lambda: DOOR):
        watcher = watching("--socket", path)
        watcher.line()
        watcher.process.send_signal(signal.SIGINT)
        assert watcher.end() == (130, "", "maskwatch: interrupted\n")


def test_a_reader_that_went_away_ends_it(path: Path, watching: Callable[..., Watcher]) -> None:
    now = [DOOR]
    with served(path, lambda: now[0]):
        watcher = watching("--socket", path)
        watcher.line()
        watcher.process.stdout.close()
        now[0] = BLIND
        assert watcher.process.wait(LIMIT_S) == 0
        assert watcher.process.stderr.read() == ""
        watcher.process.stdout = None


@contextmanager
def on_terminal(columns: int, *words: str | Path, **environment: str) -> Iterator[Callable[[str], str]]:
    """Run `maskwatch WORDS…` on a terminal of this width; gives a function that reads up to certain text."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {name: value for name, value in users_environment().items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [COMMAND, *map(str, words)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=env | {"TERM": "linux"} | environment,
    )
    os.close(theirs)
    seen = ""

    def read_to(text: str) -> str:
        nonlocal seen
        while text not in seen:
            seen += os.read(ours, 4096).decode()
        found, _, seen = seen.partition(text)
        return found + text

    try:
        yield read_to
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_on_a_terminal_it_is_drawn_again_in_place_within_its_width(path: Path) -> None:
    now = [replace(DOOR, camera_source="c" * 300)]
    with served(path, lambda: now[0]), on_terminal(40, "status", "--watch", "--socket", path) as read_to:
        first = read_to("Maskwatch 0.1.0\r\n")
        assert first.startswith("\x1b[1;31mx someone without a mask, for 3 s; the a\x1b[0m\r\n")
        lines = re.sub(r"\x1b\[[\d;]*m", "", first).split("\r\n")
        assert len(lines) == 8
        assert max(map(len, lines)) == 40
        now[0] = BLIND
        again = read_to("Maskwatch 0.1.0\r\n")
        while "no camera" not in again:
            again = read_to("Maskwatch 0.1.0\r\n")
        assert again.startswith("\x1b[7F\x1b[J\x1b[1;33m! no camera, for 3 s\x1b[0m\r\n")


def test_colour_is_only_where_it_is_wanted(path: Path) -> None:
    with served(path, lambda: DOOR), on_terminal(80, "status", "--socket", path, NO_COLOR="1") as read_to:
        assert "\x1b" not in read_to("Maskwatch 0.1.0\r\n")
    with served(path, lambda: DOOR), on_terminal(80, "status", "--socket", path) as read_to:
        assert read_to("Maskwatch 0.1.0\r\n").count("\x1b") == 2


def test_a_terminal_that_cannot_go_back_gets_a_line_a_change(path: Path) -> None:
    with (
        served(path, lambda: DOOR),
        on_terminal(80, "status", "--watch", "--socket", path, TERM="dumb") as read_to,
    ):
        assert "\x1b" not in read_to("with masknet 1.2.3\r\n")


# Where nobody answers, or somebody else


@pytest.mark.parametrize("flags", [[], ["--json"], ["--watch"]])
@pytest.mark.parametrize("there", ["nothing", "file", "stale", "below a file"])
def test_where_none_runs_it_says_so_and_what_to_do(flags: list[str], there: str, path: Path, capsys: Captured) -> None:
    if there == "stale":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    elif there != "nothing":
        path.write_text("")
    place = path / "status.sock" if there == "below a file" else path
    assert main(["status", *flags, "--socket", str(place)]) == ExitCode.TRY_AGAIN
    fault = one_fault(capsys)
    assert fault.startswith(f"maskwatch: not running: nobody answers at {place}; start it: sudo systemctl start")


def test_the_usual_places_are_the_services_and_ones_own(tmp_path: Path) -> None:
    home = str(tmp_path)
    assert usual_places({}) == (SERVICE_SOCKET,)
    assert usual_places({"XDG_RUNTIME_DIR": home}) == (SERVICE_SOCKET, tmp_path / "maskwatch" / "status.sock")
    assert usual_places({"RUNTIME_DIRECTORY": str(SERVICE_SOCKET.parent)}) == (SERVICE_SOCKET,)


def test_the_first_that_answers_is_asked(tmp_path: Path) -> None:
    places = (tmp_path / "service", tmp_path / "own")
    with served(places[1], lambda: BLIND):
        assert status_client.ask(places) == BLIND
        with served(places[0], lambda: DOOR):
            assert status_client.ask(places) == DOOR


PERSONS = """
import os, sys
from maskwatch.cli import main
words = ["status", "--json", "--socket", {path!r}]
assert main(words) == 0  # as root; and all is loaded that others may not be allowed to read here
os.setgroups([])
os.setgid({group})
os.setuid(65534)
sys.exit(main(words))
"""


@needs_root
def test_members_of_the_group_may_ask_and_others_hear_what_to_do() -> None:
    import tempfile

    group = 54321
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # systemd's own RuntimeDirectoryMode
        path = Path(folder) / "status.sock"
        with served(path, lambda: DOOR):
            os.chown(path, 0, group)
            answers = [
                subprocess.run(
                    [sys.executable, "-c", PERSONS.format(group=own_group, path=str(path))],
                    capture_output=True,
                    text=True,
                    timeout=LIMIT_S,
                    check=False,
                )
                for own_group in (group, 65534)
            ]
    member, stranger = answers
    assert (member.returncode, member.stdout, member.stderr) == (0, 2 * (DOOR.to_json() + "\n"), "")
    assert (stranger.returncode, stranger.stdout) == (3, DOOR.to_json() + "\n")
    assert stranger.stderr == (
        f"maskwatch: {path}: this user may not ask: use sudo, or join the group and log in again: "
        'sudo usermod -aG maskwatch "$USER"\n'
    )


class Impostor:
    """Listens at a path, and says something to whoever connects; b"" says nothing and keeps them waiting.

    With None it hangs up without having read a word.
    """

    def __init__(self, path: Path, words: bytes | None) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.words = words
        self.seen_enough = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        channel, _ = self.listener.accept()
        with channel, suppress(BrokenPipeError, ConnectionResetError):
            if self.words is None:
                return
            channel.recv(100)
            if self.words:
                channel.sendall(self.words)
                channel.shutdown(socket.SHUT_WR)
            self.seen_enough.wait(LIMIT_S)

    def __enter__(self) -> Impostor:
        return self

    def __exit__(self, *_: object) -> None:
        self.seen_enough.set()
        self.thread.join(LIMIT_S)
        self.listener.close()


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (b"220 mail.example.org ESMTP\n", 3, "not JSON"),
        (b"{}\n", 3, "missing"),
        (DOOR.to_json().replace('"fps"', '"speed"').encode() + b"\n", 3, "unknown key"),
        (b"\xff\xfe\n", 3, "no Maskwatch of this version answers"),
        (b"[" * 100_000 + b"\n", 3, "nested too deeply"),
        (b"x" * (status_client.MAX_LINE_BYTES + 5), 3, "a line without an end"),
        (DOOR.to_json().encode(), 4, "without an answer"),  # cut off: it stopped in the middle
        (b"", 4, "no answer in"),
        (None, 4, "without an answer"),
    ],
    ids=["mail", "empty", "version", "binary", "deep", "endless", "cut", "silent", "rude"],
)
@pytest.mark.parametrize("flags", [[], ["--watch"]])
def test_whatever_else_answers_ends_in_one_line(
    words: bytes | None,
    code: int,
    reason: str,
    flags: list[str],
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.setattr(status_client, "ANSWER_SECONDS", 0.05 if words == b"" else LIMIT_S)
    with Impostor(path, words):
        assert main(["status", *flags, "--socket", str(path)]) == code
    assert reason in one_fault(capsys)


def test_a_path_that_can_be_none_is_a_fault_of_the_operators(capsys: Captured) -> None:
    assert main(["status", "--socket", "/" + "x" * 300]) == ExitCode.OPERATOR
    assert "cannot be asked: AF_UNIX path too long" in one_fault(capsys)


# A real daemon


@pytest.mark.parametrize("variable", ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"])
def test_a_run_answers_and_is_watched_to_its_end(
    variable: str,
    tmp_path: Path,
    tiny_bundle_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    watching: Callable[..., Watcher],
) -> None:
    for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    command = [COMMAND, "run", "--source", "demo", "--indicator", "none", "--config", os.devnull]
    daemon = subprocess.Popen(
        [*command, "--bundle", str(tiny_bundle_path)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=users_environment(),
    )
    try:
        while "the door shows" not in (line := daemon.stderr.readline()):
            assert line
        place = tmp_path / ("status.sock" if variable == "RUNTIME_DIRECTORY" else "maskwatch/status.sock")
        assert stat.S_IMODE(place.stat().st_mode) == 0o660
        answer = maskwatch("status", "--json")
        assert (answer.code, answer.err) == (0, "")
        status = read_status(answer.out.encode())
        assert (status.pid, status.camera_source, status.model) == (daemon.pid, "demo", "tiny 1.2.3")
        assert status.frames > 0
        watcher = watching("--json")
        assert read_status(watcher.line().encode()).pid == daemon.pid
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(LIMIT_S) == 0
        code, _, err = watcher.end()
        assert (code, err.count("\n")) == (4, 1)
        assert not place.exists()
        assert maskwatch("status").fault().startswith("not running: nobody answers at")
    finally:
        daemon.kill()
        daemon.communicate()
