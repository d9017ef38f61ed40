"""`make soak` in a few seconds: a real daemon with tiny networks passes, and each thing that may go wrong fails it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soak
import soak_run
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.errors import ExitCode
from soak_camera import read_film
from soak_figures import FIFTHS, Outage, Plan, Result, Sample, faults_of, growth, record, table
from soak_parts import HERE, film, take_sample
from soak_plot import plot

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module", autouse=True)
def _short_film(tmp_path_factory: pytest.TempPathFactory) -> object:
    """The whole film takes seconds to draw; its beginning will do."""
    pictures = list(itertools.islice(film(), 4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("soak_parts.film", lambda: iter(pictures))
        yield


@pytest.fixture
def run(tmp_path: Path, tiny_bundle_path: Path) -> object:
    """Soak for a second before a door of one's own making: the real one, changed by a few lines."""

    def soaked(change: str = "", *words: str) -> int:
        door = tmp_path / "door.py"
        lines = (
            f"import sys\nsys.path.insert(0, {str(HERE)!r})\nimport soak_door\n{change}\nsys.exit(soak_door.main())\n"
        )
        door.write_text(lines, encoding="utf-8")
        fixed = ("--minutes", "0.02", "--bundle", str(tiny_bundle_path), "--out", str(tmp_path / "out"))
        return soak.main([*fixed, *(words or ("--kills", "0"))], door=door)

    return soaked


AT_EACH_FRAME = """
def judged(self, verdict, judged=soak_door.CountingObserver.judged):
    {}
    judged(self, verdict)
soak_door.CountingObserver.judged = judged
"""


# Whole soaks


def test_a_daemon_at_work_passes_and_its_camera_comes_back(
    run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A growth that half an hour may have, two seconds on a busy machine may not: they are all warm-up.
    assert (
        run("", "--kills", "2", "--work-seconds", "0.1", "--fps", "30", "--most-growth-mb", "100", "--json")
        == ExitCode.DONE
    )
    answer = json.loads(capsys.readouterr().out)
    assert (answer["passed"], answer["faults"], answer["kills"]) == (True, [], 2)
    assert answer["frames"] > 0 < answer["watchdog_feeds"]
    assert answer["bundle"] == "tiny 1.2.3"
    for outage in answer["outages"]:
        assert outage["killed_s"] <= outage["missed_s"] < outage["seen_s"]
        assert outage["killed_s"] <= outage["returned_s"] < outage["seen_s"]
    assert len(answer["recovery_seconds"]) == 2
    assert answer["growth"]["resident_bytes"]["last_fifth"] > 10e6
    assert (tmp_path / "out" / "soak.png").read_bytes().startswith(PNG)
    log = (tmp_path / "out" / "daemon.log").read_text(encoding="utf-8")
    assert "watching v4l2:0 with tiny 1.2.3" in log
    assert "Traceback" not in log
    frames = re.search(r"stopped after (\d+) frames", log)
    assert frames is not None
    assert int(frames[1]) == answer["frames"]


@pytest.mark.parametrize(
    ("change", "words", "fault"),
    [
        (AT_EACH_FRAME.format("kept.append(b'x' * 2_000_000)") + "kept = []", (), r"resident memory grew by \d+\.\d+"),
        (AT_EACH_FRAME.format("kept.append(open('/dev/null'))") + "kept = []", (), r"open files grew by \d+"),
        (
            AT_EACH_FRAME.format("threading.Thread(target=threading.Event().wait, daemon=True).start()")
            + "import threading",
            (),
            r"threads grew by \d+",
        ),
        (
            "from maskwatch import service\nservice._is_over = lambda pause_s, since_s, now_s: since_s is None",
            ("--kills", "0", "--watchdog-seconds", "0.5"),
            r"a watchdog deadline was missed: not fed for \d+\.\d s",
        ),
        (
            AT_EACH_FRAME.format("time.sleep(600 if self._frames > 5 else 0)") + "import time",
            ("--kills", "0", "--watchdog-seconds", "0.5"),
            r"a watchdog deadline was missed",
        ),
        (
            AT_EACH_FRAME.format("1 / (self._frames < 5)"),
            (),
            r"the daemon ended by itself, exit code 70: internal error \(ZeroDivisionError",
        ),
        (
            AT_EACH_FRAME.format("soak_door.Path.exists = lambda path, **_: path.name != 'camera'"),
            ("--kills", "1"),
            r"the camera's return was not noticed for 5 s",
        ),
        (
            "soak_door.CountingObserver.lost_camera = lambda self, reason: None",
            ("--kills", "1"),
            r"the camera's death was not noticed for 5 s",
        ),
        (
            AT_EACH_FRAME.format("self._frames == 5 and self.lost_camera('a false alarm')"),
            (),
            r"the camera was lost though nobody had killed it: STATUS=no_camera: a false alarm",
        ),
        (
            "import os\nsoak_door.CountingObserver.stopping = lambda self: os._exit(3)",
            (),
            r"the daemon stopped with exit code 3",
        ),
    ],
    ids=[
        "memory", "files", "threads", "watchdog", "stuck", "crash", "return", "death", "false alarm", "bad end",
    ],
)  # fmt: skip
def test_what_goes_wrong_fails_it(
    run,
    change: str,
    words: tuple[str, ...],
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(soak_run, "RECOVERY_LIMIT_SECONDS", 5.0)  # of a busy machine
    assert run(change, *words) == ExitCode.FINDING
    *_, verdict = capsys.readouterr().out.splitlines()
    assert verdict.startswith("failed: ")
    assert re.search(fault, verdict), verdict


def test_a_daemon_that_does_not_start_is_one_line(run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("print('maskwatch: no bundle', file=sys.stderr); sys.exit(3)") == ExitCode.FINDING
    out, err = capsys.readouterr()
    assert (out, err) == ("", "maskwatch: the daemon gave no verdict: no bundle\n\n"[:-1])


def test_a_folder_that_cannot_be_made_is_the_operators(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert soak.main(["--out", str(tmp_path / "file" / "out")]) == ExitCode.OPERATOR
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("words", [("--minutes", "0"), ("--minutes", "nan"), ("--kills", "-1"), ("--fps", "0")])
def test_wrong_usage_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        soak.main(words)
    assert caught.value.code == ExitCode.USAGE


# Figures


@given(st.integers(FIFTHS, 300), st.floats(-100, 100), st.floats(0, 10))
def test_a_steady_rise_grows_by_three_fifths_of_it_and_a_level_by_nothing(
    count: int, level: float, rise: float
) -> None:
    assert growth([level] * count).by == 0
    risen = growth([level + rise * index for index in range(count)])
    assert risen.by == pytest.approx(rise * count * 3 / 5, abs=rise + 1e-6)


def test_warm_up_and_outliers_do_not_count() -> None:
    calm = [7.0] * 80
    assert growth([0.0] * 20 + calm).by == 0
    calm[5] = calm[-5] = 900.0
    assert growth([0.0] * 20 + calm).by == 0


PLAN = Plan(Path("a.maskwatch"), 100.0, 60.0, 2, 31.0, 20.0)


def result(growth_bytes: int = 0, **changes: object) -> Result:
    samples = [Sample(float(at_s), 90_000_000, 80_000_000, 60_000_000, 9, 8, 40 * at_s) for at_s in range(100)]
    samples[80:] = [dataclasses.replace(sample, resident_bytes=90_000_000 + growth_bytes) for sample in samples[80:]]
    whole: dict[str, object] = {
        "samples": samples,
        "outages": [Outage(33.0, 33.25, 33.5, 34.0), Outage(66.0, 66.25, 67.0, 70.0)],
        "feeds_s": [0.0, 5.0, 11.0],
        "frames": 4000,
        "seconds": 100.0,
        "longest_pause_seconds": 0.25,
    }
    return Result(**(whole | changes))


@pytest.mark.parametrize(
    ("found", "faults"),
    [
        (result(), []),
        (result(999_999), []),
        (result(-5_000_000), []),
        (result(1_000_000), ["resident memory grew by 1.00 MB, must be less than 1 MB"]),
        (result(frames=0), ["no frame was counted"]),
        (result(outages=[]), ["the camera was back 0 times, must be 2"]),
        (result(faults=["it caught fire"], samples=[]), ["it caught fire"]),
    ],
)
def test_the_verdict(found: Result, faults: list[str]) -> None:
    assert list(faults_of(PLAN, found, 1.0)) == faults


def test_the_table_says_it_all() -> None:
    lines = list(table(PLAN, result(400_000), "masknet 1.0.0", []))
    assert lines[0].startswith("masknet 1.0.0, 1.7 minutes, a camera of 60 frames a second, ")
    rows = {line[:32].strip(): line[32:].split() for line in lines[2:-1]}
    assert rows["resident memory, MB"] == ["90.00", "90.40", "+0.40"]
    assert rows["threads"] == ["8", "8", "+0"]
    assert rows["frames judged a second"] == ["40.0", "40.0", "+0.0"]
    assert rows["longest time between two"] == ["6.00", "s", "of", "20", "s"]
    assert rows["camera killed and back"] == ["2", "times", "of", "2"]
    assert rows["shown as lost"] == ["0.25", "s,", "at", "most", "0.25", "s"]
    assert rows["back after its return"] == ["1.75", "s,", "at", "most", "3.00", "s"]
    assert lines[-1] == "passed"
    assert list(table(PLAN, result(), "x", ["a", "b"]))[-1] == "failed: a; b"


def test_the_record_is_json() -> None:
    answer = json.loads(json.dumps(record(PLAN, result(400_000), "masknet 1.0.0", [])))
    assert answer["growth"]["resident_bytes"] == {"second_fifth": 90e6, "last_fifth": 90.4e6, "by": 4e5}
    assert answer["recovery_seconds"] == [0.5, 3.0]
    assert "samples" in answer


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    assert not plot(PLAN, Result(), "x", tmp_path / "soak.png")
    assert plot(PLAN, result(), "x", tmp_path / "soak.png")


# Parts


def test_a_sample_is_of_the_process_asked_about() -> None:
    before = take_sample(os.getpid(), 1.0, 2)
    kept = b"x" * 50_000_000
    files = [open(os.devnull) for _ in range(3)]  # noqa: SIM115
    after = take_sample(os.getpid(), 1.0, 2)
    for file in files:
        file.close()
    assert before is not None
    assert after is not None
    assert after.descriptors - before.descriptors == 3
    assert after.resident_bytes - before.resident_bytes > 0.9 * len(kept)
    assert after.private_bytes - before.private_bytes > 0.9 * len(kept)


def test_a_process_that_has_ended_gives_no_sample() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # and is still in the table of processes
    assert take_sample(ended.pid, 1.0, 2) is None
    ended.wait()


def test_the_film_is_read_as_it_was_written(tmp_path: Path) -> None:
    pictures = [b"\0\0\0\3abc", b"\0\0\0\0", b"\0\0\0\1z"]
    path = tmp_path / "film"
    path.write_bytes(b"".join(pictures))
    assert read_film(path) == pictures


def test_the_camera_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    """A soak that was killed left its processes at work, at full speed."""
    (tmp_path / "film").write_bytes(b"\0\0\0\0")
    words = [sys.executable, str(HERE / "soak_camera.py"), str(tmp_path / "camera"), str(tmp_path / "film"), "10"]
    script = f"import subprocess, time\nprint(subprocess.Popen({words!r}).pid, flush=True)\ntime.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, open(f"/proc/{int(parent.stdout.readline())}/status") as status:
        while not (tmp_path / "camera").exists():
            pass
        parent.send_signal(signal.SIGKILL)
        try:
            while "State:\tZ" not in status.read():
                status.seek(0)
        except ProcessLookupError:
            pass
