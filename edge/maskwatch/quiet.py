"""Keeps the chatter of native decoders off the user's terminal. Imports nothing of ours."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

# libjpeg, libpng and ffmpeg write to file descriptor 2 themselves; nothing in OpenCV's Python interface stops them.
_CHATTER = re.compile(
    rb"libpng (error|warning)|Corrupt JPEG|Premature end of JPEG|Invalid SOS|Invalid JPEG|Unsupported marker"
    rb"|Inconsistent progression|Warning: unknown JFIF|\[ ?(INFO|WARN|ERROR|DEBUG):\d+@|\[[\w,.]+ @ 0x|TIFF|OpenCV"
    rb"|INFO: Created TensorFlow Lite XNNPACK delegate"
)
_window = threading.Lock()


@contextmanager
def quiet_decoders(patience_s: float = 0.0) -> Iterator[None]:
    """Send what native decoders write to stderr in this block to the debug log instead.

    Descriptor 2 belongs to the whole process, so lines that no decoder wrote (another thread's log, a progress bar)
    are handed on when the block ends; keep it to one short decoding call. Where another thread is inside already, this
    one waits `patience_s` at most for it to end, and else goes on without a window of its own: a frame must not wait.
    Does nothing where stderr is closed.
    """
    if not hasattr(os, "memfd_create") or not _window.acquire(timeout=patience_s):
        yield
        return
    try:
        try:
            stderr = os.dup(2)
        except OSError:  # a daemon without stderr: nothing to keep clean
            yield
            return
        sink = os.memfd_create("decoder-stderr")
        os.dup2(sink, 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            _hand_on(sink)
            os.close(sink)
    finally:
        _window.release()


def _hand_on(sink: int) -> None:
    size = os.lseek(sink, 0, os.SEEK_CUR)
    if size == 0:
        return
    for line in os.pread(sink, size, 0).splitlines(keepends=True):
        if not line.strip() or _CHATTER.match(line):
            logger.debug("decoder: %s", line.decode(errors="replace").rstrip())
        else:
            os.write(2, line)
