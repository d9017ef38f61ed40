"""`maskwatch bench`: how fast this machine decides, and what the daemon costs it."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode
from maskwatch.verbs.plain import one_line

if TYPE_CHECKING:
    from maskwatch.bench import Comparison, Cost, OtherModel, Spread, Timing
    from maskwatch.bundle import Bundle
    from maskwatch.footprint import Footprint
    from maskwatch.idle_bench import Resting
    from maskwatch.types import Image

HELP = "time the pipeline on this machine, and measure the daemon's memory, its start and its rest"
EXAMPLE = """\
  maskwatch bench --repeat 200 --json
  maskwatch bench --against other-detector.tflite"""


class _Once(argparse.Action):
    """An option of which a second one is a mistake, not a correction."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            raise argparse.ArgumentError(self, "give it once")
        setattr(namespace, self.dest, values)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="model bundle (default: the built-in one)")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="what to look at (default: the demo's portrait)")
    parser.add_argument("--repeat", type=_count, default=100, metavar="N", help="rounds to time (default: 100)")
    parser.add_argument(
        "--against",
        type=Path,
        action=_Once,
        metavar="FILE",
        help="any TFLite file that takes one picture, to be timed in turns with the bundle's networks",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> ExitCode:
    """Time the pipeline, run daemons for a while, and print a table or one JSON object."""
    from maskwatch.bench import camera_frame, compare, network_costs, open_model, time_pipeline
    from maskwatch.footprint import measure_daemon
    from maskwatch.idle_bench import measure_resting
    from maskwatch.images import read_image
    from maskwatch.verbs.pictures import chosen_bundle

    bundle = chosen_bundle(args.bundle)
    other = None if args.against is None else open_model(args.against)
    frame = camera_frame(_demo_picture() if args.picture is None else read_image(args.picture))
    costs = network_costs(bundle)
    timing = time_pipeline(bundle, frame, args.repeat)
    against = None if other is None else (other, compare(bundle, other, frame, args.repeat))
    footprint = measure_daemon(bundle.path)
    resting = measure_resting(bundle.path)
    shown = "the demo's portrait" if args.picture is None else str(args.picture)
    results = _Results(bundle, shown, costs, timing, against, footprint, resting)
    if args.json:
        print(json.dumps(_record(results)))
    else:
        for line in _table(results):
            print(line)
    return ExitCode.DONE


@dataclass(frozen=True, slots=True)
class _Results:
    """All that is printed, in one shape or the other."""

    bundle: Bundle
    picture: str
    costs: dict[str, Cost]
    timing: Timing
    against: tuple[OtherModel, Comparison] | None
    footprint: Footprint
    resting: Resting

    @property
    def bundle_name(self) -> str:
        return f"{self.bundle.manifest.name} {self.bundle.manifest.version}"

    @property
    def faces(self) -> str:
        return f"{self.timing.faces} face{'' if self.timing.faces == 1 else 's'}"

    @property
    def look_ratio(self) -> float:
        """A look for motion, as a share of the time that a whole frame takes."""
        from maskwatch.bench import WHOLE

        return self.resting.look.median_ms / self.timing.spreads[WHOLE].median_ms

    @property
    def frame_cost(self) -> Cost:
        """Both networks' bytes; one finder pass, and one classifier pass a face."""
        from maskwatch.bench import Cost

        finder, classifier = self.costs.values()
        multiply_accumulates = finder.multiply_accumulates + self.timing.faces * classifier.multiply_accumulates
        return Cost(finder.file_bytes + classifier.file_bytes, multiply_accumulates)


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


def _record(results: _Results) -> dict[str, object]:
    """All figures under keys whose names carry the units."""
    from maskwatch.bench import HEIGHT_PX, WIDTH_PX

    timing = results.timing
    record: dict[str, object] = {
        "machine": platform.machine(),
        "bundle": results.bundle_name,
        "bundle_bytes": results.bundle.size_bytes,
        "network_bytes": {file: cost.file_bytes for file, cost in results.costs.items()},
        "network_multiply_accumulates": {file: cost.multiply_accumulates for file, cost in results.costs.items()},
        "frame_multiply_accumulates": results.frame_cost.multiply_accumulates,
        "picture": results.picture,
        "width": WIDTH_PX,
        "height": HEIGHT_PX,
        "faces": timing.faces,
        "rounds": timing.rounds,
        "threads": 1,
        "stages": {name.replace(" ", "_"): asdict(spread) for name, spread in timing.spreads.items()},
        "daemon": asdict(results.footprint),
        "resting": {
            **asdict(results.resting),
            "saved_cpu_ratio": results.resting.saved_ratio,
            "look_to_frame_ratio": results.look_ratio,
        },
    }
    if results.against is not None:
        other, comparison = results.against
        record["against"] = {
            "path": str(other.path),
            "width_px": other.model.input_shape[2],
            "height_px": other.model.input_shape[1],
            "network_bytes": other.cost.file_bytes,
            "network_multiply_accumulates": other.cost.multiply_accumulates,
            "finder_network": asdict(comparison.finder),
            "classifier_network": asdict(comparison.classifier),
            "finder_and_classifier": asdict(comparison.both),
            "other_network": asdict(comparison.other),
            "time_ratio": asdict(comparison.ratio),
        }
    return record


def _table(results: _Results) -> Iterator[str]:
    from maskwatch.bench import HEIGHT_PX, WHOLE, WIDTH_PX

    timing, footprint = results.timing, results.footprint
    picture = f"{one_line(results.picture)}, {WIDTH_PX}×{HEIGHT_PX}"
    yield f"{picture}, {results.faces}, 1 thread, {timing.rounds} rounds, {platform.machine()}"
    yield f"{'milliseconds':22}{'median':>9}{'p10':>9}{'p90':>9}"
    for name, spread in timing.spreads.items():
        yield _row(name if name == WHOLE else f"  {name}", spread)
    if results.against is not None:
        other, comparison = results.against
        _, height_px, width_px, _ = other.model.input_shape
        name = one_line(other.path.name)
        yield f"in turns with {name}, {width_px}×{height_px}"
        yield _row("finder + classifier", comparison.both)
        yield _row("  finder network", comparison.finder)
        yield _row("  classifier network", comparison.classifier)
        yield _row("the other network", comparison.other)
        ratio = comparison.ratio
        yield f"{'ratio to the other':22}{ratio.median_ratio:9.3f}{ratio.p10_ratio:9.3f}{ratio.p90_ratio:9.3f}"
    yield from _cost_table(results)
    yield "daemon on the demo source"
    yield f"  {'to first verdict':20}{footprint.first_verdict_seconds:9.2f} s"
    yield f"  {'to stop':20}{footprint.stop_seconds:9.2f} s"
    yield f"  {'resident memory':20}{footprint.resident_bytes / 1024**2:9.1f} MiB"
    yield f"  {'peak memory':20}{footprint.peak_bytes / 1024**2:9.1f} MiB"
    yield from _rest_table(results)


def _cost_table(results: _Results) -> Iterator[str]:
    rows = {**results.costs, f"a frame with {results.faces}": results.frame_cost}
    last = [] if results.against is None else [(one_line(results.against[0].path.name), results.against[0].cost)]
    width = max(20, *(len(name) for name, _ in (*rows.items(), *last)))
    yield f"{'networks':{width + 2}}{'bytes':>9}{'multiply-accumulates':>22}"
    for name, cost in rows.items():
        yield f"  {name:{width}}{cost.file_bytes:9,}{cost.multiply_accumulates:22,}"
    yield f"  {results.bundle_name:{width}}{results.bundle.size_bytes:9,}"
    for name, cost in last:
        yield f"  {name:{width}}{cost.file_bytes:9,}{cost.multiply_accumulates:22,}"


def _rest_table(results: _Results) -> Iterator[str]:
    from maskwatch.config import CameraSettings

    rest = results.resting
    yield f"daemon before a still room, {CameraSettings().frames_per_second:g} frames a second"
    yield f"  {'CPU, awake':20}{rest.awake_cpu_ratio:9.1%} of a core"
    yield f"  {'CPU, at rest':20}{rest.resting_cpu_ratio:9.1%} of a core, {rest.saved_ratio:.0%} saved"
    yield f"  {'look for motion':20}{rest.look.median_ms:9.2f} ms, {results.look_ratio:.1%} of a whole frame"
    yield f"  {'to wake':20}{1000 * rest.wake_seconds:9.0f} ms, {rest.wake_frames} frames; the worst of {rest.wakes}"


def _row(name: str, spread: Spread) -> str:
    return f"{name:22}{spread.median_ms:9.2f}{spread.p10_ms:9.2f}{spread.p90_ms:9.2f}"


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 100_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 100000")
    return count
