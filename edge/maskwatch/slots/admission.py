"""Which bundles may be tried on this door: signed by somebody trusted, whole, not older, and with the right answers."""

from __future__ import annotations

from pathlib import Path

from maskwatch.bundle import Bundle, default_bundle_path, open_bundle, verify_bundle
from maskwatch.errors import BundleError, OperatorError, SignatureError
from maskwatch.limits import MAX_BUNDLE_BYTES
from maskwatch.signature import check_signature
from maskwatch.slots.states import Slot, State, one_line
from maskwatch.trust import Trust
from maskwatch.verify import verify_networks

_REMEDIES = {
    True: "the TFLite runtime here is not the one that the bundle was made for: update Maskwatch on this machine",
    False: "make the bundle anew",
}
"""By whether it is a golden vector that failed."""


def admit(data: bytes, signature: bytes | None, trust: Trust, origin: Path) -> tuple[Slot, Bundle]:
    """Describe and open a bundle that is in memory, sound and signed as this machine asks. Runs nothing of it.

    Raises SignatureError or BundleError, which name `origin`.
    """
    if len(data) > MAX_BUNDLE_BYTES:
        raise BundleError(f"{origin}: larger than {MAX_BUNDLE_BYTES // 1024**2} MiB, too large for a bundle")
    try:
        signer = check_signature(data, signature, trust)
    except SignatureError as error:
        raise SignatureError(f"{origin}: {error}") from error
    bundle = verify_bundle(data, origin)
    manifest = bundle.manifest
    signed_by = None if signer is None else one_line(signer)
    return Slot(sha256=bundle.sha256, name=manifest.name, version=manifest.version, signer=signed_by), bundle


def refuse_downgrade(state: State, candidate: Slot, origin: Path) -> None:
    """Raise BundleError for a lower version of what runs now."""
    name, version = _running(state)
    if name == candidate.name and _parts(candidate.version) < _parts(version):
        raise BundleError(
            f"{origin}: {name} {candidate.version} is older than {version}, which this door has: --force installs it"
        )


def prove(bundle: Bundle) -> None:
    """Run a bundle's golden vectors on this machine, and all that a door does with a picture.

    Raises BundleError where a network answers otherwise than when the bundle was made, or not as its manifest says;
    OperatorError where no answer can be had.
    """
    for check in verify_networks(bundle):
        if check.ok is None:
            raise OperatorError(f"{bundle.path}: {check.name}: cannot be verified: {check.detail}")
        if not check.ok:
            remedy = _REMEDIES[check.golden]
            raise BundleError(f"{bundle.path}: {check.name}: {check.detail}: {remedy}")


def _running(state: State) -> tuple[str, str]:
    """The name and version of the active bundle; two empty texts where nobody can tell."""
    slot = state.active_slot
    if slot is not None:
        return slot.name, slot.version
    try:
        manifest = open_bundle(default_bundle_path()).manifest
    except BundleError:
        return "", ""
    return manifest.name, manifest.version


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
