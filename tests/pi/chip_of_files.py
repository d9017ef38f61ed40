"""A GPIO chip for gpiozero whose pins are files: as on a real one, a level stays when the process that set it dies."""

from __future__ import annotations

from pathlib import Path

from gpiozero.pins.mock import MockFactory, MockPin

PINS = Path("/var/lib/maskwatch/pins")


class FilePin(MockPin):
    def _change_state(self, value: bool) -> bool:
        (PINS / str(self.number)).write_text(str(int(value)), encoding="ascii")
        return bool(super()._change_state(value))


class FileFactory(MockFactory):
    def __init__(self) -> None:
        super().__init__(pin_class=FilePin)
