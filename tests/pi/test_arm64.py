"""Maskwatch on a Raspberry Pi's processor and systems: installed by its own installer, and what it then answers."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from debian_root import Debian, Root, fresh_root
from drawn import write_classification_set, write_detection_set
from installation import Steps, copy_clone, install, tflite_runtime, uninstall, wheels
from maskwatch.bundle import default_bundle_path, open_bundle
from maskwatch.cameras.portrait import load_portraits
from maskwatch.daemon import SHOWS
from maskwatch.errors import ExitCode
from maskwatch.images import write_image
from real_command import Answer, maskwatch

COMMAND = "/usr/local/bin/maskwatch"
FRAMES = 8
"""Of each portrait: enough votes for a label, and not too many for QEMU."""

QUICKLY = "[camera]\nframes_per_second = 2.0\n\n[tracker]\nwindow_frames = 3\n"
"""So that labels change, and lights' hold times are over, before the pictures are."""

pytestmark = [pytest.mark.pi, pytest.mark.timeout(900, func_only=True)]


@dataclass(frozen=True)
class Installed:
    """What the installer of a clone made of a copy of a system, and what it said."""

    root: Root
    clone: Path
    pristine: frozenset[str]
    steps: Steps

    def maskwatch(self, *words: str | Path) -> Answer:
        """Run `maskwatch WORDS…` on the Pi's system, in /srv."""
        done = self.root.run("env", "--chdir=/srv", COMMAND, *words)
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="class")
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    debian: Debian = request.cls.debian
    if reason := debian.lacks():
        pytest.skip(reason)
    with fresh_root(debian) as root:
        clone = copy_clone(tmp_path_factory.mktemp("clone"))
        pristine = frozenset(root.files())
        yield Installed(root, clone, pristine, install(root, clone, "--wheels", wheels(debian)))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, bare and masked, as PNG and as JPEG, and drawings of faces in both of Kaggle's layouts."""
    folder = tmp_path_factory.mktemp("arm64") / "pictures"
    write_detection_set(folder / "scenes", 4, seed=7)
    write_classification_set(folder / "crops", 4, seed=8)
    for name, portrait in zip(("bare", "masked"), load_portraits(), strict=True):
        write_image(folder / f"{name}.png", portrait)
        write_image(folder / f"{name}.jpg", portrait)
        write_image(folder / f"{name}-upside-down.png", np.ascontiguousarray(portrait[::-1, ::-1]))
    both = np.hstack(load_portraits())
    for name, people in (("two", both), ("two-mirrored", both[:, ::-1]), ("four", np.vstack((both, both)))):
        write_image(folder / f"{name}.png", np.ascontiguousarray(people))
    return folder


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody comes bare, then puts a mask on: as many pictures of each."""
    folder = tmp_path_factory.mktemp("arm64") / "visit"
    folder.mkdir()
    for number in range(2 * FRAMES):
        write_image(folder / f"{number:02d}.png", load_portraits()[number >= FRAMES])
    (folder / "config.toml").write_text(QUICKLY, encoding="utf-8")
    return folder


def copy_in(installed: Installed, folder: Path) -> None:
    shutil.copytree(folder, installed.root.path / "srv" / folder.name)


def shown(answer: Answer) -> list[str]:
    """What the door showed, one after the other, by its log."""
    return [line.partition(SHOWS)[2] for line in answer.err.splitlines() if SHOWS in line]


class OnArm64:
    """Each system runs these in a process of its own, where there are several."""

    debian: ClassVar[Debian]

    def test_the_installer_comes_to_its_end(self, installed: Installed) -> None:
        assert installed.steps.code == 0, str(installed.steps)
        assert "Traceback" not in installed.steps.err
        print(installed.steps)
        enabled = installed.root.run("systemctl", "is-enabled", "maskwatch.service")
        assert enabled.stdout == "enabled\n", enabled.stderr
        version = installed.maskwatch("--version")
        assert version.out.startswith("maskwatch "), version

    def test_a_second_run_finds_all_as_it_is(self, installed: Installed) -> None:
        before = installed.root.files()
        again = install(installed.root, installed.clone, "--wheels", wheels(installed.root.debian))
        assert again.code == 0, str(again)
        *steps, last = again.lines
        assert len(steps) > 10
        assert [line for line in steps if "as it is" not in line] == []
        assert last == "nothing was to do"
        assert installed.root.files() == before

    def test_the_golden_vectors_are_answered_bit_for_bit(self, installed: Installed) -> None:
        answer = installed.maskwatch("bundle", "verify", "--json")
        assert answer.code == 0, answer
        signature, *checks = json.loads(answer.out)["checks"]
        assert (signature["name"], signature["ok"]) == ("signature", None), "the built-in bundle needs none"
        assert [check for check in checks if check["ok"] is not True] == []
        vectors = [check for check in checks if check["detail"].startswith("golden vector ")]
        assert len(vectors) == len(open_bundle(default_bundle_path()).manifest.golden) > 0

    def test_pictures_have_the_same_boxes_as_on_a_workstation(self, installed: Installed, pictures: Path) -> None:
        copy_in(installed, pictures)
        words = ("detect", "--json", pictures.name)
        here, there = maskwatch(*words, cwd=pictures.parent), installed.maskwatch(*words)
        assert (here.code, there.code) == (0, 0), here.err + there.err
        assert sum(len(json.loads(line)["faces"]) for line in here.lines) > len(here.lines)
        assert there.lines == here.lines

    def test_the_door_shows_the_same_as_on_a_workstation(self, installed: Installed, visit: Path) -> None:
        copy_in(installed, visit)
        words = (
            "run",
            "--source",
            f"./{visit.name}",
            "--indicator",
            "console",
            "--config",
            visit.name + "/config.toml",
        )
        here, there = maskwatch(*words, cwd=visit.parent), installed.maskwatch(*words)
        assert (here.code, there.code) == (0, 0), here.err + there.err
        assert [line.split(":")[0] for line in shown(here)] == ["unsure", "unmasked", "all_masked"]
        assert shown(there) == shown(here)

    def test_the_doctor_examines_this_system(self, installed: Installed) -> None:
        answer = installed.maskwatch("doctor", "--json")
        findings = {finding["check"]: finding for finding in map(json.loads, answer.lines)}
        assert answer.code == 1, answer  # there is no camera
        assert findings["camera"]["status"] == "failed"
        for check in ("settings", "runtime", "bundle", "xnnpack", "golden_vectors", "disk"):
            assert findings[check]["status"] == "ok", findings[check]

    def test_another_runtime_that_would_answer_differently_is_refused(self, installed: Installed) -> None:
        """tflite-runtime 2.14 gives XNNPACK float networks alone, on arm64 too: its int8 answers are some steps off."""
        if self.debian.release != "bookworm":
            pytest.skip("there is no tflite-runtime for this Python")
        (packages,) = installed.root.path.glob("opt/maskwatch/venvs/*/lib/python3.11/site-packages")
        litert, aside = packages / "ai_edge_litert", packages / "litert-aside"
        litert.rename(aside)
        with zipfile.ZipFile(tflite_runtime()) as archive:
            archive.extractall(packages)
        try:
            answer = installed.maskwatch("bundle", "verify")
        finally:
            for path in packages.glob("tflite_runtime*"):
                shutil.rmtree(path)
            aside.rename(litert)
        assert answer.code == ExitCode.OPERATOR
        assert answer.fault().startswith("tflite_runtime runs this model without XNNPACK")

    def test_uninstall_leaves_nothing(self, installed: Installed) -> None:
        for folder in ("pictures", "visit"):
            shutil.rmtree(installed.root.path / "srv" / folder, ignore_errors=True)
        done = uninstall(installed.root, installed.clone, "--purge")
        assert done.code == 0, str(done)
        assert installed.root.left_over(installed.pristine) == []
        accounts = [(installed.root.path / "etc" / name).read_text(encoding="utf-8") for name in ("passwd", "group")]
        assert not any("maskwatch" in text for text in accounts)


class TestBookworm(OnArm64):
    debian = Debian("bookworm", "arm64")


class TestTrixie(OnArm64):
    debian = Debian("trixie", "arm64")
