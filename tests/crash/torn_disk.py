"""A disk that forgets: what a power cut may leave of the changes that were made below one folder.

The model is that of POSIX, which promises less than any one file system keeps:
- What was written to a file since its last fsync may be lost, whole or in part, or have become zeros; its mode too.
- What was changed in a folder since its last fsync (made, renamed, removed) may be lost, each change by itself; a
  rename may be left half done, with both names.
- What was synced stays. A file's fsync does not sync its name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Content = tuple[bytes, int]
"""A file's bytes and mode."""

Image = dict[str, Content | None]
"""A tree: each path below a folder, with a file's content, or None for a folder."""


@dataclass(eq=False)
class File:
    """What is surely on the disk, and what was made of it since, the newest last."""

    durable: Content
    since: list[Content] = field(default_factory=list)

    @property
    def current(self) -> Content:
        return self.since[-1] if self.since else self.durable

    def sync(self) -> None:
        self.durable, self.since = self.current, []

    def survivors(self) -> set[Content]:
        kept = len(self.durable[0])
        found = {self.durable, *self.since}
        for data, mode in self.since:
            found |= {(data[: (kept + len(data)) // 2], mode), (data[:kept] + bytes(len(data) - kept), mode)}
        return found


@dataclass(eq=False)
class Folder:
    """Names that are surely on the disk, and the changes since, each as what may have come of it, the whole first.

    A change that is lost leaves all names as they were; None for a node is a name that is gone.
    """

    durable: dict[str, Node] = field(default_factory=dict)
    since: list[list[dict[str, Node | None]]] = field(default_factory=list)

    @property
    def current(self) -> dict[str, Node]:
        return _changed(self.durable, [outcomes[0] for outcomes in self.since])

    def sync(self) -> None:
        self.durable, self.since = self.current, []

    def survivors(self) -> Iterator[dict[str, Node]]:
        for chosen in itertools.product(*([*outcomes, {}] for outcomes in self.since)):
            yield _changed(self.durable, chosen)


Node = File | Folder


def images(folder: Folder) -> list[Image]:
    """Every tree that a power cut may leave now, each once."""
    return list({frozenset(image.items()): image for image in _images(folder, "")}.values())


def visible(folder: Folder, prefix: str = "") -> Image:
    """The tree as every process sees it while there is power."""
    found: Image = {}
    for name, node in folder.current.items():
        path = f"{prefix}{name}"
        found |= {path: None} | visible(node, f"{path}/") if isinstance(node, Folder) else {path: node.current}
    return found


def read_tree(root: Path) -> Folder:
    """A tree as it lies on the real disk, taken as synced."""
    folder = Folder()
    for path in root.iterdir():
        mode = path.stat().st_mode & 0o7777
        folder.durable[path.name] = read_tree(path) if path.is_dir() else File((path.read_bytes(), mode))
    return folder


def materialise(image: Image, root: Path) -> None:
    """Lay an image into an empty folder."""
    for path, content in sorted(image.items()):
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content[0])
            (root / path).chmod(content[1])


def _images(folder: Folder, prefix: str) -> Iterator[Image]:
    for names in folder.survivors():
        parts: list[list[Image]] = []
        for name, node in sorted(names.items()):
            path = f"{prefix}{name}"
            if isinstance(node, Folder):
                parts.append([{path: None} | image for image in _images(node, f"{path}/")])
            else:
                parts.append([{path: content} for content in sorted(node.survivors())])
        for chosen in itertools.product(*parts):
            yield {path: content for part in chosen for path, content in part.items()}


def _changed(
    names: Mapping[str, Node], changes: tuple[Mapping[str, Node | None], ...] | list[dict[str, Node | None]]
) -> dict[str, Node]:
    result = dict(names)
    for change in changes:
        for name, node in change.items():
            if node is None:
                result.pop(name, None)
            else:
                result[name] = node
    return result
