"""Uploads that are under way: they resume, are bounded, and never count as whole when they are not."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from maskwatch.errors import OperatorError, TryAgainError
from maskwatch.incoming import MAX_PARTS, SPARE_BYTES, Incoming, read_stream

DATA = bytes(range(256)) * 1000
SHA = hashlib.sha256(DATA).hexdigest()


@contextmanager
def stream(data: bytes, then: Callable[[], object] = lambda: None) -> Iterator[IO[bytes]]:
    """What a connection brings, before it ends; `then` comes before its end."""
    reading, writing = os.pipe()

    def send() -> None:
        # refused half-way: closing would send the rest, and fail once more
        with suppress(BrokenPipeError), os.fdopen(writing, "wb") as sender:
            sender.write(data)
            sender.flush()
            then()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with os.fdopen(reading, "rb", buffering=0) as receiver:
            yield receiver
    finally:
        thread.join(10.0)
        assert not thread.is_alive()


def take(incoming: Incoming, data: bytes, offset: int = 0, size: int = len(DATA), sha256: str = SHA) -> int:
    with stream(data) as source:
        return incoming.take(sha256, size, offset, source)


@pytest.fixture
def incoming(tmp_path: Path) -> Incoming:
    return Incoming(tmp_path / "slots" / "incoming", silence_s=0.2)


def test_an_upload_that_is_whole_can_be_read(incoming: Incoming) -> None:
    assert incoming.have_bytes(SHA, len(DATA)) == 0
    assert take(incoming, DATA) == len(DATA)
    assert incoming.read(SHA) == DATA
    incoming.drop(SHA)
    incoming.drop(SHA)
    assert incoming.have_bytes(SHA, len(DATA)) == 0
    with pytest.raises(TryAgainError, match="upload it again"):
        incoming.read(SHA)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, len(DATA)), max_size=6))
def test_an_upload_goes_on_wherever_it_broke_off(tmp_path_factory: pytest.TempPathFactory, ends: list[int]) -> None:
    incoming = Incoming(tmp_path_factory.mktemp("door") / "slots" / "incoming", silence_s=5.0)
    for end in sorted(ends):
        have = incoming.have_bytes(SHA, len(DATA))
        assert take(incoming, DATA[have:end], have) == max(have, end)
    have = incoming.have_bytes(SHA, len(DATA))
    assert have == max(ends, default=0)
    assert take(incoming, DATA[have:], have) == len(DATA)
    assert incoming.read(SHA) == DATA


def test_more_than_was_promised_is_not_taken(incoming: Incoming) -> None:
    assert take(incoming, DATA + b"more") == len(DATA)
    assert incoming.read(SHA) == DATA


def test_another_file_than_was_promised_is_removed(incoming: Incoming) -> None:
    with pytest.raises(TryAgainError, match="SHA-256 differs"):
        take(incoming, bytes(len(DATA)))
    assert incoming.have_bytes(SHA, len(DATA)) == 0


def test_an_offset_that_is_not_the_end_is_refused_and_the_part_is_left(incoming: Incoming) -> None:
    take(incoming, DATA[:1000])
    for offset in (1, 999, 1001):
        with pytest.raises(TryAgainError, match="1000 bytes lie here"):
            take(incoming, DATA[offset:], offset)
    assert incoming.have_bytes(SHA, len(DATA)) == 1000


def test_an_upload_may_begin_anew(incoming: Incoming) -> None:
    take(incoming, bytes(1000))
    assert take(incoming, DATA) == len(DATA)


def test_a_part_longer_than_the_bundle_counts_as_nothing(incoming: Incoming) -> None:
    take(incoming, DATA[:1000])
    assert incoming.have_bytes(SHA, 999) == 0


def test_two_uploads_of_one_bundle_do_not_mix(incoming: Incoming) -> None:
    refused: list[str] = []

    def second() -> None:
        assert incoming.is_busy(SHA)
        with pytest.raises(TryAgainError, match="another upload of this bundle is going on") as error:
            take(incoming, b"other")
        refused.append(str(error.value))

    started = threading.Event()

    class Noticed(Incoming):
        def _append(self, *args: object) -> int:
            started.set()
            return super()._append(*args)  # type: ignore[arg-type]

    def when_the_first_is_at_work() -> None:
        assert started.wait(10.0)
        second()

    with stream(DATA, when_the_first_is_at_work) as source:
        first = Noticed(incoming.folder, silence_s=10.0)
        assert first.take(SHA, len(DATA) + 1, 0, source) == len(DATA)
    assert len(refused) == 1
    assert not incoming.is_busy(SHA)


def test_a_sender_who_says_nothing_is_given_up_and_what_came_stays(incoming: Incoming) -> None:
    done = threading.Event()
    with stream(DATA[:5000], lambda: done.wait(10.0)) as source:
        with pytest.raises(TryAgainError, match="nothing came for 0 s, with 5000 of"):
            incoming.take(SHA, len(DATA), 0, source)
        done.set()
    assert incoming.have_bytes(SHA, len(DATA)) == 5000
    assert not incoming.is_busy(SHA)


# Bounds


def test_only_so_many_broken_uploads_are_kept_and_the_oldest_goes_first(incoming: Incoming) -> None:
    names = [f"{number:064x}" for number in range(MAX_PARTS + 1)]
    for age, name in enumerate(names):
        take(incoming, DATA[:100], sha256=name)
        os.utime(incoming.folder / f"{name}.part", (age, age))
    kept = {path.name.partition(".")[0] for path in incoming.folder.iterdir()}
    assert kept == set(names[1:])


def test_what_is_being_written_is_not_removed_and_no_more_begin(incoming: Incoming) -> None:
    names = [f"{number:064x}" for number in range(MAX_PARTS)]
    with ExitStack() as uploads:
        for name in names:
            take(incoming, DATA[:1000], sha256=name)
            part = uploads.enter_context((incoming.folder / f"{name}.part").open("rb"))
            fcntl.flock(part, fcntl.LOCK_EX)
        with pytest.raises(TryAgainError, match="4 other uploads are going on there: try again when one is done"):
            take(incoming, DATA)
    assert {path.stem for path in incoming.folder.iterdir()} == set(names)
    assert take(incoming, DATA) == len(DATA)


def test_a_stream_is_read_to_its_end_or_to_its_bound_and_not_for_ever() -> None:
    for data, read in ((b"", b""), (DATA[:3000], DATA[:3000]), (DATA[:5000], DATA[:4097])):
        with stream(data) as source:
            assert read_stream(source, 4097) == read
    done = threading.Event()
    with stream(b"x", lambda: done.wait(30)) as source:
        with pytest.raises(TryAgainError, match="nothing came for 0 s"):
            read_stream(source, 4097, silence_s=0.1)
        done.set()


def test_a_full_disk_is_one_line_before_a_byte_is_written(tmp_path: Path) -> None:
    incoming = Incoming(tmp_path / "slots" / "incoming", free_bytes=lambda _: 100_000)
    with pytest.raises(OperatorError, match=r"the disk is full: 0\.1 MB are free at .*needs 8\.9 MB: make room"):
        take(incoming, DATA)
    assert list(incoming.folder.iterdir()) == []


def test_what_is_left_of_other_uploads_gives_way_where_room_is_short(tmp_path: Path) -> None:
    folder = tmp_path / "slots" / "incoming"
    take(Incoming(folder), DATA[:100], sha256="a" * 64)

    def free_bytes(_: Path) -> int:
        return 0 if (folder / f"{'a' * 64}.part").exists() else SPARE_BYTES + 2 * len(DATA)

    assert take(Incoming(folder, free_bytes=free_bytes), DATA) == len(DATA)


def test_the_disk_that_fills_up_meanwhile_is_one_line(incoming: Incoming, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    with stream(DATA[:100]) as source:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OperatorError, match="the disk is full"):
            incoming.take(SHA, len(DATA), 0, source)
        monkeypatch.undo()


# Rights


def test_the_group_may_go_on_with_what_another_member_left(incoming: Incoming) -> None:
    before = os.umask(0o077)
    try:
        take(incoming, DATA[:100])
    finally:
        os.umask(before)
    assert stat.S_IMODE(incoming.folder.stat().st_mode) & 0o777 == 0o770
    assert stat.S_IMODE((incoming.folder / f"{SHA}.part").stat().st_mode) == 0o660


@pytest.mark.parametrize("what", ["folder", "part"])
def test_a_link_is_not_followed(incoming: Incoming, tmp_path: Path, what: str) -> None:
    """A member of the group could have root write elsewhere."""
    (tmp_path / "slots").mkdir()
    target = tmp_path / "elsewhere"
    if what == "folder":
        target.mkdir()
        kept = [target / name for name in ("shadow", *(f"{number:064x}.part" for number in range(9)))]
        for path in kept:
            path.write_bytes(b"precious")
        incoming.folder.symlink_to(target)
    else:
        kept = [target]
        target.write_bytes(b"precious")
        incoming.folder.mkdir()
        (incoming.folder / f"{SHA}.part").symlink_to(target)
    with pytest.raises(OperatorError):
        take(incoming, DATA)
    for path in kept:
        assert path.read_bytes() == b"precious"
