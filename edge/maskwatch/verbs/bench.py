"""`maskwatch bench`: how fast this machine decides, and what the daemon costs it."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode

if TYPE_CHECKING:
    from maskwatch.bench import Timing
    from maskwatch.bundle import Bundle
    from maskwatch.footprint import Footprint
    from maskwatch.types import Image

HELP = "time the pipeline on this machine, and measure the daemon's memory and its start"
EXAMPLE = "  maskwatch bench --repeat 200 --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="model bundle (default: the built-in one)")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="what to look at (default: the demo's portrait)")
    parser.add_argument("--repeat", type=_count, default=100, metavar="N", help="rounds to time (default: 100)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> ExitCode:
    """Time the pipeline, then start and stop a daemon; print a table or one JSON object."""
    from maskwatch.bench import camera_frame, time_pipeline
    from maskwatch.footprint import measure_daemon
    from maskwatch.images import read_image
    from maskwatch.verbs.pictures import chosen_bundle

    bundle = chosen_bundle(args.bundle)
    picture = _demo_picture() if args.picture is None else read_image(args.picture)
    timing = time_pipeline(bundle, camera_frame(picture), args.repeat)
    footprint = measure_daemon(bundle.path)
    shown = "the demo's portrait" if args.picture is None else str(args.picture)
    if args.json:
        print(json.dumps(_record(bundle, shown, timing, footprint), ensure_ascii=False))
    else:
        for line in _table(bundle, shown, timing, footprint):
            print(line)
    return ExitCode.DONE


def _demo_picture() -> Image:
    """The demo's first frame. Raises OperatorError where the portrait is not installed."""
    from maskwatch.cameras import make_camera
    from maskwatch.config import CameraSettings

    camera = make_camera(CameraSettings(source="demo"))
    camera.open()
    frame = camera.read(timeout_s=1.0)
    camera.close()
    assert frame is not None, "the demo never ends"
    return frame.image


def _record(bundle: Bundle, picture: str, timing: Timing, footprint: Footprint) -> dict[str, object]:
    """All figures under keys whose names carry the units."""
    from maskwatch.bench import HEIGHT_PX, WIDTH_PX

    return {
        "machine": platform.machine(),
        "bundle": f"{bundle.manifest.name} {bundle.manifest.version}",
        "bundle_bytes": bundle.size_bytes,
        "network_bytes": _network_bytes(bundle),
        "picture": picture,
        "width": WIDTH_PX,
        "height": HEIGHT_PX,
        "faces": timing.faces,
        "rounds": timing.rounds,
        "threads": 1,
        "stages": {name.replace(" ", "_"): asdict(spread) for name, spread in timing.spreads.items()},
        "daemon": asdict(footprint),
    }


def _table(bundle: Bundle, picture: str, timing: Timing, footprint: Footprint) -> Iterator[str]:
    from maskwatch.bench import HEIGHT_PX, WHOLE, WIDTH_PX

    faces = f"{timing.faces} face{'' if timing.faces == 1 else 's'}"
    yield f"{picture}, {WIDTH_PX}×{HEIGHT_PX}, {faces}, 1 thread, {timing.rounds} rounds, {platform.machine()}"
    yield f"{'milliseconds':22}{'median':>9}{'p10':>9}{'p90':>9}"
    for name, spread in timing.spreads.items():
        indented = name if name == WHOLE else f"  {name}"
        yield f"{indented:22}{spread.median_ms:9.2f}{spread.p10_ms:9.2f}{spread.p90_ms:9.2f}"
    yield f"{'bytes':22}"
    for name, size_bytes in _network_bytes(bundle).items():
        yield f"  {name:20}{size_bytes:9,}"
    yield f"  {f'{bundle.manifest.name} {bundle.manifest.version}':20}{bundle.size_bytes:9,}"
    yield "daemon on the demo source"
    yield f"  {'to first verdict':20}{footprint.first_verdict_seconds:9.2f} s"
    yield f"  {'to stop':20}{footprint.stop_seconds:9.2f} s"
    yield f"  {'resident memory':20}{footprint.resident_bytes / 1024**2:9.1f} MiB"
    yield f"  {'peak memory':20}{footprint.peak_bytes / 1024**2:9.1f} MiB"


def _network_bytes(bundle: Bundle) -> dict[str, int]:
    manifest = bundle.manifest
    files = [manifest.classifier.file] if manifest.finder is None else [manifest.finder.file, manifest.classifier.file]
    return {name: len(bundle.member(name)) for name in files}


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 100_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 100000")
    return count
