"""The wheel that the installer packs by itself, beside the one that setuptools builds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import CLONE
from maskwatch.errors import OperatorError
from maskwatch.installer.packages import LGPIO_LOCK, LOCKS, locked_versions
from maskwatch.installer.wheel import DATA, Wheel, take_wheel

LIMIT_S = 100


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def code_of(path: Path) -> dict[str, bytes]:
    return {name: content for name, content in members(path).items() if ".dist-info/" not in name}


def entry_points(path: Path) -> bytes:
    return next(content for name, content in members(path).items() if name.endswith("entry_points.txt"))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What setuptools makes of a copy of the clone."""
    folder = tmp_path_factory.mktemp("built")
    copy = folder / "clone"
    copy.mkdir()
    for name in ("edge", "train", "convert", "systemd", "locks"):
        shutil.copytree(CLONE / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CLONE / name, copy)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, copy],
        check=True,
        timeout=LIMIT_S,
    )
    (path,) = folder.glob("*.whl")
    return path


def test_it_holds_what_setuptools_would_put_into_it(wheel: Wheel, built: Path) -> None:
    assert code_of(wheel.path) == code_of(built)
    assert entry_points(wheel.path).split() == entry_points(built).split()
    assert wheel.path.name == built.name


def test_both_hold_the_units_and_the_pis_locks(wheel: Wheel, built: Path) -> None:
    for each in (wheel, Wheel(built)):
        for path in [path for path in (CLONE / "systemd").rglob("*") if path.is_file()]:
            assert each.read(f"{DATA}/systemd/{path.relative_to(CLONE / 'systemd')}") == path.read_bytes()
        for name in [*LOCKS.values(), LGPIO_LOCK]:
            assert b"--hash=sha256:" in each.read(f"{DATA}/locks/{name}")
        assert not any("dev.txt" in name or "demo.txt" in name for name in members(each.path))


def test_pip_installs_it_and_what_is_installed_packs_to_the_same(wheel: Wheel, tmp_path: Path) -> None:
    target, again = tmp_path / "site", tmp_path / "again"
    again.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel.path]
    subprocess.run(pip, check=True, timeout=LIMIT_S)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom maskwatch.installer.wheel import take_wheel\n"
        "print(take_wheel(None, Path(sys.argv[2])).content_hash)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, target, again],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
    assert done.stdout.strip() == wheel.content_hash
    assert members(again / wheel.path.name) == members(wheel.path)


def test_packing_twice_makes_the_same_bytes(wheel: Wheel, tmp_path: Path) -> None:
    assert take_wheel(CLONE, tmp_path).path.read_bytes() == wheel.path.read_bytes()


def test_other_sources_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="neither a clone of Maskwatch nor a wheel"):
        take_wheel(tmp_path, tmp_path)
    with pytest.raises(OperatorError, match=r"missing\.whl is no file"):
        take_wheel(tmp_path / "missing.whl", tmp_path)
    (tmp_path / "numpy-2.0.0-py3-none-any.whl").touch()
    with pytest.raises(OperatorError, match="is no wheel of Maskwatch"):
        take_wheel(tmp_path / "numpy-2.0.0-py3-none-any.whl", tmp_path)
    broken = tmp_path / "maskwatch-1.0-py3-none-any.whl"
    broken.write_bytes(b"no zip")
    with pytest.raises(OperatorError, match="copy it again"):
        take_wheel(broken, tmp_path).read(f"{DATA}/config.example.toml")


@pytest.mark.parametrize(("python_and_numpy", "name"), LOCKS.items())
def test_a_lock_is_made_for_the_numpy_it_stands_beside_and_leaves_numpy_out(
    wheel: Wheel, python_and_numpy: tuple[str, str], name: str
) -> None:
    versions = locked_versions(wheel.read(f"{DATA}/locks/{name}").decode())
    assert {"ai-edge-litert", "gpiozero", "opencv-python-headless"} <= versions.keys()
    assert "numpy" not in versions
    constraint = (CLONE / "locks" / name).with_suffix(".in").read_text()
    assert f"\nnumpy=={python_and_numpy[1]}." in constraint
    if python_and_numpy[1].startswith("1."):
        assert tuple(map(int, versions["opencv-python-headless"].split(".")[:2])) < (4, 12)
