"""`python -m maskwatch.installer.trial`: does a fresh environment hold all that the door needs? Runs inside of it.

With a file of settings: does this version know them all?
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def main(words: Sequence[str]) -> None:
    """Import what is heavy, or read the settings that are named.

    Raises ImportError where something is missing, SystemExit where numpy is not the system's or a setting is wrong.
    """
    if words:
        _read_settings(Path(words[0]))
    else:
        _import_all()


def _read_settings(path: Path) -> None:
    from maskwatch.config import load_settings
    from maskwatch.errors import ConfigError

    try:
        load_settings(path)
    except ConfigError as error:
        sys.exit(f"error: {error}")


def _import_all() -> None:
    import cv2  # noqa: F401 (to be there is its trial)
    import gpiozero  # noqa: F401
    import numpy as np

    from maskwatch.interpreter import load_runtime

    load_runtime()
    if np.__file__.startswith(sys.prefix):
        sys.exit(f"error: pip brought a numpy {np.__version__} of its own beside the system's")


if __name__ == "__main__":
    main(sys.argv[1:])
