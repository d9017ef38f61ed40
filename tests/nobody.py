"""Whom a machine trusts that asks for no signatures, whatever the one that runs the tests may ask for."""

from __future__ import annotations

from pathlib import Path

from maskwatch.trust import Trust

NOBODY = Trust(Path("/nonexistent/allowed_signers"), Path("/nonexistent/revoked_keys"))
