"""What every indicator is: red, green and buzzer, switched together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Levels:
    """What is on. `caption` is for outputs that can show words; lamps pass over it."""

    red: bool = False
    green: bool = False
    buzzer: bool = False
    caption: str = ""


OFF = Levels()


class Outputs(Protocol):
    """Lights and a buzzer. All off when made; used by one thread at a time."""

    def set(self, levels: Levels) -> None:
        """Show these levels now. Raises IndicatorError where that fails, and after `close`."""

    def close(self) -> None:
        """Switch all off and let go of the hardware; again is harmless. Raises IndicatorError where that fails."""


class NoOutputs:
    """An indicator for a door without lights."""

    def set(self, levels: Levels) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing to switch off."""
