"""Picture files in and out: checked before they are decoded, upright, RGB; and finding them in folders."""

from __future__ import annotations

import logging
import os
import struct
import threading
from pathlib import Path

import cv2
import numpy as np

from maskwatch.errors import ImageError, OperatorError
from maskwatch.quiet import quiet_decoders
from maskwatch.types import Image

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp"})
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mjpeg", ".h264"})

MIN_SIDE_PX = 16
"""Below this side no face has a mouth and a nose to tell apart."""

MAX_PIXELS = 40_000_000
"""Decoded, 40 megapixels take 120 MB: the most that a Pi Zero 2 W (512 MB) can hold beside the networks."""

MAX_FILE_BYTES = 128 * 1024 * 1024
"""An uncompressed picture of MAX_PIXELS; a bigger file is no photograph."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_START_OF_SCAN = 0xDA
_JPEG_END_OF_IMAGE = b"\xff\xd9"


class _CutOffError(Exception):
    """The file ends before the picture does."""


def read_image(path: Path) -> Image:
    """Read a JPEG, PNG, WebP or BMP file as H×W×3 uint8 RGB, turned upright by its EXIF orientation.

    Greyscale becomes three equal channels, CMYK becomes RGB, 16 bits a channel become 8, transparency is dropped (the
    colours beneath it stay). Size and completeness are checked before anything is decoded.

    Raises:
        ImageError: missing, empty, cut off, damaged, another kind of file, a side under `MIN_SIDE_PX`, more than
            `MAX_PIXELS` pixels, or not readable by this user.
    """
    data = _read_bytes(path)
    try:
        size = _picture_size(data)
    except _CutOffError as error:
        raise ImageError(f"{path} is cut off in the middle: copy or download it again") from error
    if size is None:
        raise ImageError(f"{path} is not a picture that Maskwatch reads: give a JPEG, PNG, WebP or BMP file")
    check_size(str(path), *size)
    try:
        with quiet_decoders():
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(f"{path} is damaged and cannot be decoded: copy or download it again") from error
    if decoded is None:
        raise ImageError(f"{path} is damaged and cannot be decoded: copy or download it again")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB, dst=decoded).astype(np.uint8, copy=False)


def check_size(name: str, width_px: int, height_px: int) -> None:
    """Refuse a picture or video that is too small to hold a face or too big for a Pi's memory.

    Raises:
        ImageError: its message names `name`, the size and the bound.
    """
    if min(width_px, height_px) < MIN_SIDE_PX:
        raise ImageError(
            f"{name} has only {width_px}×{height_px} pixels: give one of at least {MIN_SIDE_PX}×{MIN_SIDE_PX}"
        )
    if width_px * height_px > MAX_PIXELS:
        raise ImageError(
            f"{name} has {width_px}×{height_px} pixels, over {MAX_PIXELS // 1_000_000} megapixels: scale it down first"
        )


def _picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, as a JPEG, PNG, WebP or BMP header states them (before EXIF rotation).

    None where the bytes are no such picture. OpenCV has no call that reads a header alone, and half of a JPEG it
    decodes without an error, hence this.

    Raises:
        _CutOffError: the file ends before its picture does.
    """
    try:
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data.startswith(_PNG_SIGNATURE):
            return _png_size(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data.startswith(b"BM"):
            return _bmp_size(data)
    except (struct.error, IndexError) as error:  # a field lies past the end
        raise _CutOffError from error
    return None


def write_image(path: Path, image: Image) -> None:
    """Write RGB pixels (H×W×3 uint8) as the format that the suffix names; the old file or the new, never half of one.

    Raises:
        OperatorError: the suffix names no picture format, or the file cannot be written.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise OperatorError(f"{path} names no picture format: end it in .jpg or .png")
    _, encoded = cv2.imencode(path.suffix.lower(), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        try:
            with temporary.open("wb") as file:
                file.write(encoded.tobytes())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OperatorError(
            f"{path} cannot be written ({error.strerror}): free some space or choose another folder"
        ) from error


def find_media(path: Path) -> list[Path]:
    """A file as itself; a folder as the pictures and videos in and below it, sorted, hidden files left out.

    Raises:
        ImageError: nothing is there, the folder holds no picture or video, or this user may not look into it.
    """
    try:
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise ImageError(f"{path} is not there: check the name of the picture, video or folder")
        os.listdir(path)  # rglob passes over a folder that it may not read
        found = sorted(
            entry
            for entry in path.rglob("*")
            if entry.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES
            and not any(part.startswith(".") for part in entry.relative_to(path).parts)
            and entry.is_file()
        )
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    if not found:
        raise ImageError(f"{path} holds no picture or video: put JPEG, PNG, WebP, BMP or MP4 files into it")
    return found


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.exists():
            raise ImageError(f"{path} is not there: check the name of the picture")
        if not path.is_file():  # a pipe or a device could go on for ever
            raise ImageError(f"{path} is not a file: give a JPEG, PNG, WebP or BMP file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ImageError(f"{path} is bigger than {MAX_FILE_BYTES // 1024 // 1024} MiB: scale it down first")
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror}): check its permissions and the disk") from error
    if not data:
        raise ImageError(f"{path} is empty (0 bytes): copy or download it again")
    return data


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Walk the segments (ITU-T T.81, annex B) to the first scan; its end-of-image marker must be there."""
    size: tuple[int, int] | None = None
    position = 2
    while True:
        position = data.find(b"\xff", position)  # between segments there may be rubbish, which decoders skip
        if position < 0:
            raise _CutOffError
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in _JPEG_WITHOUT_LENGTH:
            position += 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _JPEG_START_OF_FRAME and size is None:
            height, width = struct.unpack_from(">HH", data, position + 5)
            size = (width, height)
        if marker == _JPEG_START_OF_SCAN:
            if data.find(_JPEG_END_OF_IMAGE, position) < 0 or size is None:
                raise _CutOffError
            return size
        position += 2 + length


def _png_size(data: bytes) -> tuple[int, int]:
    """The header's size; the chunks must go on to the end chunk."""
    width, height = struct.unpack_from(">II", data, 16)
    position = len(_PNG_SIGNATURE)
    while data[position + 4 : position + 8] != b"IEND":
        (length,) = struct.unpack_from(">I", data, position)
        position += 12 + length
    return width, height


def _webp_size(data: bytes) -> tuple[int, int]:
    """The canvas of an extended file, or the size of its one picture (RFC 9649)."""
    (length,) = struct.unpack_from("<I", data, 4)
    if len(data) < 8 + length:
        raise _CutOffError
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _bmp_size(data: bytes) -> tuple[int, int]:
    """The size from the bitmap header; a negative height means rows from the top."""
    header_bytes, width, height = struct.unpack_from("<Iii", data, 14)
    if header_bytes == 12:  # the oldest header has 16-bit sides
        width, height = struct.unpack_from("<HH", data, 18)
    return abs(width), abs(height)
