"""`maskwatch uninstall`: take back all that `install` did."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode, OperatorError

if TYPE_CHECKING:
    from maskwatch.installer.system import System

HELP = "take Maskwatch off this Raspberry Pi (with sudo), or over SSH off another; --purge takes settings and state too"
EXAMPLE = "  maskwatch uninstall\n  maskwatch uninstall --purge pi@door-3.local"

SYSTEMD_RUNS = Path("/run/systemd/system")
"""systemd makes it where it is the first process."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("host", nargs="?", metavar="USER@HOST", help="uninstall there, over SSH (default: here)")
    parser.add_argument("--purge", action="store_true", help="remove /etc/maskwatch and /var/lib/maskwatch too")
    parser.add_argument("--dry-run", action="store_true", help="print every step and what it would run; change nothing")
    parser.add_argument("--root", type=Path, metavar="DIR", help="uninstall from another root filesystem, by chroot")


def run(args: argparse.Namespace) -> int:
    """Carry out the plan, one line a step. Raises OperatorError or TryAgainError where a step fails."""
    if args.host is not None:
        return _over_ssh(args)
    # All of it, before the environment that this may run from is gone.
    from maskwatch.installer.fitness import require_root
    from maskwatch.installer.plan import Options, uninstall_plan
    from maskwatch.installer.step import alone, carry_out

    system = chosen_system(args)
    require_root(system)
    with alone(system):
        worked = carry_out(uninstall_plan(system, Options(purge=args.purge)), system)
    print("nothing was changed" if args.dry_run else "uninstalled" if worked else "nothing was to do")
    return ExitCode.DONE


def chosen_system(args: argparse.Namespace) -> System:
    """The system that the command line names. Raises OperatorError for a root that is not there."""
    from maskwatch.installer.system import System

    os.umask(0o022)  # root's may be tighter, and the service's user must be able to read it all
    root = Path("/") if args.root is None else args.root.absolute()
    if not root.is_dir():
        raise OperatorError(f"{root} is no folder: --root must name a root filesystem")
    live = root == Path("/") and SYSTEMD_RUNS.is_dir()
    return System(root=root, live=live, dry=args.dry_run, say=_say)


def remote_words(verb: str, args: argparse.Namespace) -> list[str]:
    """The command line for the other machine. Raises OperatorError for what makes sense on this one only."""
    if args.root is not None:
        raise OperatorError("--root is a folder of this machine: leave out the host")
    flags = [flag for flag in ("dry_run", "no_start", "purge") if getattr(args, flag, False)]
    return [verb, *(f"--{flag.replace('_', '-')}" for flag in flags)]


def _over_ssh(args: argparse.Namespace) -> int:
    import tempfile

    from maskwatch.installer.remote import uninstall_over_ssh
    from maskwatch.installer.wheel import take_wheel

    with tempfile.TemporaryDirectory(prefix="maskwatch-") as folder:
        wheel = take_wheel(None, Path(folder))
        return uninstall_over_ssh(args.host, wheel, remote_words("uninstall", args))


def _say(line: str) -> None:
    from maskwatch.verbs.plain import one_line

    print(one_line(line), flush=True)
