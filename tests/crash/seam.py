"""The seam between the code and the disk: the functions of `os` that change files, carried out and noted in a model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest import mock

from torn_disk import File, Folder, Node, read_tree, visible

NOT_MODELLED = ("rename", "remove", "rmdir", "link", "symlink", "truncate", "ftruncate", "write", "pwrite")
"""Calls that nobody makes so far: who begins to must teach the model first."""


class Seam:
    """Stands before all that is changed below `root`, a folder that exists and is taken as synced.

    `before` is told of each call, by its name and the path, before it is carried out; what it raises is what the caller
    meets.
    """

    def __init__(self, root: Path, before: Callable[[str, str], None]) -> None:
        self.root = root
        self.tree = read_tree(root)
        self._before = before
        self._nodes: dict[int, tuple[Node, Path]] = {}
        self._real: dict[str, Callable[..., Any]] = {}

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Stand there meanwhile."""
        ours = {
            name: getattr(self, name)
            for name in ("open", "close", "fdopen", "fsync", "replace", "unlink", "mkdir")
        }  # fmt: skip
        ours |= {name: self._moding(name) for name in ("chmod", "fchmod", "chown", "fchown")}
        ours |= {name: self._refusing(name) for name in NOT_MODELLED}
        self._real = {name: getattr(os, name) for name in ours}
        with mock.patch.multiple(os, **ours):
            yield
        self.check()

    def check(self) -> None:
        """The model must be what every process sees, or a call went past the seam."""
        model, real = visible(self.tree), visible(read_tree(self.root))
        assert model == real, f"changed past the seam: {sorted(set(model.items()) ^ set(real.items()))}"

    # Calls on paths

    def open(self, path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        ours = self._ours(path)
        new = ours is not None and flags & os.O_CREAT and not os.path.lexists(ours)
        if ours is not None and new:
            self._tell("open", ours)
        descriptor: int = self._real["open"](path, flags, mode, **more)
        self._nodes.pop(descriptor, None)
        if ours is not None:
            assert not flags & os.O_TRUNC, "O_TRUNC is not modelled"
            if new:
                self._change(ours, {ours.name: File((b"", os.fstat(descriptor).st_mode & 0o7777))})
            self._nodes[descriptor] = self._node(ours), ours
        return descriptor

    def replace(self, source: Any, target: Any, **more: Any) -> None:
        old, new = self._ours(source), self._ours(target)
        assert (old is None) == (new is None)
        if old is not None and new is not None:
            assert old.parent == new.parent, "a rename between folders is not modelled"
            self._tell("replace", new)
        self._real["replace"](source, target, **more)
        if old is not None and new is not None:
            node = self._node(old)
            self._change(new, {old.name: None, new.name: node}, {new.name: node})

    def unlink(self, path: Any, **more: Any) -> None:
        ours = self._ours(path)
        there = ours is not None and os.path.lexists(ours)
        if ours is not None and there:
            self._tell("unlink", ours)
        self._real["unlink"](path, **more)
        if ours is not None and there:
            self._change(ours, {ours.name: None})

    def mkdir(self, path: Any, mode: int = 0o777, **more: Any) -> None:
        ours = self._ours(path)
        new = ours is not None and not os.path.lexists(ours)
        if ours is not None and new:
            self._tell("mkdir", ours)
        self._real["mkdir"](path, mode, **more)
        if ours is not None and new:
            self._change(ours, {ours.name: Folder()})

    # Calls on open files

    def close(self, descriptor: int) -> None:
        self._nodes.pop(descriptor, None)
        self._real["close"](descriptor)

    def fdopen(self, descriptor: int, mode: str = "r", *words: Any, **more: Any) -> Any:
        file = self._real["fdopen"](descriptor, mode, *words, **more)
        if "r" in mode or descriptor not in self._nodes:
            self._nodes.pop(descriptor, None)  # closed past us, and its number may be another's soon
            return file
        node, path = self._nodes[descriptor]
        assert isinstance(node, File)
        return _Written(file, node, lambda call: self._tell(call, path), lambda: self._nodes.pop(descriptor, None))

    def fsync(self, descriptor: int) -> None:
        if descriptor in self._nodes:
            self._tell("fsync", self._nodes[descriptor][1])
        self._real["fsync"](descriptor)
        if descriptor in self._nodes:
            self._nodes[descriptor][0].sync()

    # Inside

    def _moding(self, name: str) -> Callable[..., None]:
        """A call that changes mode or owner; owners are not modelled, but that they may take a mode's bits away is."""

        def call(where: Any, *words: Any, **more: Any) -> None:
            ours: Path | None
            if isinstance(where, int):
                node, ours = self._nodes.get(where, (None, None))
            else:
                ours = self._ours(where)
                node = None if ours is None else self._node(ours)
            if ours is not None:
                self._tell(name, ours)
            self._real[name](where, *words, **more)
            if isinstance(node, File) and ours is not None:
                node.since.append((node.current[0], os.lstat(ours).st_mode & 0o7777))

        return call

    def _refusing(self, name: str) -> Callable[..., Any]:
        def call(where: Any, *words: Any, **more: Any) -> Any:
            assert where not in self._nodes if isinstance(where, int) else self._ours(where) is None, name
            return self._real[name](where, *words, **more)

        return call

    def _tell(self, call: str, path: Path) -> None:
        self.check()
        self._before(call, str(path.relative_to(self.root)))

    def _ours(self, path: Any) -> Path | None:
        absolute = Path(os.path.abspath(os.fspath(path)))
        return absolute if absolute.is_relative_to(self.root) else None

    def _node(self, path: Path) -> Node:
        node: Node = self.tree
        for name in path.relative_to(self.root).parts:
            assert isinstance(node, Folder)
            node = node.current[name]
        return node

    def _change(self, path: Path, *outcomes: dict[str, Node | None]) -> None:
        folder = self._node(path.parent)
        assert isinstance(folder, Folder)
        folder.since.append(list(outcomes))


class _Written:
    """A file that is written to; each write is one call, and reaches the kernel at once."""

    def __init__(self, file: Any, node: File, tell: Callable[[str], None], closed: Callable[[], object]) -> None:
        self._file, self._node, self._tell, self._closed = file, node, tell, closed

    def __enter__(self) -> _Written:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._closed()

    def write(self, data: bytes) -> int:
        self._tell("write")
        written: int = self._file.write(data)
        self._file.flush()
        content, mode = self._node.current
        self._node.since.append((content + data, mode))
        return written

    def flush(self) -> None:
        self._file.flush()

    def fileno(self) -> int:
        number: int = self._file.fileno()
        return number
