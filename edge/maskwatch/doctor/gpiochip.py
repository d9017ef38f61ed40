"""Who uses a pin: what the kernel says of the header's GPIO lines, asked without claiming any.

Source: the kernel's own interface, linux/gpio.h (struct gpiochip_info, struct gpio_v2_line_info; Linux 5.10).
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

HEADER_CHIPS = ("pinctrl-bcm2", "pinctrl-rp1")
"""How the labels of the chips begin that the pins of a Pi's header hang on; a Pi has other chips too."""

_CHIP_INFO = struct.Struct("=32s32sI")
_LINE_INFO = struct.Struct("=32s32sIIQ160s16s")
_GET_CHIP_INFO = 0x8044B401  # _IOR(0xB4, 0x01, 68 bytes)
_GET_LINE_INFO = 0xC100B405  # _IOWR(0xB4, 0x05, 256 bytes)
_USED = 1

Ioctl = Callable[[int, int, bytearray], int]


@dataclass(frozen=True, slots=True)
class Line:
    """One pin: whether somebody has it, and how that user calls itself (often empty)."""

    used: bool
    consumer: str


def read_lines(pins: Iterable[int], folder: Path = Path("/dev"), ioctl: Ioctl = fcntl.ioctl) -> dict[int, Line]:
    """Each of these pins (BCM numbers) as it is now.

    Raises FileNotFoundError where no chip of a Pi's header is there, PermissionError where this user may use none,
    and OSError where the kernel does not tell.
    """
    refused: PermissionError | None = None
    for device in sorted(folder.glob("gpiochip*")):
        try:
            descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        except PermissionError as error:
            refused = error
            continue
        try:
            if _label(descriptor, ioctl).startswith(HEADER_CHIPS):
                return {pin: _line(descriptor, pin, ioctl) for pin in pins}
        finally:
            os.close(descriptor)
    if refused is not None:
        raise refused
    raise FileNotFoundError("no GPIO chip of a Raspberry Pi's header")


def _label(descriptor: int, ioctl: Ioctl) -> str:
    buffer = bytearray(_CHIP_INFO.size)
    ioctl(descriptor, _GET_CHIP_INFO, buffer)
    return _text(_CHIP_INFO.unpack(buffer)[1])


def _line(descriptor: int, pin: int, ioctl: Ioctl) -> Line:
    buffer = bytearray(_LINE_INFO.pack(b"", b"", pin, 0, 0, b"", b""))
    ioctl(descriptor, _GET_LINE_INFO, buffer)
    _, consumer, _, _, flags, _, _ = _LINE_INFO.unpack(buffer)
    return Line(bool(flags & _USED), _text(consumer))


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")
