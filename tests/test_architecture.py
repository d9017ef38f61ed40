"""Who may import whom: read from the source, and seen in fresh processes."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from drawn import draw_background
from maskwatch import cli
from maskwatch.images import write_image

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "maskwatch": ROOT / "edge" / "maskwatch",
    "maskwatch_train": ROOT / "train" / "maskwatch_train",
    "maskwatch_convert": ROOT / "convert" / "maskwatch_convert",
}
RUNTIMES = {"ai_edge_litert", "tflite_runtime"}
WORKSTATION_ONLY = {"tensorflow", "keras", "kaggle", "matplotlib", "PIL", "imagehash", "tqdm", "scipy", "pandas"}
HARDWARE = {"gpiozero", "lgpio", "picamera2", "libcamera"}
LIMIT_S = 100


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name, and what it imports anywhere in it, at its top, or for the type checker."""

    name: str
    tree: ast.Module
    imports: frozenset[str]
    at_import: frozenset[str]

    @property
    def local(self) -> str:
        """The name within its package: `verbs.classify`."""
        return self.name.partition(".")[2]


def _names(node: ast.stmt, package: str) -> Iterator[str]:
    """Modules that one import statement names; `from a import b` counts as a.b too, as b may be a module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parents = package.split(".")
        base = ".".join(parents[: len(parents) - node.level + 1]) + "." if node.level else ""
        origin = (base + (node.module or "")).rstrip(".")
        yield origin
        yield from (f"{origin}.{alias.name}" for alias in node.names)


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported: not those of functions, nor of `if TYPE_CHECKING`."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        for part in ("body", "orelse", "finalbody"):
            yield from _top_level(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from _top_level(handler.body)


@cache
def modules(package: str) -> tuple[Module, ...]:
    folder = PACKAGES[package]
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = [package, *path.relative_to(folder).with_suffix("").parts]
        parent = ".".join(parts[:-1])
        tree = ast.parse(path.read_text(encoding="utf-8"))
        anywhere = {name for node in ast.walk(tree) for name in _names(node, parent)}
        at_import = {name for node in _top_level(tree.body) for name in _names(node, parent)}
        name = ".".join(parts).removesuffix(".__init__")
        found.append(Module(name, tree, frozenset(anywhere), frozenset(at_import)))
    return tuple(found)


def edge(name: str) -> Module:
    (module,) = [module for module in modules("maskwatch") if module.local == name]
    return module


def roots(names: frozenset[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def offenders(package: str, forbidden: set[str]) -> dict[str, set[str]]:
    found = {module.name: roots(module.imports) & forbidden for module in modules(package)}
    return {name: names for name, names in found.items() if names}


# Between the packages


def test_the_sources_are_all_found() -> None:
    assert {"types", "cli", "pipeline", "verbs.classify", "cameras.base"} <= {
        module.local for module in modules("maskwatch")
    }
    assert all(len(modules(package)) > 5 for package in PACKAGES)


def test_the_edge_imports_neither_training_nor_conversion() -> None:
    assert offenders("maskwatch", {"maskwatch_train", "maskwatch_convert"}) == {}


def test_training_does_not_import_conversion() -> None:
    assert offenders("maskwatch_train", {"maskwatch_convert"}) == {}


def test_the_edge_imports_nothing_that_only_a_workstation_has() -> None:
    assert offenders("maskwatch", WORKSTATION_ONLY) == {}


def test_only_the_command_line_names_the_other_packages() -> None:
    naming = {
        module.local
        for module in modules("maskwatch")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith(("maskwatch_train", "maskwatch_convert"))
    }
    assert naming == {"cli"}


def test_training_decodes_with_the_edges_own_cells() -> None:
    """Two copies of the grid could drift apart, and every box with them."""
    (loss,) = [module for module in modules("maskwatch_train") if module.local == "finder_loss"]
    assert "maskwatch.finder.cell_grid" in loss.imports
    copies = [
        module.name
        for package in ("maskwatch_train", "maskwatch_convert")
        for module in modules(package)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef) and node.name in {"cell_grid", "letterbox", "crop_face", "crop_square"}
    ]
    assert copies == []


# Within the edge


@pytest.mark.parametrize("name", ["types", "errors", "quiet", "strict_json", "verbs.plain"])
def test_the_lowest_modules_import_nothing_of_ours_but_each_other(name: str) -> None:
    assert {imported for imported in edge(name).imports if imported.startswith("maskwatch")} == set()


def test_only_the_interpreter_imports_a_tflite_runtime() -> None:
    importing = set()
    for module in modules("maskwatch"):
        named = {
            node.value.partition(".")[0]
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        if (roots(module.imports) | named) & RUNTIMES:
            importing.add(module.local)
    assert importing == {"interpreter"}


@pytest.mark.parametrize(
    "stage", ["alert", "tracker", "finder", "classifier", "pipeline", "preprocess", "motion", "idle", "token_bucket"]
)
def test_the_stages_know_no_clock_thread_or_device(stage: str) -> None:
    module = edge(stage)
    assert roots(module.imports).isdisjoint({"time", "threading", "socket", "subprocess", "os"} | HARDWARE)
    ours = {name.split(".")[1] for name in module.imports if name.startswith("maskwatch.")}
    assert ours.isdisjoint({"cameras", "indicators", "verbs", "cli", "daemon"})


def test_cameras_and_indicators_do_not_know_each_other_nor_the_daemon() -> None:
    for module in modules("maskwatch"):
        ours = {name.split(".")[1] for name in module.imports if name.startswith("maskwatch.")}
        part = module.local.partition(".")[0]
        if part == "cameras":
            assert ours.isdisjoint({"indicators", "pipeline", "daemon", "door"}), module.name
        if part == "indicators":
            assert ours.isdisjoint({"cameras", "pipeline", "daemon", "door"}), module.name


def test_nothing_below_the_command_line_imports_it() -> None:
    for package in PACKAGES:
        for module in modules(package):
            if module.local != "cli":
                assert "maskwatch.cli" not in module.imports, module.name
            if not module.local.startswith("verbs") and module.local != "cli":
                verbs = {name for name in module.imports if ".verbs" in name}
                assert verbs == set(), module.name


@pytest.mark.parametrize("package", PACKAGES)
def test_only_verbs_and_the_command_line_print(package: str) -> None:
    printing = {
        module.local
        for module in modules(package)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert {name for name in printing if not name.startswith("verbs.") and name != "cli"} == set()


def test_hardware_is_imported_where_it_is_used_and_never_at_import() -> None:
    assert {
        module.name: roots(module.at_import) & HARDWARE
        for module in modules("maskwatch")
        if roots(module.at_import) & HARDWARE
    } == {}


def test_verbs_import_nothing_heavy_at_import() -> None:
    """`maskwatch --help` loads them all."""
    heavy = {"cv2", "numpy", *RUNTIMES, *WORKSTATION_ONLY}
    for package in PACKAGES:
        for module in modules(package):
            if module.local.startswith("verbs"):
                assert roots(module.at_import).isdisjoint(heavy), module.name


def test_every_verb_is_where_the_command_line_says() -> None:
    known = {module.name for package in PACKAGES for module in modules(package)}
    assert set(cli.VERBS.values()) <= known


# In fresh processes

GUARD = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {forbidden}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
"""


def guarded(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a Python in which nothing is installed that only a workstation has."""
    return subprocess.run(
        [sys.executable, "-c", GUARD.format(forbidden=sorted(WORKSTATION_ONLY)) + script, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


COMMAND_LINE = "from maskwatch.cli import main\nsys.exit(main())\n"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(3):
        write_image(folder / f"{seed}.png", draw_background(120, 160, np.random.default_rng(seed)))
    return folder


def test_the_command_line_loads_without_numbers_or_pictures() -> None:
    heavy = ["cv2", "numpy", *RUNTIMES, *WORKSTATION_ONLY, *HARDWARE]
    script = f"import sys, maskwatch.cli\nprint(sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_every_edge_module_imports_silently_and_without_the_workstations_packages_or_hardware() -> None:
    names = [module.name for module in modules("maskwatch")]
    script = f"""
import importlib, threading
for name in {names}:
    importlib.import_module(name)
assert threading.active_count() == 1, threading.enumerate()
assert set(sys.modules).isdisjoint({sorted(HARDWARE | RUNTIMES)})
"""
    done = guarded(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_help_needs_no_workstation_package() -> None:
    done = guarded(COMMAND_LINE, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(verb in done.stdout for verb in cli.VERBS)


def test_classify_needs_no_workstation_package(tiny_bundle_path: Path, pictures: Path) -> None:
    done = guarded(COMMAND_LINE, "classify", "--bundle", tiny_bundle_path, pictures / "0.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def test_detect_needs_no_workstation_package(tiny_bundle_path: Path, pictures: Path, tmp_path: Path) -> None:
    done = guarded(COMMAND_LINE, "detect", "--bundle", tiny_bundle_path, "--save", tmp_path / "saved", pictures)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 3


def test_run_needs_no_workstation_package(tiny_bundle_path: Path, pictures: Path) -> None:
    done = guarded(
        COMMAND_LINE, "run", "--source", pictures, "--bundle", tiny_bundle_path, "--indicator", "console",
        "--seconds", "20",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [("train", "classifier"), ("evaluate", "--data", "."), ("convert", "--data", "."), ("data", "inspect")]
)
def test_a_workstations_verb_says_what_to_install(words: tuple[str, ...], tmp_path: Path) -> None:
    done = guarded(f"import os\nos.chdir({str(tmp_path)!r})\n" + COMMAND_LINE, *words)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("maskwatch: ")
    assert done.stderr.count("\n") == 1
    if words[0] == "train":
        assert "which is not installed: pip install 'maskwatch[train]'" in done.stderr
