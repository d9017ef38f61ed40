"""What a run drives, noted for whoever has to switch it off after its death.

The settings may have changed since, or be broken by then; the pins that are on are those that were driven.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from maskwatch.config import IndicatorSettings, load_settings
from maskwatch.errors import ConfigError
from maskwatch.indicators.base import Outputs
from maskwatch.setting import shown

NOTE = "lights.toml"
"""The note's name in a service's runtime directory."""

logger = logging.getLogger(__name__)


def noted(make_outputs: Callable[[IndicatorSettings], Outputs], note: Path) -> Callable[[IndicatorSettings], Outputs]:
    """A maker of outputs that writes their settings to `note` before it makes them; it makes them in any case."""

    def make(settings: IndicatorSettings) -> Outputs:
        try:
            _write(note, settings)
        except OSError as error:
            logger.warning("%s cannot be written: %s", note, error.strerror)
        return make_outputs(settings)

    return make


def read_note(note: Path) -> IndicatorSettings | None:
    """What was driven last, as far as anybody noted it."""
    if not note.exists():
        return None
    try:
        return load_settings(note).indicator
    except ConfigError as error:
        logger.warning("%s", error)
        return None


def _write(note: Path, settings: IndicatorSettings) -> None:
    lines = [f"{setting.name} = {shown(getattr(settings, setting.name))}" for setting in fields(settings)]
    part = note.with_suffix(".part")
    part.write_text("\n".join(["[indicator]", *lines, ""]), encoding="utf-8")
    part.replace(note)
