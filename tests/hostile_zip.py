"""ZIP files byte by byte, as no library would write them: every field can lie."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

MANIFEST = b"manifest.json"


@dataclass(frozen=True)
class Entry:
    """One member. What is None, or not given, is as it should be."""

    name: bytes
    content: bytes
    local_name: bytes | None = None
    size: int | None = None
    packed_size: int | None = None
    crc: int | None = None
    offset: int | None = None
    method: int = 0
    flags: int = 0
    attributes: int = 0
    version: int = 20
    extra: bytes = b""
    comment: bytes = b""


@dataclass(frozen=True)
class End:
    """The record at the end. What is None is as it should be; with `big`, its ZIP64 twin says it, and it all ones."""

    count: int | None = None
    size: int | None = None
    offset: int | None = None
    comment: bytes = b""
    big: bool = False


def given(value: int | None, truth: int, bits: int) -> int:
    """The lie, or else the truth, as a field of that many bits holds it."""
    return (truth if value is None else value) & (1 << bits) - 1


def _figures(entry: Entry) -> tuple[int, int, int]:
    """Checksum, packed size and size, as both headers say them."""
    crc = given(entry.crc, zlib.crc32(entry.content), 32)
    return crc, given(entry.packed_size, len(entry.content), 32), given(entry.size, len(entry.content), 32)


def local_header(entry: Entry) -> bytes:
    """What stands before a member's content."""
    name = entry.name if entry.local_name is None else entry.local_name
    return (
        struct.pack("<4s5H3I2H", b"PK\3\4", 20, entry.flags, entry.method, 0, 33, *_figures(entry), len(name), 0) + name
    )


def zip_bytes(entries: Sequence[Entry], end: End | None = None, prefix: bytes = b"") -> bytes:
    """The whole file."""
    end = End() if end is None else end
    body = bytearray(prefix)
    directory = bytearray()
    for entry in entries:
        offset = given(entry.offset, len(body), 32)
        body += local_header(entry) + entry.content
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, entry.version, entry.flags, entry.method, 0, 33,
                                 *_figures(entry), len(entry.name), len(entry.extra), len(entry.comment), 0, 0,
                                 entry.attributes, offset)  # fmt: skip
        directory += entry.name + entry.extra + entry.comment
    start = len(body)
    count, length, offset = (
        given(lie, truth, 64)
        for lie, truth in ((end.count, len(entries)), (end.size, len(directory)), (end.offset, start))
    )
    twin = b""
    if end.big:
        twin = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, offset)
        twin += struct.pack("<4sIQI", b"PK\6\7", 0, start + len(directory), 1)
        count = length = offset = 2**32 - 1
    last = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, length & 2**32 - 1,
                       offset & 2**32 - 1, len(end.comment))  # fmt: skip
    return bytes(body + directory + twin + last + end.comment)


def overlapping_zip(count: int, kernel: bytes, prefix: bytes = b"") -> bytes:
    """Members that lie within each other: each holds the header of the next, and the innermost one the kernel.

    All is as a ZIP should be, names and checksums too (D. Fifield, A better zip bomb, 2019).
    """
    content = kernel
    entries: list[Entry] = []
    for number in range(count):
        claimed = Entry(b"k%d" % number, b"", size=len(content), packed_size=len(content), crc=zlib.crc32(content))
        entries.insert(0, claimed)
        content = local_header(claimed) + content
    return zip_bytes([*entries[:-1], Entry(entries[-1].name, kernel)], prefix=prefix)


def entries_of(data: bytes) -> list[Entry]:
    """The members of a sound, stored ZIP."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [Entry(name.encode(), archive.read(name)) for name in archive.namelist()]


def with_manifest(entries: Sequence[Entry], text: bytes) -> bytes:
    """The ZIP of the same members, but with another manifest.json."""
    return zip_bytes([replace(entry, content=text) if entry.name == MANIFEST else entry for entry in entries])
