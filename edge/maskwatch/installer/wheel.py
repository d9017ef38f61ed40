"""Maskwatch as one wheel, packed from a clone or from what is installed: no build tool and no network are needed."""

from __future__ import annotations

import base64
import hashlib
import re
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from maskwatch.errors import OperatorError

NAME = "maskwatch"
DATA = "maskwatch/data"
LONG_AGO = (2020, 1, 1, 0, 0, 0)
"""Every member's time, so that the same content makes the same wheel."""

_WHEEL = "Wheel-Version: 1.0\nGenerator: maskwatch\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_INSTALLERS_OWN = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


class Wheel:
    """A wheel of Maskwatch. Raises OperatorError where the file is none."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise OperatorError(f"{path} is no file: --from must name a wheel or a clone of Maskwatch")
        self.path = path
        found = re.fullmatch(rf"{NAME}-([^-]+)-py3-none-any\.whl", path.name)
        if found is None:
            raise OperatorError(f"{path} is no wheel of Maskwatch: its name must be {NAME}-VERSION-py3-none-any.whl")
        self.version = found[1]

    def read(self, name: str) -> bytes:
        """One member's content, such as `maskwatch/data/systemd/maskwatch.service`."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(name)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise OperatorError(f"{self.path}: cannot read {name} from it: pack or copy it again") from error

    @cached_property
    def content_hash(self) -> str:
        """One hash over the hashes of all members, in hexadecimal."""
        return hashlib.sha256(self.read(f"{NAME}-{self.version}.dist-info/RECORD")).hexdigest()


def take_wheel(source: Path | None, folder: Path) -> Wheel:
    """The wheel at `source`, or one packed into `folder` of the clone at `source`, or of the code that runs.

    Raises OperatorError where there is neither.
    """
    if source is None:
        clone = Path(__file__).parents[3]
        return _pack_clone(clone, folder) if _is_clone(clone) else _pack_installed(folder)
    if source.suffix == ".whl":
        return Wheel(source.absolute())
    if not _is_clone(source):
        raise OperatorError(f"{source} is neither a clone of Maskwatch nor a wheel: name one with --from")
    return _pack_clone(source, folder)


def _is_clone(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file() and (folder / "edge" / NAME).is_dir()


def _pack_clone(clone: Path, folder: Path) -> Wheel:
    document = tomllib.loads((clone / "pyproject.toml").read_text(encoding="utf-8"))
    project, tools = document["project"], document["tool"]["setuptools"]
    members: dict[str, bytes] = {}
    for root in (clone / name for name in tools["packages"]["find"]["where"]):
        for package in (path.parent for path in root.glob("*/__init__.py")):
            patterns = ["**/*.py", *tools.get("package-data", {}).get(package.name, [])]
            for path in _files(package, patterns):
                members[path.relative_to(root).as_posix()] = path.read_bytes()
    info = f"{NAME}-{project['version']}.dist-info"
    members[f"{info}/METADATA"] = _metadata(project).encode()
    members[f"{info}/WHEEL"] = _WHEEL.encode()
    scripts = "".join(f"{name} = {target}\n" for name, target in project["scripts"].items())
    members[f"{info}/entry_points.txt"] = f"[console_scripts]\n{scripts}".encode()
    for name in project["license-files"]:
        members[f"{info}/licenses/{name}"] = (clone / name).read_bytes()
    return pack(members, project["version"], folder)


def _files(package: Path, patterns: list[str]) -> Iterator[Path]:
    for pattern in patterns:
        yield from (path for path in package.glob(pattern) if path.is_file() and "__pycache__" not in path.parts)


def _metadata(project: Mapping[str, Any]) -> str:
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {NAME}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"License-Expression: {project['license']}",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {requirement}" for requirement in project["dependencies"]),
    ]
    for extra, needs in project["optional-dependencies"].items():
        lines.append(f"Provides-Extra: {extra}")
        for need in needs:
            requirement, _, marker = (part.strip() for part in need.partition(";"))
            condition = f'({marker}) and extra == "{extra}"' if marker else f'extra == "{extra}"'
            lines.append(f"Requires-Dist: {requirement}; {condition}")
    return "\n".join(lines) + "\n"


def _pack_installed(folder: Path) -> Wheel:
    try:
        installed: Distribution = distribution(NAME)
    except PackageNotFoundError as error:
        raise OperatorError("this Maskwatch is neither a clone nor installed: name a clone with --from") from error
    members: dict[str, bytes] = {}
    for file in installed.files or []:
        in_info = file.parts[0].endswith(".dist-info")
        if ".." in file.parts or "__pycache__" in file.parts or (in_info and file.name in _INSTALLERS_OWN):
            continue
        members[file.as_posix()] = Path(str(file.locate())).read_bytes()
    return pack(members, installed.version, folder)


def pack(members: Mapping[str, bytes], version: str, folder: Path) -> Wheel:
    """Write a wheel of these members, and their RECORD, into a folder. Raises OperatorError without Maskwatch in it."""
    if f"{NAME}/cli.py" not in members:
        raise OperatorError("this Maskwatch has no files of its own to install: name a clone or a wheel with --from")
    record = f"{NAME}-{version}.dist-info/RECORD"
    rows = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in sorted(members.items())]
    path = folder / f"{NAME}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*sorted(members.items()), (record, "\n".join([*rows, f"{record},,", ""]).encode())]:
            member = zipfile.ZipInfo(name, LONG_AGO)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
    return Wheel(path)


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
