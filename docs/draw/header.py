"""A Raspberry Pi's 40-pin header: which pin is where, by gpiozero's own table, and its drawing."""

from __future__ import annotations

from dataclasses import dataclass

from gpiozero import pi_info
from svg import FAINT, INK, PAPER, Point, Sheet

PI_4B = "c03111"
"""A board's revision; the header is the same on all boards that have 40 pins."""

ROW_PX, COLUMN_PX = 24, 30
LABEL_PX = 94
_GAP_PX = 20
"""From a pin's centre to its label."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A pin: its number on the header, counted from 1, and its name, GPIO17 or GND or 3V3 or 5V."""

    number: int
    name: str


def pins() -> list[Pin]:
    """All pins, by number: odd ones in the left column, even ones in the right."""
    found = pi_info(PI_4B).headers["J8"].pins
    return [Pin(number, found[number].name) for number in sorted(found)]


def pin_of(gpio: int) -> Pin:
    """The pin of a GPIO, by its BCM number."""
    (pin,) = [pin for pin in pins() if pin.name == f"GPIO{gpio}"]
    return pin


def ground(number: int) -> Pin:
    """That ground pin. Raises ValueError where it is none."""
    return _named(number, "GND")


def supply(number: int, name: str) -> Pin:
    """That supply pin, 3V3 or 5V. Raises ValueError where it is another."""
    return _named(number, name)


def _named(number: int, name: str) -> Pin:
    pin = pins()[number - 1]
    if pin.name != name:
        raise ValueError(f"pin {number} is {pin.name}, not {name}")
    return pin


@dataclass(frozen=True, slots=True)
class Header:
    """The header's place on a sheet: the centre of pin 1."""

    pin_1: Point

    def at(self, pin: Pin) -> Point:
        """Centre of a pin."""
        row, column = divmod(pin.number - 1, 2)
        return self.pin_1[0] + column * COLUMN_PX, self.pin_1[1] + row * ROW_PX

    def end(self, pin: Pin) -> Point:
        """Where a pin's wire begins: the outer edge of its label."""
        x, y = self.at(pin)
        return x + _side(pin) * (_GAP_PX + LABEL_PX), y

    def draw(self, sheet: Sheet, used: dict[Pin, str]) -> None:
        """Draw all pins; those in use get a label in the colour of their wire."""
        x, y = self.pin_1
        sheet.rect((x - 16, y - 16), COLUMN_PX + 32, 19 * ROW_PX + 32, fill="#2b3036", rx=4)
        for pin in pins():
            with sheet.group("used" if pin in used else "free"):
                self._draw_pin(sheet, pin, used.get(pin))
        sheet.text((x + COLUMN_PX / 2, y - 26), "pin 1 (square pad)", 12, "end", fill=FAINT)
        sheet.path(f"M {x + 18:g} {y - 30:g} q 6 0 2 12", fill="none", stroke=FAINT)

    def _draw_pin(self, sheet: Sheet, pin: Pin, colour: str | None) -> None:
        x, y = self.at(pin)
        ring = {
            "fill": PAPER if colour else "#c9b458",
            "stroke": colour or "#8a7a34",
            "stroke_width": 4 if colour else 1,
        }
        if pin.number == 1:
            sheet.rect((x - 10, y - 10), 20, 20, **ring)
        else:
            sheet.circle((x, y), 10, **ring)
        sheet.text((x, y + 4), str(pin.number), 11, "middle", fill=INK, font_weight="bold" if colour else "normal")
        side = _side(pin)
        if colour is None:
            anchor = "start" if side > 0 else "end"
            sheet.text((x + side * (_GAP_PX + 8), y + 4), pin.name, 12, anchor, fill=FAINT)
            return
        left = x + _GAP_PX if side > 0 else x - _GAP_PX - LABEL_PX
        sheet.rect((left, y - 11), LABEL_PX, 22, fill=colour, rx=4)
        sheet.text((left + LABEL_PX / 2, y + 5), pin.name, 15, "middle", fill=PAPER, font_weight="bold")


def _side(pin: Pin) -> int:
    """-1 for the left column, 1 for the right."""
    return 1 if pin.number % 2 == 0 else -1


def draw_board(sheet: Sheet, at: Point) -> None:
    """How to hold the board so that its header lies as drawn; 230×200 pixels from `at`, its upper left corner."""
    x, y = at
    sheet.text((x, y + 14), "Hold the board like this:", 14, font_weight="bold")
    sheet.rect((x, y + 26), 104, 150, fill="#dcefe0", stroke="#4c8a5b", stroke_width=2, rx=8)
    sheet.rect((x + 32, y + 22), 40, 16, fill="#d0d7de", stroke=FAINT, rx=2)
    sheet.text((x + 52, y + 54), "SD card", 12, "middle")
    for left in (8, 40):
        sheet.rect((x + left, y + 154), 26, 28, fill="#d0d7de", stroke=FAINT, rx=2)
    sheet.text((x + 38, y + 146), "USB", 12, "middle")
    sheet.rect((x + 82, y + 36), 16, 104, fill="#2b3036", rx=2)
    sheet.rect((x + 83, y + 38), 6, 6, fill="#c9b458")
    sheet.path(f"M {x + 112:g} {y + 41:g} h 12 M {x + 112:g} {y + 41:g} l 5 -4 m -5 4 l 5 4", stroke=INK, fill="none")
    sheet.text((x + 130, y + 38), "pin 1: SD end,", 12)
    sheet.text((x + 130, y + 53), "inner row", 12)
    sheet.text((x + 112, y + 120), "the 40 pins", 12)
    sheet.text((x + 112, y + 135), "on the right", 12)
