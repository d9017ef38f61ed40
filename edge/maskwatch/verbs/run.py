"""`maskwatch run`: the daemon in the foreground."""

from __future__ import annotations

import argparse
import logging
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode
from maskwatch.verbs.door_slots import add_slots_arguments, slots_of

if TYPE_CHECKING:
    from maskwatch.config import Settings
    from maskwatch.door import Parts
    from maskwatch.model_source import ModelSlots

HELP = "watch a door: camera in, light and sound out, until Ctrl-C or SIGTERM; SIGHUP loads the settings again"
EXAMPLE = "  maskwatch run --source demo --indicator console --seconds 20 --picture demo.jpg"

DEFAULT_CONFIG = Path("/etc/maskwatch/config.toml")

BY_HAND = "it runs what they choose, but spends no try of a trial, confirms none and rolls none back"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    add_source_arguments(parser)
    parser.add_argument("--indicator", choices=("gpio", "console", "none"), help="lights (default: the settings')")
    parser.add_argument(
        "--wait-for-camera",
        action="store_true",
        help="wait for a camera that is missing at the start, while the lights say so (default: end with a fault)",
    )
    add_slots_arguments(parser, f"the service's, which a run by hand looks at only: {BY_HAND}")
    parser.add_argument("--seconds", type=_seconds, metavar="N", help="stop after so long (default: run for ever)")
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="at the end write one annotated picture (default: no picture is kept)",
    )


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `source_settings` reads."""
    parser.add_argument(
        "--source", help="picamera, v4l2:N, demo, or a picture, folder or video (default: the settings')"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"settings (default: {DEFAULT_CONFIG} where that exists)"
    )
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="model bundle (default: the settings')")


def run(args: argparse.Namespace) -> ExitCode:
    """Run the daemon; 0 when it was told to stop, the time is over or the files have ended.

    Only as a service, or with --slots, does the run count for the slots: see `Onlooker` and `Runner`.
    """
    from maskwatch.heap import limit_malloc_arenas

    limit_malloc_arenas()
    from maskwatch.daemon import Daemon
    from maskwatch.notify import Notifier
    from maskwatch.observer import Observers
    from maskwatch.service import ServiceObserver
    from maskwatch.signals import commands_from_signals
    from maskwatch.snapshot import Snapshot, check_picture_path
    from maskwatch.status_keeper import StatusKeeper
    from maskwatch.status_socket import own_socket, served

    logging.getLogger("maskwatch").setLevel(logging.INFO)  # a daemon's log is its only word
    snapshot = None
    if args.picture is not None:
        check_picture_path(args.picture)
        snapshot = Snapshot()
    keeper = StatusKeeper(passed_frames=lambda: daemon.passed_frames)  # asked while the daemon runs
    daemon = Daemon(
        lambda: chosen_settings(args),
        _parts(),
        on_verdict=None if snapshot is None else snapshot.keep,
        observer=Observers(ServiceObserver(Notifier()), keeper),
        wait_for_camera=args.wait_for_camera,
        slots=_model_slots(args),
    )
    with commands_from_signals(daemon.command), served(own_socket(), lambda: keeper.status(daemon.dropped_frames)):
        daemon.run(args.seconds)
    if snapshot is not None:
        written = snapshot.write(args.picture)
        logger.info("wrote %s" if written else "nobody was seen, so there is no %s", args.picture)
    return ExitCode.DONE


def _model_slots(args: argparse.Namespace) -> ModelSlots:
    """The slots, where this run counts for them: the service's own, and one that names them. Another only looks."""
    from maskwatch.notify import Notifier
    from maskwatch.slots.running import Onlooker, Runner

    counts = args.slots is not None or Notifier().has_manager
    return (Runner if counts else Onlooker)(slots_of(args))


def chosen_settings(args: argparse.Namespace) -> Settings:
    """The settings of the file, with what the command line says instead. Raises ConfigError."""
    settings = source_settings(args)
    if args.indicator is None:
        return settings
    return replace(settings, indicator=replace(settings.indicator, kind=args.indicator))


def source_settings(args: argparse.Namespace) -> Settings:
    """The settings of the file, with the command line's source and bundle instead. Raises ConfigError."""
    settings = settings_of(args.config)
    camera, model = settings.camera, settings.model
    if args.source is not None:
        camera = replace(camera, source=args.source)
    if args.bundle is not None:
        model = replace(model, bundle=str(args.bundle))
    return replace(settings, camera=camera, model=model)


def settings_of(path: Path | None) -> Settings:
    """The settings of a file, or of the one in /etc where that exists. Raises ConfigError."""
    from maskwatch.config import Settings, load_settings

    if path is None:
        try:
            DEFAULT_CONFIG.stat()
        except FileNotFoundError:
            return Settings()
        except OSError:
            pass  # it is there and cannot be read: loading it says why
        path = DEFAULT_CONFIG
    return load_settings(path)


def note_path() -> Path | None:
    """Where a service notes which lights it drives; None outside of any service."""
    from maskwatch.indicators.claim import NOTE

    folder = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]  # systemd's, which may name several
    return Path(folder) / NOTE if folder else None


def _parts() -> Parts:
    from maskwatch.door import Parts
    from maskwatch.indicators import make_outputs
    from maskwatch.indicators.claim import noted

    note = note_path()
    return Parts() if note is None else Parts(outputs=noted(make_outputs, note))


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return value
