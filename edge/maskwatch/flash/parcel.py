"""What goes to the doors: one bundle, verified here first, and its signature."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Parcel:
    """A bundle's bytes, its signature (empty: none), and its name and version."""

    data: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    sha256: str
    model: str

    @property
    def size_bytes(self) -> int:
        """How many bytes an upload has."""
        return len(self.data)


def read_parcel(path: Path) -> Parcel:
    """Read a bundle and what lies beside it as its signature. Raises BundleError for anything but a sound bundle."""
    from maskwatch.bundle import read_bundle, verify_bundle
    from maskwatch.signature import read_signature

    data = read_bundle(path)
    bundle = verify_bundle(data, path)
    model = f"{bundle.manifest.name} {bundle.manifest.version}"
    return Parcel(data, read_signature(path) or b"", bundle.sha256, model)
