"""A fresh Pi has Python and nothing else: no numpy, no OpenCV, nothing from PyPI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import CLONE

LIMIT_S = 60

SCRIPT = """
import sys
from pathlib import Path
clone, root = map(Path, sys.argv[1:])
sys.path[:0] = [str(clone / "edge"), str(clone / "tests/edge/installer")]
from maskwatch import cli
import maskwatch.verbs.uninstall as verbs
from fake_pi import FakePi

pi = FakePi(root)
verbs.chosen_system = lambda args: pi.system(dry=args.dry_run)
import os
os.geteuid = lambda: 0
assert cli.main(["install", "--from", str(clone)]) == 0
assert cli.main(["uninstall", "--purge"]) == 0
names = {name.partition(".")[0] for name in sys.modules}
print(sorted(names - sys.stdlib_module_names - {"maskwatch", "fake_pi", "__main__"}), file=sys.stderr)
"""


def test_install_and_uninstall_need_nothing_but_the_standard_library(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", SCRIPT, CLONE, tmp_path / "pi"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stderr == "[]\n"
    assert done.stdout.startswith("installed\nnext: ")
    assert done.stdout.endswith("\nuninstalled\n")


def test_the_version_is_no_fault_where_nothing_is_installed() -> None:
    script = "import sys; sys.path.insert(0, sys.argv.pop(1)); from maskwatch.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, CLONE / "edge", "install", "--help"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "maskwatch install pi@door-3.local" in done.stdout
