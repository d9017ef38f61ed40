"""Text for a terminal: faults and file names as one line each, whatever characters they hold."""

from __future__ import annotations

import sys


def one_line(text: str) -> str:
    """The text with line breaks, control characters and what is no Unicode (odd file names) escaped as in Python."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def print_fault(fault: object) -> None:
    """Say on stderr, in one line, what is wrong."""
    print(f"maskwatch: {one_line(str(fault))}", file=sys.stderr, flush=True)
