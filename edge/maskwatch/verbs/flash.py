"""`maskwatch flash`: a new model to one door or to hundreds, over SSH; each runs it, or the old one and says why."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode, OperatorError
from maskwatch.verbs.plain import one_line

if TYPE_CHECKING:
    from maskwatch.flash.fleet import Target
    from maskwatch.flash.line import Stopper
    from maskwatch.flash.parcel import Parcel
    from maskwatch.flash.record import Record
    from maskwatch.flash.result import Result
    from maskwatch.flash.rollout import Limits
    from maskwatch.flash.ssh import Ssh

HELP = "bring a model to doors over SSH: upload, verify, try, confirm or roll back; exit code 0 where all run it"
EXAMPLE = """\
  maskwatch flash pi@door-1 masknet-1.0.0.maskwatch
  maskwatch flash --fleet fleet.toml --group lobby masknet-1.0.0.maskwatch
  maskwatch flash --fleet fleet.toml --resume masknet-1.0.0.maskwatch"""

INTERMIXED = True
"""Options may stand between the doors and the bundle."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="USER@HOST, or a Host of ~/.ssh/config")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a .maskwatch file; its .sig goes along")
    parser.add_argument("--fleet", type=Path, metavar="FILE", help="the doors that a fleet.toml names")
    parser.add_argument(
        "--group", action="append", default=[], metavar="G", help="of the fleet, this group only; may be given again"
    )
    parser.add_argument("--parallel", type=int, metavar="N", help="doors at once (default: the fleet's, or 8)")
    parser.add_argument("--resume", action="store_true", help="leave out the doors that the last flash has done")
    parser.add_argument("--json", action="store_true", help="print one JSON object a door on stdout")
    parser.add_argument("--force", action="store_true", help="also where it is an older version than a door's")
    parser.add_argument(
        "--window", type=_seconds, metavar="SECONDS", help="a trial is over after so long without a judged frame (180)"
    )
    parser.add_argument(
        "--ssh-option", action="append", default=[], metavar="KEY=VALUE", help="as ssh -o; may be given again"
    )
    parser.add_argument("--ssh-config", type=Path, metavar="FILE", help="as ssh -F (default: ~/.ssh/config)")


def run(args: argparse.Namespace) -> ExitCode:
    """Flash them all; FINDING where not all run the new model. What goes on is told on stderr.

    Raises OperatorError for a bundle, a fleet or an option that cannot be used, before any door is touched.
    """
    from maskwatch.flash.line import Stopper
    from maskwatch.flash.parcel import read_parcel
    from maskwatch.flash.record import alone, open_record, record_path

    plan = _plan(args)
    parcel = read_parcel(args.bundle)
    with alone(args.fleet):
        path = record_path(args.fleet, [target.host for target in plan.targets], parcel, os.environ)
        record = open_record(path, parcel, [target.host for target in plan.targets], resume=args.resume)
        stopper = Stopper()
        with _stopped_by_signals(stopper):
            results = _roll_out(args, plan, parcel, record, stopper)
    if stopper.event.is_set():
        raise KeyboardInterrupt
    return ExitCode.DONE if all(result.outcome.good for result in results) else ExitCode.FINDING


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which doors, how many at once, and how they are reached."""

    targets: list[Target]
    limits: Limits
    ssh: Ssh


def _plan(args: argparse.Namespace) -> _Plan:
    """What the command line and the fleet's file say together. Raises OperatorError where they make no sense."""
    from maskwatch.flash.fleet import PARALLEL, Target, check_option, check_parallel, load_fleet
    from maskwatch.flash.rollout import Limits
    from maskwatch.flash.ssh import Ssh, check_host

    for option in args.ssh_option:
        check_option(option)
    if args.ssh_config is not None and not args.ssh_config.is_file():
        raise OperatorError(f"{args.ssh_config} is no file: --ssh-config must name one")
    if args.fleet is None:
        if not args.hosts or args.group:
            raise OperatorError(
                "name doors before the bundle, or a fleet: maskwatch flash HOST BUNDLE, or --fleet FILE"
            )
        for host in args.hosts:
            check_host(host)
        targets = [Target(host) for host in dict.fromkeys(args.hosts)]
        parallel, groups = PARALLEL, {}
        options: tuple[str, ...] = ()
    else:
        if args.hosts:
            raise OperatorError(f"{args.hosts[0]}: the doors are those of the fleet: leave out HOST, or --fleet")
        fleet = load_fleet(args.fleet)
        targets = fleet.targets(args.group)
        parallel, options = fleet.parallel, fleet.ssh_options
        groups = {group.name: group.parallel for group in fleet.groups if group.parallel is not None}
    if args.parallel is not None:
        parallel = check_parallel(args.parallel, "--parallel")
    ssh = Ssh(args.ssh_config, (*args.ssh_option, *options))
    return _Plan(targets, Limits(parallel, groups), ssh.checked())


def _roll_out(
    args: argparse.Namespace, plan: _Plan, parcel: Parcel, record: Record, stopper: Stopper
) -> Sequence[Result]:
    """Each door's result, in the order of the plan."""
    from maskwatch.flash.audience import Audience
    from maskwatch.flash.door import WINDOW_S, Door, Terms
    from maskwatch.flash.result import Outcome, Result
    from maskwatch.flash.rollout import Rollout
    from maskwatch.flash.ssh import connected
    from maskwatch.flash.table import Board

    terms = Terms(args.force, WINDOW_S if args.window is None else args.window)
    groups = {target.host: target.group for target in plan.targets}
    board = Board(sys.stderr, len(plan.targets), one_line)
    readers = Audience(sys.stdout)

    def flash(target: Target) -> Result:
        host = target.host
        if record.is_done(host):
            return Result(host, Outcome.ALREADY, "by the flash before", parcel.model)
        progress = functools.partial(board.progress, host)
        return Door(host, parcel, terms, lambda host: connected(host, plan.ssh), progress, stopper).flash()

    def ended(result: Result) -> None:
        record.note(result)
        board.ended(result)
        tell(result)

    def tell(result: Result) -> None:
        if args.json:
            readers.tell(f"{_json(result, groups[result.host], parcel)}\n")

    rollout = Rollout(plan.targets, flash, plan.limits, ended, stopper)
    results = rollout.run()
    board.close()
    for result in results:
        if result.outcome is Outcome.NOT_BEGUN:
            tell(result)
    board.table(results, parcel.model)
    return results


def _json(result: Result, group: str, parcel: Parcel) -> str:
    values = dataclasses.asdict(result) | {"outcome": result.outcome.value, "seconds": round(result.seconds, 3)}
    more = {"ok": result.outcome.good, "group": group, "sha256": parcel.sha256, "size_bytes": parcel.size_bytes}
    return json.dumps(values | more)


@contextmanager
def _stopped_by_signals(stopper: Stopper) -> Iterator[None]:
    """Ctrl-C and SIGTERM break all doors off, wherever they are; then the results are told."""
    signs = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(sign, lambda *_: stopper.stop()) for sign in signs]
    try:
        yield
    finally:
        for sign, handler in zip(signs, before, strict=True):
            signal.signal(sign, handler)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0, such as 180")
    return value
