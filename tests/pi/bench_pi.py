"""`make bench-pi`: how many arm64 instructions one pass of each network takes on a Raspberry Pi's processor.

    make bench-pi                        the built-in bundle
    make bench-pi BUNDLE=a.maskwatch     another one
    make bench-pi AGAINST=b.tflite       any other TFLite network beside it, and the ratio
    python tests/pi/bench_pi.py --json   one JSON object, for machines

The networks run on the locked LiteRT in an arm64 Debian bookworm under QEMU, whose plugin counts each instruction that
is executed: the same count on every machine. QEMU is told the core, and XNNPACK reads it from /proc/cpuinfo, so both
choose what that Pi would; any other cpuinfo makes XNNPACK take other kernels, and gives other counts. A count is no
time: it knows nothing of caches. Compare counts of one core and one runtime only. The bundle's golden vectors are
checked as well.

The first run downloads some 80 MB and builds ~/.cache/maskwatch/pi-root-bookworm (MASKWATCH_PI_ROOT names another
place); to remove that folder undoes all. It needs Debian or a relative of it, gcc, and root where users may not make
namespaces: `sudo make bench-pi`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import maskwatch
from maskwatch.bundle import Bundle, default_bundle_path, open_bundle
from maskwatch.cli import INTERRUPTED
from maskwatch.errors import ExitCode, FindingError, MaskwatchError, OperatorError
from maskwatch.verbs.plain import one_line, print_fault
from pi_root import (
    ENVIRONMENT,
    LITERT,
    LITERT_FOLDER,
    build_root,
    check_tools,
    chroot_command,
    is_complete,
    locked_requirement,
    locked_root,
    locked_version,
    operators_fault,
    root_folder,
    run_tool,
)

HERE = Path(__file__).resolve().parent
LOCK = HERE.parents[1] / "locks" / "demo.txt"
PASSES = 2
STEADY = 1e-3
"""Passes that differ by more than this part of their count were disturbed."""

GUEST_LIMIT_S = 1800
AGAINST = "against"

EARLY = "fp asimd evtstrm crc32 cpuid"
RECENT = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"


@dataclass(frozen=True, slots=True)
class Core:
    """A processor as QEMU names it, and as the kernel of its Raspberry Pi describes it in /proc/cpuinfo."""

    name: str
    boards: str
    part: str
    variant: str
    revision: int
    features: str

    def cpuinfo(self) -> str:
        """What /proc/cpuinfo says on such a board, of four processors."""
        lines = [
            "BogoMIPS\t: 108.00",
            f"Features\t: {self.features}",
            "CPU implementer\t: 0x41",
            "CPU architecture: 8",
            f"CPU variant\t: {self.variant}",
            f"CPU part\t: {self.part}",
            f"CPU revision\t: {self.revision}",
        ]
        return "".join("\n".join([f"processor\t: {number}", *lines, "", ""]) for number in range(4))


CORES = (
    Core("cortex-a53", "Pi 3, Zero 2", "0xd03", "0x0", 4, EARLY),
    Core("cortex-a72", "Pi 4", "0xd08", "0x0", 3, EARLY),
    Core("cortex-a76", "Pi 5", "0xd0b", "0x4", 1, RECENT),
)


@dataclass(frozen=True, slots=True)
class Count:
    """What one core executed: instructions of one pass of each network, and the golden vectors that held."""

    core: Core
    instructions: Mapping[str, int]
    spread: int
    golden: int
    exact: int

    @property
    def ours(self) -> int:
        """One pass of each network of the bundle."""
        return sum(count for name, count in self.instructions.items() if name != AGAINST)

    @property
    def ratio(self) -> float | None:
        """Ours, as a part of the other network's; None where there is none."""
        return self.ours / self.instructions[AGAINST] if AGAINST in self.instructions else None


def parse_counts(said: str, networks: Sequence[str], passes: int) -> tuple[dict[str, int], int]:
    """Instructions of one pass of each network, and by how many its passes differ at most, of the plugin's marks.

    `said` is the guest's stderr: `passes` + 1 marks a network, in the order of `networks`, among other lines. Raises
    MaskwatchError where marks are missing or where the passes of one network are not alike.
    """
    marks = [int(text) for text in re.findall(r"^instructions (\d+)$", said, re.MULTILINE)]
    if len(marks) != len(networks) * (passes + 1):
        raise MaskwatchError(f"{len(marks)} marks of the counting plugin, must be {len(networks) * (passes + 1)}")
    counts, widest = {}, 0
    for index, name in enumerate(networks):
        own = marks[index * (passes + 1) :][: passes + 1]
        each = [after - before for before, after in itertools.pairwise(own)]
        counts[name], spread = min(each), max(each) - min(each)
        if spread > STEADY * counts[name]:
            raise MaskwatchError(f"the passes of {name} differ by {spread} instructions; please report it")
        widest = max(widest, spread)
    return counts, widest


def table(counts: Sequence[Count], title: str, against: str) -> Iterator[str]:
    """The counts for people: networks down, cores across. `against` is the other network's name."""
    names = list(counts[0].instructions)
    rows = [(name, [count.instructions[name] for count in counts]) for name in names if name != AGAINST]
    if len(rows) > 1:
        rows.append((" + ".join(names[: len(rows)]), [count.ours for count in counts]))
    if AGAINST in names:
        rows.append((against, [count.instructions[AGAINST] for count in counts]))
    width = max(len(name) for name, _ in [*rows, ("millions of instructions", [])]) + 2
    yield title
    yield f"{'millions of instructions':{width}}" + "".join(f"{count.core.name:>14}" for count in counts)
    yield f"{'':{width}}" + "".join(f"{count.core.boards:>14}" for count in counts)
    for name, values in rows:
        yield f"{name:{width}}" + "".join(f"{value / 1e6:14.2f}" for value in values)
    if AGAINST in names:
        yield f"{'ratio':{width}}" + "".join(f"{count.ratio:14.3f}" for count in counts)
    yield f"{'golden vectors':{width}}" + "".join(f"{f'{count.exact} of {count.golden}':>14}" for count in counts)
    yield f"two passes differ by at most {max(count.spread for count in counts)} instructions"


def record(counts: Sequence[Count], bundle: str, runtime: str, against: str | None) -> dict[str, Any]:
    """The counts for machines."""
    return {
        "bundle": bundle,
        "runtime": runtime,
        "against": against,
        "cores": {
            count.core.name: {
                "instructions": dict(count.instructions),
                "bundle_instructions": count.ours,
                "spread_instructions": count.spread,
                "ratio": count.ratio,
                "golden_vectors": count.golden,
                "golden_vectors_exact": count.exact,
            }
            for count in counts
        },
    }


def networks_of(bundle: Bundle, against: Path | None) -> dict[str, bytes]:
    """The networks to count, by their names in the table. Raises OperatorError where the other one is no TFLite."""
    manifest = bundle.manifest
    networks = {} if manifest.finder is None else {"finder": bundle.member(manifest.finder.file)}
    networks["classifier"] = bundle.member(manifest.classifier.file)
    if against is not None:
        try:
            networks[AGAINST] = against.read_bytes()
        except OSError as error:
            raise OperatorError(f"{against}: cannot be read: {error.strerror}") from error
        if networks[AGAINST][4:8] != b"TFL3":
            raise OperatorError(f"{against}: not a TFLite file")
    return networks


def place_work(root: Path, networks: Mapping[str, bytes], bundle: Bundle) -> None:
    """Put the plugin, the guest's script, our own sources and the networks into the root filesystem."""
    bench = root / "bench"
    shutil.rmtree(bench, ignore_errors=True)
    (bench / "networks").mkdir(parents=True)
    run_tool(["gcc", "-O2", "-Wall", "-fPIC", "-shared", "-o", bench / "insncount.so", HERE / "insncount.c"])
    shutil.copy(HERE / "pi_guest.py", bench)
    sources = Path(maskwatch.__file__).parent
    shutil.copytree(sources, bench / "edge" / "maskwatch", ignore=shutil.ignore_patterns("data", "__pycache__"))
    for number, (name, model) in enumerate(networks.items()):
        (bench / "networks" / f"{number}-{name}.tflite").write_bytes(model)
    (bench / "bundle.maskwatch").write_bytes(bundle.path.read_bytes())


def count_on(core: Core, root: Path, networks: Sequence[str]) -> Count:
    """Run the guest's script on one core. Raises MaskwatchError where it fails, OperatorError without XNNPACK."""
    (root / "proc/cpuinfo").write_text(core.cpuinfo(), encoding="ascii")
    libraries = "/usr/lib/aarch64-linux-gnu"
    variables = {
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": f"/{LITERT_FOLDER}:/bench/edge",
        "LD_LIBRARY_PATH": f"{libraries}/blas:{libraries}/lapack",
    }
    words = [
        *chroot_command(), str(root), "/usr/bin/qemu-aarch64", "-cpu", core.name, "-plugin", "/bench/insncount.so",
        *(word for name, value in variables.items() for word in ("-E", f"{name}={value}")),
        "/usr/bin/python3.11", "-B", "/bench/pi_guest.py", str(PASSES), "/bench/networks", "/bench/bundle.maskwatch",
    ]  # fmt: skip
    done = subprocess.run(
        words, env={"PATH": ENVIRONMENT["PATH"]}, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
        errors="replace", timeout=GUEST_LIMIT_S, check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise MaskwatchError(f"the networks fail on {core.name}, exit code {done.returncode}: {last[:300]}")
    answer = json.loads(done.stdout)
    plain = [name for name, xnnpack in answer["xnnpack"].items() if not xnnpack and AGAINST not in name]
    if plain:
        raise OperatorError(f"{', '.join(plain)} runs without XNNPACK on {core.name}: a door would refuse it")
    instructions, spread = parse_counts(done.stderr, networks, PASSES)
    return Count(core, instructions, spread, answer["golden"], answer["exact"])


def count_all(bundle: Bundle, against: Path | None) -> tuple[list[Count], str]:
    """Count on each core, in a root filesystem that is built first where there is none; also names the runtime."""
    networks = networks_of(bundle, against)
    check_tools()
    root = root_folder()
    requirement = locked_requirement(LOCK.read_text(encoding="utf-8"), LITERT)
    with locked_root(root):
        if not is_complete(root, requirement):
            print(f"building an arm64 root filesystem in {one_line(str(root))}, once", file=sys.stderr, flush=True)
            with operators_fault(root):
                build_root(root, requirement)
        with operators_fault(root):
            place_work(root, networks, bundle)
        counts = [count_on(core, root, list(networks)) for core in CORES]
    return counts, f"{LITERT} {locked_version(requirement)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="model bundle (default: the built-in one)")
    parser.add_argument("--against", type=Path, metavar="FILE.tflite", help="another network to count beside it")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args(arguments)
    try:
        bundle = open_bundle(args.bundle or default_bundle_path())
        counts, runtime = count_all(bundle, args.against)
        title = f"{bundle.manifest.name} {bundle.manifest.version}"
        against = None if args.against is None else args.against.name
        if args.json:
            print(json.dumps(record(counts, title, runtime, against), ensure_ascii=False))
        else:
            print("\n".join(table(counts, f"{title}, one pass, 1 thread, {runtime}", one_line(against or ""))))
        if any(count.exact < count.golden for count in counts):
            raise FindingError(f"{bundle.path}: golden vectors do not hold on arm64; do not ship this bundle")
    except MaskwatchError as error:
        print_fault(error)
        return error.exit_code
    except subprocess.TimeoutExpired as error:
        print_fault(f"{Path(error.cmd[0]).name} took more than {error.timeout:.0f} s; try again on a less busy machine")
        return ExitCode.TRY_AGAIN
    except KeyboardInterrupt:
        print_fault("interrupted")
        return INTERRUPTED
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
