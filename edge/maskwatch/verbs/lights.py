"""`maskwatch lights off`: switch off what a run that died may have left on."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from maskwatch.errors import ExitCode, IndicatorError
from maskwatch.verbs.run import DEFAULT_CONFIG, note_path, settings_of

if TYPE_CHECKING:
    from maskwatch.config import IndicatorSettings

HELP = "switch lights and buzzer off, whatever a run that died has left on"
EXAMPLE = "  maskwatch lights off"

PAUSES_SECONDS = (0.25, 0.5, 1.0)
"""A process that was killed inside a driver may hold its pins a little longer."""

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("action", choices=("off",), help="what to do with them")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"settings (default: {DEFAULT_CONFIG} where that exists)"
    )


def run(args: argparse.Namespace) -> ExitCode:
    """Switch off. Under a service manager what that service drove last, else what the settings name.

    Raises IndicatorError where a pin cannot be had, ConfigError for bad settings.
    """
    from maskwatch.indicators.gpio import switch_off

    settings = _driven() or settings_of(args.config).indicator
    if settings.kind != "gpio":
        logger.info("there is nothing to switch off: the lights are of the kind %s", settings.kind)
        return ExitCode.DONE
    for pause_seconds in PAUSES_SECONDS:
        try:
            switch_off(settings)
        except IndicatorError as error:
            logger.info("%s; trying again", error)
            time.sleep(pause_seconds)
        else:
            break
    else:
        switch_off(settings)
    logger.info("lights and buzzer are off")
    return ExitCode.DONE


def _driven() -> IndicatorSettings | None:
    from maskwatch.indicators.claim import read_note

    note = note_path()
    return None if note is None else read_note(note)
