"""`maskwatch` on a machine whose disk has no room left."""

from __future__ import annotations

import sys

from maskwatch import incoming
from maskwatch.cli import main

if __name__ == "__main__":
    incoming._free_bytes = lambda folder: 100_000
    sys.exit(main())
