"""Which Debian mirror this machine uses: read from apt's sources, in both of their formats."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

FALLBACK_MIRROR = "http://deb.debian.org/debian"
SUITES = {"bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"}

Entry = tuple[str, list[str], list[str]]
"""URI, suites, components."""


def debian_mirror(apt_folder: Path) -> str:
    """The mirror that this machine's apt uses for Debian itself, else Debian's own. `apt_folder`: /etc/apt."""
    files = [apt_folder / "sources.list", *sorted((apt_folder / "sources.list.d").glob("*"))]
    for path in filter(Path.is_file, files):
        entries = {".sources": _deb822_entries, ".list": _one_line_entries}.get(path.suffix)
        if entries is None:
            continue
        for uri, suites, components in entries(path.read_text(encoding="utf-8", errors="replace")):
            if uri.startswith(("http://", "https://")) and SUITES & set(suites) and "main" in components:
                return uri.rstrip("/")
    return FALLBACK_MIRROR


def _one_line_entries(text: str) -> Iterator[Entry]:
    for line in text.splitlines():
        words = re.sub(r"\[[^]]*\]", " ", line.partition("#")[0]).split()
        if len(words) > 2 and words[0] == "deb":
            yield words[1], words[2:3], words[3:]


def _deb822_entries(text: str) -> Iterator[Entry]:
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", lines):
        fields = {
            name.casefold(): value.split()
            for name, value in re.findall(r"^([\w-]+):(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE)
        }
        if "deb" in fields.get("types", []) and fields.get("enabled", ["yes"])[0].casefold() not in {"no", "false"}:
            for uri in fields.get("uris", []):
                yield uri, fields.get("suites", []), fields.get("components", [])
