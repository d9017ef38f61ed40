"""Root does not touch what others may write to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
LIMIT_S = 60

ACT = """
import os, sys
from maskwatch import privileges
from maskwatch.errors import OperatorError
privileges.USER = sys.argv[1]
privileges._program = lambda: sys.argv[2:3]
try:
    privileges.become_service_user()
except OperatorError as error:
    print(error)
else:
    print(*os.getresuid(), *os.getresgid(), *os.getgroups())
"""


def ids_of(user: str, program: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ACT, user, program],
        capture_output=True, text=True, timeout=LIMIT_S, check=True, extra_groups=[0] if os.geteuid() == 0 else None,
    )  # fmt: skip
    return done.stdout.strip()


READABLE = Path("/etc/passwd")
"""By all; it stands for a program, which may lie where they may not look."""


@as_root
def test_root_becomes_the_user_for_good_and_in_no_group_of_its_own() -> None:
    import pwd

    nobody = pwd.getpwnam("nobody")
    found = list(map(int, ids_of("nobody", READABLE).split()))
    assert found[:6] == [nobody.pw_uid] * 3 + [nobody.pw_gid] * 3
    assert 0 not in found[6:]


@as_root
def test_a_program_that_the_user_cannot_read_says_which_one_to_run(tmp_path: Path) -> None:
    program = tmp_path / "privileges.py"
    program.touch(mode=0o600)
    words = f"the user nobody cannot read {program}, of this copy of Maskwatch: run /usr/local/bin/maskwatch"
    assert ids_of("nobody", program) == words


def test_without_such_a_user_all_stays_as_it_is(tmp_path: Path) -> None:
    assert ids_of("no-such-user-of-ours", tmp_path).split()[0] == str(os.getuid())
