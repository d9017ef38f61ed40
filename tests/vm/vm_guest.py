"""Process 1 of the virtual machine, in the place of systemd: a door whose power is cut while its model is changed.

Runs in the door's own environment, with Maskwatch as it was installed there, and from memory. At each boot, before all
else, it starts as the daemon does and tells what it runs; then it changes models as it is told, in children that are
forked, as a Python that starts afresh would spend most of its life on imports, and be cut off there. Speaks lines of
JSON through a virtio-serial port: before each step, before and after each call that changes the disk, and after a step.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PORTS = Path("/sys/class/virtio-ports")
SLOTS = Path("/var/lib/maskwatch/slots")
TEMPORARY = ".maskwatch-tmp"
WITHOUT_FSYNC = HERE / "without-fsync"
"""A file that has fsync do nothing: the test's own test."""

LOADED = (
    "cli",
    "door",
    "model_source",
    "slots.admission",
    "slots.report",
    "slots.running",
    "verbs.slots",
    "verify",
    "pipeline",
)
"""Modules of ours that the children need, loaded before they are forked."""

Tell = Callable[..., None]


def main() -> None:
    """Tell how the door starts, then do as told, for ever."""
    os.environ |= {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # threads do not live through a fork
    os.chdir("/")
    os.umask(0o022)
    port = open(_port(), "r+b", buffering=0)  # noqa: SIM115 (open until the power is cut)

    def tell(**words: Any) -> None:
        port.write(f"{json.dumps(words)}\n".encode())

    found = _found()  # before all else
    tell(say="up", kernel=_kernel_says(), found=found, clock=int(time.time()))
    _load()
    tell(say="started", **_in_child(_start, tell))
    for line in _lines(port):
        asked = json.loads(line)
        for step in asked["steps"].split():
            tell(say="begin", step=step)
            answer = _in_child(functools.partial(STEPS[step], asked["bundle"]), tell)
            tell(say="done", step=step, **answer)
        tell(say="idle")


# At the start


def _found() -> dict[str, Any]:
    """What lies in the slots' folder, as it is on the disk, with the standard library alone."""
    return {
        str(path.relative_to(SLOTS)): _described(path.read_bytes(), path.name)
        for path in sorted(SLOTS.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def _described(content: bytes, name: str) -> dict[str, Any]:
    described = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if "state.json" not in name:
        return described
    try:
        return described | {"json": json.loads(content)}
    except ValueError:
        return described


def _kernel_says() -> list[str]:
    """What the kernel says of the file system since it started."""
    lines = []
    descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            line = os.read(descriptor, 8192).decode("utf-8", "replace").partition(";")[2].split("\n")[0]
            if "EXT4-fs" in line or "JBD2" in line or "I/O error" in line:
                lines.append(line)
    except BlockingIOError:
        return lines
    finally:
        os.close(descriptor)


def _load() -> None:
    import importlib

    for name in LOADED:
        importlib.import_module(f"maskwatch.{name}")
    from maskwatch.interpreter import load_runtime

    load_runtime()


def _start(tell: Tell) -> dict[str, Any]:
    """As the daemon starts: what it runs, whether its networks answer right, and what it would fall back on."""
    from maskwatch.bundle import default_bundle_path, open_bundle
    from maskwatch.config import ModelSettings
    from maskwatch.door import load_model
    from maskwatch.errors import MaskwatchError
    from maskwatch.model_source import bring
    from maskwatch.privileges import become_service_user
    from maskwatch.slots.running import Runner
    from maskwatch.slots.slot_files import damage_of
    from maskwatch.slots.store import Slots
    from maskwatch.trust import Trust
    from maskwatch.verify import verify_networks

    become_service_user()
    slots = Slots(SLOTS, Trust())
    fault = None
    try:
        slots.known()
    except MaskwatchError as error:
        fault = str(error)
    runner = Runner(slots)
    runner.starting()
    sourced = bring(load_model, runner, ModelSettings())
    state = slots.read()
    checks = list(verify_networks(open_bundle(sourced.choice.path or default_bundle_path())))
    fallback = state.fallback
    return {
        "state_fault": fault,
        "faults": [*sourced.faults, *sourced.choice.faults],
        "runs": sourced.model.identity[0],
        "slot": sourced.choice.slot,
        "trying": sourced.choice.trying,
        "slots": [state.a.state, state.b.state],
        "golden": sum(check.detail.startswith("golden") and check.ok is True for check in checks),
        "wrong": [f"{check.name}: {check.detail}" for check in checks if check.ok is not True],
        "fallback_damage": fallback and damage_of(slots.folder / fallback, state.slot(fallback).sha256),
    }


# A change of models


def _verb(action: str, bundle: str, tell: Tell) -> dict[str, Any]:
    """`maskwatch slots ACTION`."""
    from maskwatch import cli

    words = ["--force", str(HERE / bundle)] if action == "install" else []
    logger = logging.getLogger("maskwatch.verbs.slots")
    logger.addHandler(_Told(tell))
    logger.setLevel(logging.INFO)
    _announce_calls(tell)
    return {"code": cli.main(["slots", action, *words])}


def _service(bundle: str, tell: Tell) -> dict[str, Any]:
    """A start of the daemon during the trial."""
    _announce_calls(tell)
    return {"code": 0} | _start(tell)


STEPS = {action: functools.partial(_verb, action) for action in ("install", "activate", "confirm", "rollback")} | {
    "start": _service
}


class _Told(logging.Handler):
    """Tells what the verb says of its progress."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(say="at", call=record.getMessage())


def _announce_calls(tell: Tell) -> None:
    """From now on tell of each call that changes the disk, before it and, of those that wait for it, afterwards."""
    real_open, real_fsync, real_replace, real_unlink = os.open, os.fsync, os.replace, os.unlink

    def open_(path: Any, flags: int, *words: Any, **more: Any) -> int:
        if not flags & os.O_EXCL:
            return real_open(path, flags, *words, **more)
        tell(say="at", call=f"create {_name(path)}")
        descriptor = real_open(path, flags, *words, **more)
        tell(say="at", call=f"write {_name(path)}")
        return descriptor

    def fsync(descriptor: int) -> None:
        name = _name(os.readlink(f"/proc/self/fd/{descriptor}"))
        tell(say="at", call=f"fsync {name}")
        if not WITHOUT_FSYNC.exists():
            real_fsync(descriptor)
        tell(say="at", call=f"after fsync {name}")

    def replace(source: Any, target: Any) -> None:
        tell(say="at", call=f"rename {_name(target)}")
        real_replace(source, target)

    def unlink(path: Any) -> None:
        tell(say="at", call=f"remove {_name(path)}")
        real_unlink(path)

    os.open, os.fsync, os.replace, os.unlink = open_, fsync, replace, unlink  # type: ignore[assignment]


def _name(path: Any) -> str:
    """A file's place in the slots' folder, without what marks it as written aside; folders end in a slash."""
    place = Path(path)
    name = os.path.relpath(place, SLOTS)
    if place.is_dir():
        return "slots/" if name == "." else f"{name}/"
    return str(Path(name).with_name(place.name.removeprefix(".").removesuffix(TEMPORARY)))


# Children and words


def _in_child(work: Callable[[Tell], dict[str, Any]], tell: Tell) -> dict[str, Any]:
    """Have a child do it; returns its answer, or the fault in words."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        answer: dict[str, Any] = {"fault": "it ended without a word"}
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            answer = work(tell)
        except BaseException as error:  # noqa: BLE001 (a bug is told, and the door goes on)
            traceback.print_exc()
            answer = {"fault": repr(error)}
        finally:
            os.write(writing, json.dumps(answer).encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = json.loads(pipe.read() or b'{"fault": "it died"}')
    os.waitpid(pid, 0)
    return answer


def _lines(port: Any) -> Iterator[bytes]:
    rest = b""
    while True:
        *lines, rest = (rest + port.read(4096)).split(b"\n")
        yield from lines


def _port() -> Path:
    (port,) = [port for port in PORTS.iterdir() if (port / "name").read_text().strip() == "power-cut"]
    return Path("/dev", port.name)


if __name__ == "__main__":
    main()
