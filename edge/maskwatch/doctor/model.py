"""The model: its bundle, the runtime under it, whether both answer as recorded, and its age."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.doctor.findings import Finding, failed, ok, skipped, warning
from maskwatch.doctor.probes import Probes
from maskwatch.errors import BundleError, RuntimeMissingError

if TYPE_CHECKING:
    from maskwatch.bundle import Bundle
    from maskwatch.manifest import Manifest
    from maskwatch.slots.store import Slots

OLD = timedelta(days=365)
"""Masks, habits and cameras change; so does what we know of training."""

_NO_BUNDLE = "no bundle that opens"
_INSTALL_RUNTIME = "on a 64-bit system, in the venv that runs Maskwatch: pip install ai-edge-litert"


@dataclass(frozen=True, slots=True)
class InUse:
    """The bundle that a door runs here: its file (None: the built-in one), and which slot's it is, in words.

    `fault` says why another one should run, and `advice` what to do about that.
    """

    path: Path | None
    place: str = ""
    fault: str = ""
    advice: str = ""


def bundle_in_use(slots: Slots) -> InUse:
    """What runs where the settings name no bundle."""
    try:
        slots.state_path.stat()
    except PermissionError:
        return InUse(None, "", "this user may not see whether another one runs from a slot", "sudo maskwatch doctor")
    except OSError:
        pass  # as before the first bundle, or as `choose` tells
    choice = slots.choose()
    place = "" if choice.slot is None else f"slot {choice.slot}, {'on trial' if choice.trying else 'confirmed'}"
    advice = "install a sound bundle: maskwatch slots install FILE; what runs now: maskwatch slots list"
    return InUse(choice.path, place, "; ".join(choice.faults), advice)


def check_runtime() -> list[Finding]:
    """Which TFLite runtime there is."""
    from maskwatch.interpreter import load_runtime

    try:
        runtime = load_runtime()
    except RuntimeMissingError as error:
        return [failed("runtime", str(error), _INSTALL_RUNTIME)]
    name = str(runtime.__name__).partition(".")[0].replace("_", "-")
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # built by hand, or Debian's
        version = "of unknown version"
    return [ok("runtime", f"{name} {version}")]


def check_xnnpack(path: Path | None) -> list[Finding]:
    """Whether the runtime runs the bundle's networks on XNNPACK, without which int8 results differ."""
    from maskwatch.interpreter import PictureModel, load_runtime

    bundle = _opened(path)
    if bundle is None:
        return [skipped("xnnpack", _NO_BUNDLE)]
    try:
        load_runtime()
    except RuntimeMissingError:
        return [skipped("xnnpack", "no runtime")]
    names = _networks(bundle.manifest)
    for name in names:
        try:
            PictureModel(bundle.member(name))
        except RuntimeMissingError as error:
            return [failed("xnnpack", f"{name}: {error}", _INSTALL_RUNTIME)]
        except BundleError:
            return [skipped("xnnpack", f"{name} does not load")]
    return [ok("xnnpack", f"runs {' and '.join(names)}")]


def check_bundle(in_use: InUse) -> list[Finding]:
    """Whether the bundle opens: schema, hashes, sizes; and whether it is the one that should run."""
    from maskwatch.bundle import default_bundle_path, open_bundle

    try:
        bundle = open_bundle(default_bundle_path() if in_use.path is None else in_use.path)
    except BundleError as error:
        advice = "copy the bundle again, or name another as bundle under [model]; empty: the active slot's or built-in"
        return [failed("bundle", str(error), advice)]
    manifest = bundle.manifest
    measured = f"{manifest.name} {manifest.version}, {bundle.size_bytes:,} bytes, all hashes match"
    if in_use.place:
        measured = f"{in_use.place}: {measured}"
    if manifest.finder is None:
        return [failed("bundle", f"{measured}, but no face finder in it", "a door needs a bundle with one")]
    if in_use.fault:
        return [warning("bundle", f"{measured}; but {in_use.fault}", in_use.advice)]
    return [ok("bundle", measured)]


def check_golden_vectors(path: Path | None) -> list[Finding]:
    """Whether the networks answer here to the last bit as they did where the bundle was made."""
    from maskwatch.interpreter import load_runtime
    from maskwatch.verify import verify_networks

    bundle = _opened(path)
    if bundle is None:
        return [skipped("golden_vectors", _NO_BUNDLE)]
    try:
        load_runtime()
        checks = list(verify_networks(bundle))
    except RuntimeMissingError as error:
        return [skipped("golden_vectors", str(error))]
    wrong = [f"{check.name}: {check.detail}" for check in checks if check.ok is False]
    if wrong:
        advice = "do not trust this machine's verdicts: install the locked packages again, or a bundle made for them"
        return [failed("golden_vectors", "; ".join(wrong), advice)]
    untold = [f"{check.name}: {check.detail}" for check in checks if check.ok is None]
    if untold:
        return [warning("golden_vectors", "; ".join(untold), "make the bundle anew: maskwatch convert")]
    return [ok("golden_vectors", f"all {len(bundle.manifest.golden)} answered bit for bit")]


def check_age(path: Path | None, probes: Probes) -> list[Finding]:
    """How old the model is by this machine's clock."""
    bundle = _opened(path)
    if bundle is None:
        return [skipped("model_age", _NO_BUNDLE)]
    made_at = bundle.manifest.made_at
    age = probes.now() - datetime.fromisoformat(made_at)
    if age < timedelta():
        return [skipped("model_age", f"made {made_at}, which this clock has not reached")]
    measured = f"made {made_at}, {age.days} days ago"
    if age > OLD:
        return [warning("model_age", measured, "train it anew and flash that, or update Maskwatch")]
    return [ok("model_age", measured)]


def check_clock(path: Path | None, probes: Probes) -> list[Finding]:
    """Whether the clock can be right: it must not be before the model was made."""
    now = probes.now()
    shown = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    bundle = _opened(path)
    if bundle is None:
        return [skipped("clock", f"{shown}; {_NO_BUNDLE}, whose date would be compared")]
    made_at = bundle.manifest.made_at
    if now < datetime.fromisoformat(made_at):
        advice = "sudo timedatectl set-ntp true, where there is a network; else fit a real-time clock"
        return [failed("clock", f"{shown}, but the model was made later, {made_at}", advice)]
    return [ok("clock", f"{shown}, after the model was made")]


def _opened(path: Path | None) -> Bundle | None:
    from maskwatch.bundle import default_bundle_path, open_bundle

    try:
        return open_bundle(default_bundle_path() if path is None else path)
    except BundleError:  # `check_bundle` tells of it
        return None


def _networks(manifest: Manifest) -> list[str]:
    return [part.file for part in (manifest.finder, manifest.classifier) if part is not None]
