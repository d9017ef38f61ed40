"""fleet.toml: which doors there are, in groups, how many are flashed at once, and which of them go first.

docs/flashing.md has an example.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskwatch.errors import ConfigError, OperatorError
from maskwatch.flash.ssh import check_host
from maskwatch.strict_json import shown

PARALLEL = 8
MAX_PARALLEL = 64
MAX_HOSTS = 10_000

_NAME = r"[A-Za-z0-9_-]{1,40}"
_OPTION = r"[A-Za-z0-9]+[= ][^\x00-\x1f\x7f]+"
_TOP = ("parallel", "ssh_options", "groups")
_GROUP = ("hosts", "canaries", "parallel")


@dataclass(frozen=True, slots=True)
class Target:
    """One door of a roll-out."""

    host: str
    group: str = ""
    canary: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Doors that belong together; `parallel` None: as many at once as there are for all."""

    name: str
    hosts: tuple[str, ...]
    canaries: frozenset[str] = frozenset()
    parallel: int | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """All doors."""

    groups: tuple[Group, ...]
    parallel: int = PARALLEL
    ssh_options: tuple[str, ...] = ()

    def targets(self, chosen: Sequence[str] = ()) -> list[Target]:
        """The doors of these groups, or of all. Raises OperatorError for a group that is not there."""
        known = [group.name for group in self.groups]
        for name in chosen:
            if name not in known:
                raise OperatorError(
                    f"there is no group {shown(name)}{_meant(name, known)}; there are {', '.join(known)}"
                )
        return [
            Target(host, group.name, host in group.canaries)
            for group in self.groups
            if not chosen or group.name in chosen
            for host in group.hosts
        ]


def load_fleet(path: Path) -> Fleet:
    """Read a fleet's file. Raises ConfigError, in one line that names the file, the key and what it must be."""
    try:
        return parse_fleet(path.read_text(encoding="utf-8-sig"))  # -sig: some editors put a mark first
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_fleet(text: str) -> Fleet:
    """The fleet that a file's text describes. Raises ConfigError that names the key."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: bad TOML, or a number of thousands of digits
        raise ConfigError(f"is not TOML: {error}") from error
    _check_keys(document, _TOP, "")
    groups = document.get("groups")
    if not isinstance(groups, dict) or not groups:
        raise ConfigError('there are no groups: write [groups.NAME], and below it hosts = ["door-1"]')
    fleet = Fleet(
        tuple(_group(name, content) for name, content in groups.items()),
        _parallel(document, "parallel") or PARALLEL,
        tuple(_options(document.get("ssh_options", []))),
    )
    _check_all_differ(fleet)
    return fleet


def check_parallel(value: object, where: str) -> int:
    """How many doors at once. Raises ConfigError for what is out of bounds."""
    if type(value) is not int or not 1 <= value <= MAX_PARALLEL:
        raise ConfigError(f"{where} = {shown(value)} must be a whole number from 1 to {MAX_PARALLEL}")
    return value


def _group(name: str, content: object) -> Group:
    if not re.fullmatch(_NAME, name):
        raise ConfigError(f"groups.{shown(name)} must be a name of up to 40 letters, digits, _ and -")
    where = f"groups.{name}"
    if not isinstance(content, dict):
        raise ConfigError(f"{where} = {shown(content)} must be a table: write [{where}] on a line of its own")
    _check_keys(content, _GROUP, f"{where}.")
    hosts = _hosts(content.get("hosts"), f"{where}.hosts")
    if not hosts:
        raise ConfigError(f'{where}.hosts is missing or empty: write hosts = ["door-1"]')
    canaries = _hosts(content.get("canaries", []), f"{where}.canaries")
    for host in canaries:
        if host not in hosts:
            raise ConfigError(f"{where}.canaries: {shown(host)} is not one of the group's hosts{_meant(host, hosts)}")
    return Group(name, tuple(hosts), frozenset(canaries), _parallel(content, f"{where}.parallel"))


def _hosts(value: object, where: str) -> list[str]:
    if value is None:
        return []
    hosts = _texts(value, where, '["door-1", "door-2"]')
    for host in hosts:
        try:
            check_host(host)
        except OperatorError as error:
            raise ConfigError(f"{where}: {error}") from error
    return hosts


def _options(value: object) -> list[str]:
    options = _texts(value, "ssh_options", '["Port=2222"]')
    for option in options:
        check_option(option)
    return options


def check_option(option: str) -> None:
    """Raise ConfigError for what cannot stand behind ssh -o."""
    if not re.fullmatch(_OPTION, option):
        raise ConfigError(f"{shown(option)} is no option of ssh: write it as Key=value, as in ssh_config(5)")


def _texts(value: object, where: str, example: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{where} = {shown(value)} must be a list of texts, such as {example}")
    return value


def _parallel(table: Mapping[str, object], where: str) -> int | None:
    value = table.get("parallel")
    return None if value is None else check_parallel(value, where)


def _check_keys(table: Mapping[str, object], known: Sequence[str], prefix: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"unknown key {prefix}{shown(key)[1:-1]}{_meant(key, known)}")


def _check_all_differ(fleet: Fleet) -> None:
    seen: dict[str, str] = {}
    for group in fleet.groups:
        for host in group.hosts:
            if host in seen:
                raise ConfigError(f"groups.{group.name}.hosts: {shown(host)} is there twice (first in {seen[host]})")
            seen[host] = group.name
    if len(seen) > MAX_HOSTS:
        raise ConfigError(f"{len(seen)} hosts, more than {MAX_HOSTS}")


def _meant(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
