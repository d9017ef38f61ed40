"""Installing over SSH, through an `ssh` that runs the other side's commands here."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from maskwatch.cli import main
from maskwatch.installer.wheel import Wheel

HOST = "pi@door-3.local"

SSH = """#!/bin/sh
terminal=no
while :; do
    case $1 in
        -o) echo "$2" >> "$STAGE/options.log"; shift 2;;
        -t) terminal=yes; shift;;
        -O) exit 0;;
        *) break;;
    esac
done
[ -e "$STAGE/unreachable" ] && exit 255
echo "$1 terminal=$terminal" >> "$STAGE/ssh.log"
shift
echo "Welcome to Debian"
cd "$STAGE/home"
TMPDIR="$STAGE/user's tmp" PATH="$STAGE/there:/usr/bin:/bin" exec sh -c "$*"
"""

SUDO = """#!/bin/sh
if [ "$1" = -n ]; then
    shift
    [ -e "$STAGE/password" ] && exit 1
fi
echo "sudo" >> "$STAGE/ssh.log"
exec "$@"
"""

PYTHON = """#!/bin/sh
case "$*" in *version_info*) [ ! -e "$STAGE/old" ]; exit;; esac
for word in "$@"; do echo "$word" >> "$STAGE/words.log"; done
ls "$(dirname "$5")" > "$STAGE/ls.log"
ls "$(dirname "$5")/wheels" >> "$STAGE/ls.log" 2>/dev/null
exit "$(cat "$STAGE/code")"
"""

ID = """#!/bin/sh
if [ "$1" = -u ] && [ ! -e "$STAGE/root" ]; then echo 1000; else exec /usr/bin/id "$@"; fi
"""


@dataclass
class OtherSide:
    """A machine behind the fake ssh: what happens there, and what happened."""

    stage: Path

    def mark(self, name: str, text: str = "") -> None:
        (self.stage / name).write_text(text)

    def lines(self, name: str) -> list[str]:
        path = self.stage / name
        return path.read_text().splitlines() if path.exists() else []

    @property
    def left(self) -> list[Path]:
        return list((self.stage / "user's tmp").iterdir())

    def program(self, folder: str, name: str, text: str) -> None:
        path = self.stage / folder / name
        path.write_text(text)
        path.chmod(0o755)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OtherSide:
    for name in ("here", "there", "home", "user's tmp"):
        (tmp_path / name).mkdir()
    side = OtherSide(tmp_path)
    side.program("here", "ssh", SSH)
    side.program("there", "sudo", SUDO)
    side.program("there", "python3", PYTHON)
    side.program("there", "id", ID)
    side.mark("code", "0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'here'}:/usr/bin:/bin")
    monkeypatch.setenv("STAGE", str(tmp_path))
    return side


def test_one_wheel_goes_over_and_installs_itself_as_root(there: OtherSide, wheel: Wheel) -> None:
    assert main(["install", "--dry-run", "--no-start", HOST]) == 0
    words = there.lines("words.log")
    assert words[:3] == ["-I", "-B", "-c"]
    assert words[5:8] == ["install", "--dry-run", "--no-start"]
    assert words[8] == "--from"
    assert words[9] == words[4]  # it installs the wheel that it runs from
    assert there.lines("ls.log") == [wheel.path.name]
    assert there.lines("ssh.log") == [f"{HOST} terminal=no", "sudo", f"{HOST} terminal=no", "sudo"]
    assert there.left == []


def test_a_terminal_is_there_only_where_sudo_asks(there: OtherSide) -> None:
    there.mark("password")
    assert main(["install", HOST]) == 0
    assert there.lines("ssh.log") == [f"{HOST} terminal=no", f"{HOST} terminal=yes", "sudo"]


def test_root_needs_no_sudo(there: OtherSide) -> None:
    there.mark("root")
    there.program("there", "id", "#!/bin/sh\necho 0\n")
    assert main(["install", HOST]) == 0
    assert "sudo" not in there.lines("ssh.log")


@pytest.mark.parametrize("code", [1, 3, 4, 70])
def test_the_other_sides_exit_code_is_passed_on_and_nothing_stays_there(there: OtherSide, code: int) -> None:
    there.mark("code", str(code))
    assert main(["uninstall", "--purge", HOST]) == code
    assert there.lines("words.log")[5:] == ["uninstall", "--purge"]
    assert there.left == []


def test_wheels_go_along(there: OtherSide, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/some-1.0-py3-none-any.whl").write_bytes(b"wheel")
    assert main(["install", "--wheels", str(tmp_path / "wheels"), HOST]) == 0
    assert there.lines("words.log")[-2] == "--wheels"
    assert "some-1.0-py3-none-any.whl" in there.lines("ls.log")


def test_a_host_out_of_reach_may_come_back_later(there: OtherSide, capfd: pytest.CaptureFixture[str]) -> None:
    there.mark("unreachable")
    assert main(["install", HOST]) == 4
    assert f"ssh cannot reach {HOST}" in capfd.readouterr().err


def test_an_old_system_is_refused_and_left_clean(there: OtherSide, capfd: pytest.CaptureFixture[str]) -> None:
    there.mark("old")
    assert main(["install", HOST]) == 3
    assert f"{HOST} has no Python 3.11 or later" in capfd.readouterr().err
    assert there.left == []
    assert there.lines("words.log") == []


def test_a_host_that_would_be_an_option_of_ssh_is_refused(there: OtherSide) -> None:
    assert main(["install", "--", "-oProxyCommand=touch x"]) == 3
    assert main(["install", "--root", "/", HOST]) == 3
    assert there.lines("ssh.log") == []


def test_a_missing_wheel_is_not_taken_for_a_missing_ssh(
    there: OtherSide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", "--from", str(tmp_path / "maskwatch-1.0-py3-none-any.whl"), HOST]) == 3
    assert "maskwatch-1.0-py3-none-any.whl is no file" in capfd.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert main(["install", HOST]) == 3
    assert "there is no ssh here" in capfd.readouterr().err
    assert there.lines("ssh.log") == []


def test_a_machine_that_dies_is_given_up_and_the_sockets_path_is_short(
    there: OtherSide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ("long" * 20)).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 20)))  # as on macOS
    assert main(["install", HOST]) == 0
    options = there.lines("options.log")
    for bound in ("ConnectTimeout=20", "ServerAliveInterval=15", "ServerAliveCountMax=4"):
        assert options.count(bound) == 3, bound  # upload, run, exit
    (socket,) = {option.partition("=")[2] for option in options if option.startswith("ControlPath=")}
    assert len(socket.replace("%C", "c" * 40) + ".sixteen-letters.") < 104


def test_no_file_of_the_logins_home_runs_as_root(there: OtherSide) -> None:
    """`python3 -c` begins its path with the folder it is in."""
    there.program("there", "python3", f'#!/bin/sh\nexec "{sys.executable}" -S "$@" > "$STAGE/out.log" 2>&1\n')
    there.mark("home/argparse.py", f"open({str(there.stage / 'ran')!r}, 'w')")
    main(["uninstall", "--dry-run", HOST])
    assert there.lines("out.log")[-1] == "nothing was changed"
    assert not (there.stage / "ran").exists()


@pytest.mark.skipif(not Path("/usr/bin/apt-get").exists(), reason="a dry run asks dpkg and apt of this machine")
def test_the_wheel_runs_as_a_program_of_a_bare_python(there: OtherSide) -> None:
    """All the way, with the standard library alone; whether this machine could have Maskwatch is its own affair."""
    there.program("there", "python3", f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@" > "$STAGE/out.log" 2>&1\n')
    script = "import sys; from maskwatch.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", script, "install", "--dry-run", "--no-start", HOST]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    said = (there.stage / "out.log").read_text()
    assert done.returncode in (0, 3), said
    assert "Traceback" not in said
    assert said.startswith(("system: as it is (", "maskwatch: "))
    assert there.left == []
