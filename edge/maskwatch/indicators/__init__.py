"""Light and sound: what an indicator is, its patterns, and the hardware behind it."""

from __future__ import annotations

from maskwatch.config import IndicatorSettings
from maskwatch.indicators.base import NoOutputs, Outputs
from maskwatch.indicators.console import ConsoleOutputs
from maskwatch.indicators.gpio import GpioOutputs

__all__ = ["make_outputs"]


def make_outputs(settings: IndicatorSettings) -> Outputs:
    """The indicator that the settings name, all off. Raises IndicatorError where it cannot be had."""
    if settings.kind == "gpio":
        return GpioOutputs(settings)
    return ConsoleOutputs() if settings.kind == "console" else NoOutputs()
