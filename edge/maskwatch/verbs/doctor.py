"""`maskwatch doctor`: what is wrong with this machine, and what to do about it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import BundleError, ConfigError, ExitCode
from maskwatch.verbs.door_slots import add_slots_arguments, slots_of
from maskwatch.verbs.plain import one_line
from maskwatch.verbs.run import DEFAULT_CONFIG, settings_of

if TYPE_CHECKING:
    from maskwatch.config import Settings
    from maskwatch.doctor.findings import Finding
    from maskwatch.doctor.probes import Probes

HELP = "say what is wrong with this machine, and what to do about it; exit code 1 where something failed"
EXAMPLE = "  maskwatch doctor\n  maskwatch doctor --json --config config.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON object a check")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"settings (default: {DEFAULT_CONFIG} where that exists)"
    )
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="model bundle (default: the settings')")
    add_slots_arguments(parser)


def run(args: argparse.Namespace) -> ExitCode:
    """Print a line for each check as it is made. FINDING where one failed; warnings are no failure.

    Raises ConfigError or BundleError where a file that the command line names is not there.
    """
    return examine(args, _probes())


def examine(args: argparse.Namespace, probes: Probes) -> ExitCode:
    """Do what `run` does, by these probes."""
    from maskwatch.doctor import examination
    from maskwatch.doctor.findings import Status, summary

    _refuse_absent(args)
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")  # its greetings would run through our lines
    settings, about_settings = _read_settings(args.config)
    todo = examination.checks(settings, args.bundle, args.config is None, probes, slots_of(args))
    findings = [about_settings]
    _print(about_settings, args.json)
    for finding in examination.examine(todo):
        findings.append(finding)
        _print(finding, args.json)
    if not args.json:
        print(summary(findings))
    return ExitCode.FINDING if any(finding.status is Status.FAILED for finding in findings) else ExitCode.DONE


def _refuse_absent(args: argparse.Namespace) -> None:
    """A wrong word on the command line says nothing about the machine."""
    for path, fault in ((args.config, ConfigError), (args.bundle, BundleError)):
        try:
            if path is not None:
                path.stat()
        except FileNotFoundError as error:
            raise fault(f"{path} is not there: check the name on the command line") from error
        except OSError:
            continue  # it is there and cannot be read: a check says why


def _read_settings(path: Path | None) -> tuple[Settings | None, Finding]:
    from maskwatch.doctor.findings import failed, ok

    try:
        settings = settings_of(path)
    except ConfigError as error:
        advice = "correct it; config.example.toml explains each key and its bounds"
        return None, failed("settings", str(error), advice)
    if path is None and not DEFAULT_CONFIG.exists():
        return settings, ok("settings", f"no {DEFAULT_CONFIG}: all defaults")
    return settings, ok("settings", f"{path or DEFAULT_CONFIG}: every key known and within its bounds")


def _print(finding: Finding, as_json: bool) -> None:
    print(finding.to_json() if as_json else one_line(finding.line()), flush=True)


def _probes() -> Probes:
    from maskwatch.doctor.probes import Probes

    return Probes()
