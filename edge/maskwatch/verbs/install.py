"""`maskwatch install`: make this Raspberry Pi, or another over SSH, watch a door."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode, OperatorError

if TYPE_CHECKING:
    from maskwatch.installer.wheel import Wheel

HELP = "install or upgrade Maskwatch as a service, on this Raspberry Pi (with sudo) or over SSH on another"
EXAMPLE = "  maskwatch install --dry-run\n  maskwatch install\n  maskwatch install pi@door-3.local"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("host", nargs="?", metavar="USER@HOST", help="install there, over SSH (default: here)")
    parser.add_argument("--dry-run", action="store_true", help="print every step and what it would run; change nothing")
    parser.add_argument("--no-start", action="store_true", help="start the service at the next boot, not now")
    parser.add_argument(
        "--wheels", type=Path, metavar="DIR", help="have pip install from the wheels in this folder, without internet"
    )
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="install into another root filesystem, by chroot; starts nothing"
    )
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="PATH",
        help="a clone or a wheel of Maskwatch to install (default: the code that runs)",
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the plan, one line a step; returns the exit code, over SSH the other side's.

    Raises OperatorError where the system cannot have it or a step fails, TryAgainError without a network.
    """
    import tempfile

    from maskwatch.installer.wheel import take_wheel

    if args.wheels is not None and not args.wheels.is_dir():
        raise OperatorError(f"{args.wheels} is no folder: --wheels must name a folder of wheels")
    with tempfile.TemporaryDirectory(prefix="maskwatch-") as folder:
        wheel = take_wheel(args.source, Path(folder))
        if args.host is not None:
            from maskwatch.installer.remote import install_over_ssh
            from maskwatch.verbs.uninstall import remote_words

            return install_over_ssh(args.host, wheel, args.wheels, remote_words("install", args))
        return _here(args, wheel)


def _here(args: argparse.Namespace, wheel: Wheel) -> ExitCode:
    from maskwatch.installer.fitness import require_root
    from maskwatch.installer.plan import Options, install_plan
    from maskwatch.installer.step import alone, carry_out
    from maskwatch.verbs.uninstall import chosen_system

    system = chosen_system(args)
    require_root(system)
    plan = install_plan(system, wheel, Options(start=not args.no_start, wheels=args.wheels))
    with alone(system):
        worked = carry_out(plan, system)
    if args.dry_run:
        print("nothing was changed")
        return ExitCode.DONE
    print("installed" if worked else "nothing was to do")
    if system.live:
        print("next: red LED to GPIO 17, green to 27 (330 Ω each), buzzer to 18; then: maskwatch doctor")
    return ExitCode.DONE
