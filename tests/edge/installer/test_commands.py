"""Real programs, and what is said of those that fail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from maskwatch.installer.commands import MISSING, TOO_LONG, Completed, fault_of, run_program

HERE = Path("/")


def test_a_program_answers_and_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/the/clone")
    script = "echo answer; echo aside >&2; echo ${PYTHONPATH-none}; exit 7"
    assert run_program(["sh", "-c", script], HERE, 60, ask=True) == Completed(7, "answer\nnone\n")
    assert run_program(["sh", "-c", script], HERE, 60, ask=False).said.splitlines() == ["answer", "aside", "none"]


def test_a_program_that_is_missing_or_hangs_is_an_answer_too() -> None:
    assert run_program(["no-such-program"], HERE, 60, ask=False).code == MISSING
    assert run_program(["sleep", "60"], HERE, 0.1, ask=False).code == TOO_LONG


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the root")
def test_another_root_is_entered_and_nothing_stays_mounted_there(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    done = run_program(["/bin/true"], tmp_path, 60, ask=False)
    assert done.code == MISSING  # there is none in it
    assert not (tmp_path / "proc/self").exists()


def test_a_fault_is_one_line_with_the_complaints_or_else_the_last_lines() -> None:
    said = "Reading package lists...\nE: one\nnoise\nE: two\nnoise\n"
    assert (
        str(fault_of(["apt-get", "install"], Completed(100, "", said))) == "`apt-get install` failed: E: one | E: two"
    )
    assert str(fault_of(["x"], Completed(1, "", "a\nb\nc\nd\n"))) == "`x` failed: b | c | d"
    assert str(fault_of(["x"], Completed(9, "", ""))) == "`x` failed: exit code 9"
