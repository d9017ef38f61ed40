"""`maskwatch preview`: aim the camera by what it sees, in a browser or as text."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from maskwatch.errors import CameraError, ExitCode, OperatorError
from maskwatch.verbs.door_slots import add_slots_arguments, slots_of
from maskwatch.verbs.plain import one_line, print_fault
from maskwatch.verbs.run import add_source_arguments, source_settings

if TYPE_CHECKING:
    from maskwatch.config import Settings
    from maskwatch.doctor.service import Service
    from maskwatch.door import Parts

HELP = "aim the camera: what it sees, in a browser on this machine or through ssh, and as text; stops by itself"
EXAMPLE = "  maskwatch preview --source demo --minutes 1\n  maskwatch preview --pause-service"

DEFAULT_PORT, DEFAULT_MINUTES = 8765, 10.0
LONGEST_MINUTES = 24 * 60.0

BUSY = (
    "the service has the camera: stop it with `sudo systemctl stop maskwatch` and start it afterwards, "
    "or let --pause-service do both"
)

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    add_source_arguments(parser)
    add_slots_arguments(parser)
    parser.add_argument(
        "--minutes",
        type=_minutes,
        default=DEFAULT_MINUTES,
        metavar="N",
        help=f"stop by itself after so long (default: {DEFAULT_MINUTES:g})",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        metavar="N",
        help=f"port of the page, at 127.0.0.1 only; 0: any that is free (default: {DEFAULT_PORT})",
    )
    parser.add_argument("--text", action="store_true", help="no page: text alone")
    parser.add_argument(
        "--pause-service",
        action="store_true",
        help="stop the service that has the camera, and start it again afterwards, whatever happens",
    )


def run(args: argparse.Namespace) -> ExitCode:
    """Preview until the time is over, Ctrl-C or SIGTERM; 0 then. Nothing is stored.

    The model is the one that the door runs, from its slots too.

    Raises:
        CameraError: no camera at the start.
        OperatorError: the service has the camera or cannot be paused, the port is taken, no readable file.
        BundleError, ConfigError: files that cannot be used.
    """
    from maskwatch.model_source import bring
    from maskwatch.page.board import Showcase
    from maskwatch.page.figures import as_json
    from maskwatch.page.pause import service_paused
    from maskwatch.page.server import PageServer
    from maskwatch.page.terminal import Terminal
    from maskwatch.page.watch import Preview
    from maskwatch.signals import commands_from_signals
    from maskwatch.slots.running import Onlooker

    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")  # its greetings would run through our line
    settings, parts = source_settings(args), _parts()
    sourced = bring(parts.model, Onlooker(slots_of(args)), settings.model)
    for fault in sourced.faults:
        print_fault(fault)
    model = sourced.model
    seconds = 60 * args.minutes
    showcase = Showcase(time.monotonic() + seconds)
    terminal = Terminal(sys.stdout, one_line)
    with ExitStack() as stack:
        server = None
        if not args.text:
            smallest_px = settings.model.min_face_height_px
            server = stack.enter_context(
                PageServer(
                    args.port,
                    showcase,
                    lambda: as_json(showcase.board(), settings.camera.source, model.name, smallest_px),
                )
            )
        preview = Preview(
            settings,
            parts.camera(settings.camera),
            model.eyes,
            showcase,
            terminal.redraw,
            terminal.say,
            lambda error: _busy(settings, error),
            stays=server is not None,
        )
        stack.callback(terminal.close)
        stack.enter_context(commands_from_signals(preview.command))
        if args.pause_service and _to_be_paused(settings, terminal.say):
            stack.enter_context(service_paused(seconds))
        if server is not None:
            stack.enter_context(server.serving())
            terminal.say(f"open in a browser: {server.url}")
            terminal.say(f"on another machine, first run there: {_ssh_command(server.port)}")
        end = datetime.now() + timedelta(seconds=showcase.board().seconds_left)
        terminal.say(f"stops by itself after {args.minutes:g} min, at {end:%H:%M:%S}, or by Ctrl-C; nothing is stored")
        preview.run()
    return ExitCode.DONE


def _parts() -> Parts:
    from maskwatch.door import Parts

    return Parts()


def _service(settings: Settings) -> Service | None:
    """The service, where the source is a device that it could hold."""
    from maskwatch.doctor.probes import Probes
    from maskwatch.doctor.service import service_of

    is_device = settings.camera.source == "picamera" or settings.camera.source.startswith("v4l2:")
    return service_of(Probes()) if is_device else None


def _busy(settings: Settings, error: CameraError) -> OperatorError | None:
    """A better word for a camera that does not open while the service runs."""
    if error.exit_code is not ExitCode.TRY_AGAIN:
        return None
    service = _service(settings)
    return OperatorError(f"{BUSY} ({error})") if service is not None and service.running else None


def _to_be_paused(settings: Settings, say: Callable[[str], object]) -> bool:
    service = _service(settings)
    if service is None or service["ActiveState"] not in ("active", "activating", "reloading"):
        say("the service does not use this camera now: there is nothing to pause")
        return False
    say("the service pauses, and with it the door's lights; it is started again afterwards")
    return True


def _ssh_command(port: int) -> str:
    """What to type on the other machine; as it came here, where this is an ssh session itself."""
    import socket

    from maskwatch.doctor.probes import current_account

    user = os.environ.get("SUDO_USER") or current_account().name
    forward = f"ssh -L {port}:127.0.0.1:{port}"
    came_by = os.environ.get("SSH_CONNECTION", "").split()  # client's address and port, ours
    if len(came_by) == 4:
        _, _, host, ssh_port = came_by
        return f"{forward}{'' if ssh_port == '22' else f' -p {ssh_port}'} {user}@{host}"
    return f"{forward} {user}@{socket.gethostname()}"


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 < value <= LONGEST_MINUTES:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0 and at most {LONGEST_MINUTES:g}")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: 1 to 65535, or 0")
    return value
