"""A Raspberry Pi that is a folder: the programs that the installer calls do there what the real ones would, roughly."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from maskwatch.installer import trial
from maskwatch.installer.commands import Completed
from maskwatch.installer.places import CONFIG, ENABLED, FLASH_HOME, FLASH_USER, UNIT, USER, VENV
from maskwatch.installer.system import System

DEBIAN = frozenset({"ca-certificates", "python3-venv", "python3-numpy", "python3-lgpio"})
RASPBERRY_PI_OS = DEBIAN | {"python3-picamera2"}

USER_ID = 990
"""The service's user; what whoever runs the tests owns counts as its own."""


_numbers = itertools.count(1)


class PowerCutError(BaseException):
    """The lights go out. Nothing may catch it."""


@dataclass
class FakePi:
    """Bookworm by default. `fails` holds what a program says instead of working, by how its command begins."""

    root: Path
    python: str = "3.11"
    numpy: str = "1.24.2"
    systemd: str = "252.39-1~deb12u2"
    architecture: str = "arm64"
    known: frozenset[str] = RASPBERRY_PI_OS
    status: str = "nobody"
    becomes: str = "active"
    sub_state: str = ""
    fails: dict[str, Completed] = field(default_factory=dict)
    commands: list[tuple[str, ...]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    packages: set[str] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=lambda: {"ActiveState": "inactive", "MainPID": "0"})
    coming: dict[str, str] = field(default_factory=dict)
    read_unit: str | None = None
    """The unit as systemd last read it."""
    has_lists: bool = False
    userdel_takes_group: bool = True
    power: Callable[[], None] = lambda: None
    """Called before each change."""

    def __post_init__(self) -> None:
        """A fresh system."""
        for folder in (
            "usr/bin",
            "usr/lib/systemd",
            "usr/local/bin",
            "etc/systemd/system",
            "opt",
            "proc",
            "run",
            "var/lib",
        ):
            (self.root / folder).mkdir(parents=True)
        for name in ("apt-get", "python3.11", "python3.12", "python3.13"):
            (self.root / "usr/bin" / name).touch()
        (self.root / "usr/bin/python3").symlink_to(f"python{self.python}")
        (self.root / "usr/lib/systemd/systemd").touch()
        self.put("etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n')
        self.put("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
        self.put("etc/group", "root:x:0:\nvideo:x:44:pi\ngpio:x:997:pi\n")

    def put(self, name: str, text: str) -> None:
        (self.root / name).write_text(text, encoding="utf-8")

    def text(self, name: str) -> str:
        return (self.root / name.lstrip("/")).read_text(encoding="utf-8")

    def system(self, *, dry: bool = False, live: bool = True) -> System:
        self.said.clear()
        self.commands.clear()
        return PoweredSystem(self.root, live, dry, self.said.append, self, pi=self)

    def tree(self) -> dict[str, str]:
        """Every path, and what is there: content, target or mode."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_symlink():
                found[name] = f"-> {os.readlink(path)}"
            elif path.is_file():
                found[name] = f"{path.stat().st_mode & 0o777:o} {path.read_bytes()!r}"
            else:
                found[name] = f"{path.stat().st_mode & 0o777:o}/"
        return found

    # The programs

    def __call__(self, words: Sequence[str], root: Path, limit_s: float, *, ask: bool) -> Completed:
        assert root == self.root
        line = " ".join(words)
        if not ask:
            self.power()
            self.commands.append(tuple(words))
        for start, completed in self.fails.items():
            if line.startswith(start):
                return completed
        program, *rest = words
        if program.startswith("/opt/"):
            return self._in_environment(program, rest)
        name = Path(program).name.replace("-", "_")
        answer = getattr(self, f"_{name}")(*rest)
        return answer if isinstance(answer, Completed) else Completed(0, answer or "")

    def _dpkg(self, *words: str) -> str:
        return self.architecture if words == ("--print-architecture",) else ""

    def _dpkg_query(self, *words: str) -> str:
        if words[-1] == "systemd":
            return self.systemd
        return "".join(f"{name} installed\n" for name in sorted(self.packages)) + "vim config-files\n"

    def _apt_cache(self, verb: str, *names: str) -> str:
        known = self.known if self.has_lists else frozenset[str]()
        return "".join(f"{name}:\n  Installed: (none)\n  Candidate: 1.0-1\n" for name in names if name in known)

    def _apt_get(self, verb: str, *words: str) -> Completed:
        if verb == "update":
            self.has_lists = True
            return Completed(0, "")
        names = {word for word in words if word.startswith("python3-") or word == "ca-certificates"}
        if not names <= self.known:
            return Completed(100, "", f"E: Unable to locate package {min(names - self.known)}")
        self.packages |= names
        return Completed(0, "")

    def _python3(self, *words: str) -> Completed:
        if words[:2] == ("-m", "venv"):
            folder = self.root / words[-1].lstrip("/")
            (folder / "bin").mkdir(parents=True)
            (folder / "bin/python3").symlink_to("/usr/bin/python3")
            return Completed(0, "")
        if "numpy" in words[-1]:
            return Completed(0, f"{self.numpy}\n") if "python3-numpy" in self.packages else Completed(1, "")
        assert "lgpio" in words[-1]
        return Completed(0 if "python3-lgpio" in self.packages else 1, "")

    def _in_environment(self, program: str, words: Sequence[str]) -> Completed:
        folder = Path(program).parents[1]
        if "pip" in words and words[-1].endswith(".whl"):
            (self.root / str(folder)[1:] / "bin/maskwatch").write_text(f"#!{folder}/bin/python3\n")
        elif words[-1] == CONFIG:
            try:
                trial.main([str(self.root / CONFIG[1:])])
            except SystemExit as ended:
                return Completed(1, "", str(ended.code))
        elif "pip" not in words:  # a trial
            assert (self.root / str(folder)[1:] / "bin/maskwatch").exists()
        return Completed(0, "")

    def _systemd_sysusers(self, file: str) -> None:
        for user, number, home in ((USER, USER_ID, f"/var/lib/{USER}"), (FLASH_USER, USER_ID - 1, FLASH_HOME)):
            assert f"u {user} " in self.text(file)
            if f"\n{user}:" not in self.text("etc/passwd"):
                self.put("etc/passwd", self.text("etc/passwd") + f"{user}:x:{number}:{USER_ID}::{home}:\n")
        if f"\n{USER}:" in self.text("etc/group"):
            return
        groups = self.text("etc/group").replace(":pi\n", f":pi,{USER}\n")
        self.put("etc/group", f"{groups}{USER}:x:{USER_ID}:\n")

    def _systemd_tmpfiles(self, create: str, file: str) -> None:
        for line in self.text(file).splitlines():
            if line.startswith("d "):
                _, path, mode, *_ = line.split()
                folder = self.root / path.lstrip("/")
                folder.mkdir(exist_ok=True)
                folder.chmod(int(mode, 8))

    def _userdel(self, user: str) -> None:
        self._drop("etc/passwd", user)
        self.put("etc/group", self.text("etc/group").replace(f",{user}\n", "\n"))
        others = [line for line in self.text("etc/passwd").splitlines() if f":{USER_ID}::" in line]
        if self.userdel_takes_group and not others:  # a group that is somebody's own stays
            self._groupdel(USER)

    def _groupdel(self, group: str) -> None:
        self._drop("etc/group", group)

    def _drop(self, name: str, who: str) -> None:
        lines = self.text(name).splitlines(keepends=True)
        self.put(name, "".join(line for line in lines if not line.startswith(f"{who}:")))

    def _chown(self, *words: str) -> None:
        pass

    def _journalctl(self, *words: str) -> str:
        return "first\nno module named tea\n"

    def _systemctl(self, verb: str, *words: str) -> str:
        there = (self.root / UNIT[1:]).exists()
        wants = self.root / ENABLED[1:]
        if verb == "show":
            states, self.states = self.states, self.coming or self.states  # what was asked for comes a little later
            load = "loaded" if there else "not-found"
            unit = self.text(UNIT) if there else None
            self.read_unit = self.read_unit or unit
            reload = "no" if self.read_unit == unit else "yes"
            lines = {"LoadState": load, "NeedDaemonReload": reload, **states}
            return "".join(f"{name}={value}\n" for name, value in lines.items())
        if verb == "daemon-reload":
            self.read_unit = self.text(UNIT) if there else None
        elif verb == "enable":
            wants.parent.mkdir(exist_ok=True)
            wants.symlink_to(UNIT)
        elif verb == "disable":
            wants.unlink(missing_ok=True)
        elif verb == "restart":
            folder = (self.root / VENV[1:]).resolve().relative_to(self.root.resolve())
            (self.root / "proc/42").mkdir(exist_ok=True)
            (self.root / "run/maskwatch").mkdir(exist_ok=True)
            self.put("proc/42/cmdline", f"/{folder}/bin/python3\0{VENV}/bin/maskwatch\0run\0")
            self.coming = {"ActiveState": self.becomes, "SubState": self.sub_state, "InvocationID": str(next(_numbers))}
            self.coming |= {"MainPID": "42", "StatusText": self.status}
        elif verb == "stop":
            self.put("proc/42/cmdline", "")
            self.coming = {"ActiveState": "inactive", "MainPID": "0"}
        return ""


@dataclass
class PoweredSystem(System):
    """A system whose power can be cut before each change, and between what is written and its new name."""

    pi: FakePi = field(kw_only=True)

    def write(self, inside: str, content: bytes, mode: int = 0o644) -> None:
        self.pi.power()
        with self._cut_before_rename():
            super().write(inside, content, mode)

    def link(self, inside: str, target: str) -> None:
        self.pi.power()
        with self._cut_before_rename():
            super().link(inside, target)

    def copy(self, source: Path, inside: str) -> None:
        self.pi.power()
        super().copy(source, inside)

    def remove(self, inside: str) -> None:
        self.pi.power()
        super().remove(inside)

    def sync(self) -> None:
        pass

    def owners(self, inside: str) -> set[tuple[int, int]]:
        mine = (os.getuid(), os.getgid())
        return {(USER_ID, USER_ID) if owner == mine else owner for owner in super().owners(inside)}

    @contextmanager
    def _cut_before_rename(self) -> Iterator[None]:
        """Once the power is off nothing cleans up."""
        replace, unlink = os.replace, os.unlink
        dark = False

        def replace_by_power(source: Path, target: Path) -> None:
            nonlocal dark
            dark = True
            self.pi.power()
            dark = False
            replace(source, target)

        def unlink_by_power(path: Path) -> None:
            if not dark:
                unlink(path)

        with mock.patch.object(os, "replace", replace_by_power), mock.patch.object(os, "unlink", unlink_by_power):
            yield
