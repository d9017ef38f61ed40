"""`maskwatch preview` from the outside: real processes, real signals, real HTTP; and a service that has the camera."""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from maskwatch.cameras.fake import FakeCamera, noise_picture
from maskwatch.cli import main
from maskwatch.door import Parts
from maskwatch.errors import CameraError, ExitCode
from maskwatch.types import Frame
from maskwatch.verbs import preview as verb
from real_command import COMMAND, maskwatch, users_environment
from recorded_pi import NOT_FOUND, RUNNING

LIMIT_S = 60.0


class Child:
    """A running preview; its lines on stdout are read as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_for(self, pattern: str) -> re.Match[str]:
        while True:
            line = self._queue.get(timeout=LIMIT_S)
            assert line is not None, f"it ended without {pattern!r}: {self.lines}"
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found

    def end(self) -> tuple[int, str]:
        """Exit code and stderr."""
        code = self.process.wait(LIMIT_S)
        while (line := self._queue.get(timeout=LIMIT_S)) is not None:
            self.lines.append(line)
        assert self.process.stderr is not None
        return code, self.process.stderr.read()


@contextmanager
def preview(*words: str | Path, env: dict[str, str] | None = None) -> Iterator[Child]:
    process = subprocess.Popen(
        [str(COMMAND), "preview", "--config", os.devnull, *map(str, words)],
        env=users_environment() | (env or {}), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Child(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_look_at_the_demo_until_a_signal(number: signal.Signals, tiny_bundle_path: Path) -> None:
    env = {"SSH_CONNECTION": "192.168.1.9 50000 192.168.1.20 2222", "SUDO_USER": "ada"}
    with preview("--source", "demo", "--bundle", tiny_bundle_path, "--port", "0", env=env) as child:
        url = child.wait_for(r"^open in a browser: http://127\.0\.0\.1:(\d+)(/[\w-]{20,}/)$")
        port, path = url.groups()
        child.wait_for(rf"ssh -L {port}:127\.0\.0\.1:{port} -p 2222 ada@192\.168\.1\.20$")
        child.wait_for(r"^stops by itself after 10 min, at \d\d:\d\d:\d\d, or by Ctrl-C; nothing is stored$")
        child.wait_for(r"^(10:00|9:\d\d) left \| .* fps \| light \d+/255 \| ")
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=LIMIT_S)
        connection.request("GET", f"{path}picture")
        picture = connection.getresponse().read()
        connection.request("GET", f"{path}figures")
        figures = json.loads(connection.getresponse().read())
        connection.request("GET", "/wrong/figures")
        assert connection.getresponse().status == 403
        child.process.send_signal(number)
        code, err = child.end()
    assert picture.startswith(b"\xff\xd8")
    assert (figures["source"], figures["model"], figures["sight"]["width"]) == ("demo", "tiny 1.2.3", 640)
    assert 0 < figures["seconds_left"] <= 600
    assert (code, err) == (ExitCode.DONE, "")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)), timeout=LIMIT_S)


def test_text_alone_opens_no_port_and_stops_by_itself(tiny_bundle_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    script = (
        "import socket, sys\n"
        "def refuse(event, arguments):\n"
        "    if event == 'socket.bind': raise AssertionError('a port was opened')\n"
        "sys.addaudithook(refuse)\n"
        "from maskwatch.cli import main\nsys.exit(main())\n"
    )
    words = ("preview", "--text", "--source", "demo", "--minutes", "0.03", "--config", os.devnull)
    done = subprocess.run(
        [sys.executable, "-c", script, *words, "--bundle", str(tiny_bundle_path)], cwd=folder, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (ExitCode.DONE, "")
    first, *others, last = done.stdout.splitlines()
    assert first.startswith("stops by itself after 0.03 min, at ")
    assert others
    assert last == "the time is over"
    assert all(re.match(r"0:0[0-2] left \| ", line) for line in others)
    assert os.listdir(folder) == []


def test_the_settings_file_names_the_source(tiny_bundle_path: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[camera]\nsource = "{tmp_path}/absent.png"\n[model]\nbundle = "{tiny_bundle_path}"\n')
    answer = maskwatch("preview", "--text", "--config", config)
    assert answer.code == ExitCode.OPERATOR
    assert answer.fault() == f"{tmp_path}/absent.png is not there: check the name of the picture, video or folder"


def test_a_taken_port_is_one_line(tiny_bundle_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = maskwatch("preview", "--source", "demo", "--bundle", tiny_bundle_path, "--port", str(port))
    assert (answer.code, answer.out) == (ExitCode.OPERATOR, "")
    assert answer.fault().startswith(f"port {port} is taken: name another one, such as --port ")


@pytest.mark.parametrize(
    "words",
    [
        *(("--minutes", minutes) for minutes in ("0", "-1", "nan", "inf", "1441", "x")),
        *(("--port", port) for port in ("-1", "65536", "x")),
        ("--indicator", "console"),
    ],
)
def test_wrong_usage_exits_2(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["preview", *words])
    assert caught.value.code == ExitCode.USAGE
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_goes_away_ends_it(tiny_bundle_path: Path) -> None:
    command = f"{COMMAND} preview --text --source demo --bundle {tiny_bundle_path} --config {os.devnull} | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert (done.returncode, done.stderr) == (ExitCode.DONE, "")


# A service that has the camera


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """systemctl, systemd-run and sudo that note how they are called; the service runs. Returns the notes."""
    folder, notes = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    (folder / "state").write_text(RUNNING)
    programs = {
        "systemctl": f'[ "$1" = show ] && exec cat "{folder}/state"\necho systemctl "$@" >> "{notes}"',
        "systemd-run": f'echo systemd-run "$@" >> "{notes}"',
        "sudo": '[ "$1" = -n ] && shift\nexec "$@"',
    }
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    notes.touch()
    return notes


class Busy(FakeCamera):
    def open(self) -> None:
        raise CameraError("/dev/video0 cannot be opened: another program may hold it")


def looking_through(monkeypatch: pytest.MonkeyPatch, camera: FakeCamera) -> None:
    monkeypatch.setattr(verb, "_parts", lambda: Parts(camera=lambda settings: camera))


def words(bundle: Path, *more: str) -> list[str]:
    return ["preview", "--text", "--source", "v4l2:0", "--config", os.devnull, "--bundle", str(bundle), *more]


def test_a_camera_that_the_service_has_is_told_with_what_to_do(
    systemd: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    looking_through(monkeypatch, Busy([]))
    assert main(words(tiny_bundle_path)) == ExitCode.OPERATOR
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "`sudo systemctl stop maskwatch` and start it afterwards, or let --pause-service do both" in err
    assert systemd.read_text() == ""


def test_a_busy_camera_without_a_service_is_the_cameras_own_fault(
    systemd: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (systemd.parent / "bin" / "state").write_text(NOT_FOUND)
    looking_through(monkeypatch, Busy([]))
    assert main(words(tiny_bundle_path)) == ExitCode.TRY_AGAIN
    assert capsys.readouterr().err == "maskwatch: /dev/video0 cannot be opened: another program may hold it\n"


class Signalled(FakeCamera):
    """Shows some pictures, and then a signal comes; twice, as of somebody in a hurry."""

    live = True

    def __init__(self, number: signal.Signals, notes: Path) -> None:
        super().__init__([])
        self._number, self._notes = number, notes
        self._reads = 0
        self.notes_at_work = ""

    def read(self, timeout_s: float) -> Frame | None:
        self._reads += 1
        if self._reads >= 3:
            self.notes_at_work = self._notes.read_text()
            os.kill(os.getpid(), self._number)
            os.kill(os.getpid(), self._number)
        if self._reads > 3:
            self._closed.wait(0.05)
            raise CameraError("silent")
        return Frame(noise_picture(self._reads), float(self._reads), self._reads)


DISARM = "systemctl stop maskwatch-resume.timer"
STOPPED = [
    DISARM,
    "systemd-run --quiet --collect --unit=maskwatch-resume --on-active=660"
    " systemctl start --no-block maskwatch.service",
    "systemctl stop maskwatch.service",
]
STARTED = ["systemctl start --no-block maskwatch.service", DISARM]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_paused_service_is_started_again_after_a_signal(
    number: signal.Signals, systemd: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    camera = Signalled(number, systemd)
    looking_through(monkeypatch, camera)
    before = signal.getsignal(number)
    assert main(words(tiny_bundle_path, "--pause-service")) == ExitCode.DONE
    assert camera.notes_at_work.splitlines() == STOPPED
    assert systemd.read_text().splitlines() == STOPPED + STARTED
    assert camera.calls[-1] == "close"
    assert signal.getsignal(number) == before
    assert "the service pauses" in capsys.readouterr().out


def test_a_paused_service_is_started_again_after_a_fault(
    systemd: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(FakeCamera):
        def read(self, timeout_s: float) -> Frame | None:
            raise ZeroDivisionError("a bug")

    looking_through(monkeypatch, Broken([]))
    assert main(words(tiny_bundle_path, "--pause-service")) == ExitCode.BUG
    assert systemd.read_text().splitlines() == STOPPED + STARTED
    assert "Traceback" not in capsys.readouterr().err


def test_a_service_that_does_not_run_is_neither_stopped_nor_started(
    systemd: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (systemd.parent / "bin" / "state").write_text(NOT_FOUND)
    looking_through(monkeypatch, Signalled(signal.SIGTERM, systemd))
    assert main(words(tiny_bundle_path, "--pause-service")) == ExitCode.DONE
    assert systemd.read_text() == ""
    assert "there is nothing to pause" in capsys.readouterr().out


def test_a_fault_before_the_camera_leaves_the_service_alone(systemd: Path, tmp_path: Path) -> None:
    assert main(words(tmp_path / "absent.maskwatch", "--pause-service")) == ExitCode.OPERATOR
    assert systemd.read_text() == ""
