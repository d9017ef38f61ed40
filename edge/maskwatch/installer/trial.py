"""`python -m maskwatch.installer.trial`: does a fresh environment hold all that the door needs? Runs inside of it."""

from __future__ import annotations

import sys


def main() -> None:
    """Import what is heavy. Raises ImportError where it is missing, SystemExit where numpy is not the system's."""
    import cv2  # noqa: F401 (to be there is its trial)
    import gpiozero  # noqa: F401
    import numpy as np

    from maskwatch.interpreter import load_runtime

    load_runtime()
    if np.__file__.startswith(sys.prefix):
        sys.exit(f"error: pip brought a numpy {np.__version__} of its own beside the system's")


if __name__ == "__main__":
    main()
