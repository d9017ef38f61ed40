"""The virtual environment: a new one beside the old, and one link that says which counts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from maskwatch.errors import MaskwatchError, OperatorError
from maskwatch.installer import facts
from maskwatch.installer.packages import LGPIO, LGPIO_LOCK, LGPIO_PYTHONS, has_wheels, lock_name, requirements
from maskwatch.installer.places import CONFIG, HOME, VENV, VENVS
from maskwatch.installer.system import LONG_S, System
from maskwatch.installer.wheel import DATA, Wheel

COMPLETE = "maskwatch-complete"
"""A file that is written when all else is on the disk."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What goes into an environment."""

    folder: str
    python: str
    requirements: str
    numpy: str
    locked: bool


@dataclass(frozen=True, slots=True)
class Environment:
    """Maskwatch and what it needs of pip's, beside the packages of the system."""

    wheel: Wheel
    wheels: Path | None = None
    """A folder of wheels to install from, without a network."""
    name: str = "environment"

    def settled(self, system: System) -> str | None:
        """Whether the link leads to a complete environment of just this version."""
        recipe = self._recipe(system)
        current = system.target(VENV)
        if recipe is None or current not in (recipe.folder, _again(recipe.folder)) or not _complete(system, current):
            return None
        return current

    def act(self, system: System) -> str:
        """Build the new one, try it out, and turn the link to it. What fails leaves the old one in its place."""
        recipe = self._recipe(system)
        if recipe is None and system.dry:
            recipe = _Recipe(f"venvs/{self.wheel.version}-NEW", "3.x", "", "of apt", locked=True)
        if recipe is None:
            raise OperatorError("the system's Python finds no numpy: sudo apt-get install --reinstall python3-numpy")
        folder = recipe.folder
        if system.target(VENV) == folder and not _complete(system, folder):
            folder = _again(folder)  # it is in use, so it is not built in its place
        if not _complete(system, folder):
            self._build(system, recipe, f"{HOME}/{folder}")
        # The owner's settings, which another version may not know: a service that refuses them would leave a dark door.
        system.run(f"{HOME}/{folder}/bin/python3", "-I", "-m", "maskwatch.installer.trial", CONFIG)
        system.link(VENV, folder)
        how = "locked versions" if recipe.locked else "no lock for this Python and numpy: the newest versions that fit"
        return f"{folder}: Maskwatch {self.wheel.version}, numpy {recipe.numpy} of the system, {how}"

    def _recipe(self, system: System) -> _Recipe | None:
        """None where Python or numpy are still missing."""
        python, numpy, architecture = (
            facts.python_version(system), facts.numpy_version(system), facts.architecture(system),
        )  # fmt: skip
        if python is None or numpy is None:
            return None
        name = lock_name(python, numpy)
        lock = self._lock(name) if name else ""
        locked = bool(lock) and (self.wheels is None or has_wheels(self.wheels, lock))
        wanted = lock if locked else "\n".join([*requirements(), ""])
        if python in LGPIO_PYTHONS and not facts.has_lgpio(system):
            lgpio = self._lock(LGPIO_LOCK)
            if self.wheels is None or has_wheels(self.wheels, lgpio):
                wanted += lgpio if locked else f"{LGPIO}\n"
        whole = "\n".join([self.wheel.content_hash, python, numpy, str(architecture), wanted])
        digest = hashlib.sha256(whole.encode()).hexdigest()[:12]
        return _Recipe(f"venvs/{self.wheel.version}-{digest}", python, wanted, numpy, locked)

    def _lock(self, name: str) -> str:
        return self.wheel.read(f"{DATA}/locks/{name}").decode()

    def _build(self, system: System, recipe: _Recipe, folder: str) -> None:
        brought = f"{folder}/brought"
        python = f"{folder}/bin/python3"
        pip = (
            python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir",
            "--only-binary=:all:",
        )  # fmt: skip
        system.say(f"{self.name}: building {folder}, which may take minutes")
        system.remove(folder)  # what a power cut left
        system.run(facts.PYTHON, "-m", "venv", "--system-site-packages", folder, limit_s=LONG_S)
        system.write(f"{brought}/requirements.txt", recipe.requirements.encode())
        system.write(f"{brought}/constraints.txt", f"numpy=={recipe.numpy}\n".encode())
        system.copy(self.wheel.path, f"{brought}/{self.wheel.path.name}")
        hold = ("--require-hashes", "--no-deps") if recipe.locked else ("--constraint", f"{brought}/constraints.txt")
        self._pip(
            system, *pip, *self._from_where(system, brought), *hold, "--requirement", f"{brought}/requirements.txt"
        )
        system.run(*pip, "--no-index", "--no-deps", f"{brought}/{self.wheel.path.name}", limit_s=LONG_S)
        system.run(python, "-I", "-m", "maskwatch.installer.trial")
        if system.live:  # golden vectors prove the networks on this very processor
            system.run(f"{folder}/bin/maskwatch", "bundle", "verify", limit_s=LONG_S)
        system.remove(brought)
        system.sync()
        system.write(f"{folder}/{COMPLETE}", f"{recipe.folder}\n".encode())

    def _from_where(self, system: System, brought: str) -> tuple[str, ...]:
        if self.wheels is None:
            return ()
        if system.root == Path("/"):
            return ("--no-index", "--find-links", str(self.wheels.absolute()))
        for path in sorted(self.wheels.glob("*.whl")):
            system.copy(path, f"{brought}/wheels/{path.name}")
        return ("--no-index", "--find-links", f"{brought}/wheels")

    def _pip(self, system: System, *words: str) -> None:
        try:
            system.run(*words, limit_s=LONG_S)
        except MaskwatchError as error:
            if self.wheels is None:
                raise type(error)(f"{error}; without internet: --wheels DIR") from error
            raise type(error)(f"{error}; --wheels must name a folder with all that the lock lists") from error


@dataclass(frozen=True, slots=True)
class OldEnvironments:
    """No environment but the one that counts."""

    name: str = "old environments"

    def settled(self, system: System) -> str | None:
        """Whether there is no other."""
        return None if self._old(system) else "none"

    def act(self, system: System) -> str:
        """Remove the others."""
        old = self._old(system)
        for name in old:
            system.remove(f"{VENVS}/{name}")
        return f"removed {', '.join(old)}"

    @staticmethod
    def _old(system: System) -> list[str]:
        current = (system.target(VENV) or "").rpartition("/")[2]
        return [name for name in system.names(VENVS) if name != current] if current else []


def _complete(system: System, folder: str) -> bool:
    return system.exists(f"{HOME}/{folder}/{COMPLETE}")


def _again(folder: str) -> str:
    """Where it is built while one of just this content is in use and has lost its mark."""
    return f"{folder}-again"
