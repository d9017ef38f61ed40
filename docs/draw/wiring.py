"""The wiring's three pictures; the pins are those of the default settings."""

from __future__ import annotations

from itertools import pairwise

from header import Header, Pin, draw_board, ground, pin_of, supply
from maskwatch.config import IndicatorSettings
from parts import LED_LEG_PX, draw_buzzer, draw_diode, draw_led, draw_npn, draw_resistor, draw_to92
from svg import FAINT, Point, Sheet

RED, GREEN, BLUE, SOUND, GROUND, FIVE_VOLTS = "#cf222e", "#1a7f37", "#0969da", "#8250df", "#24292f", "#bc4c00"

LIGHTS_GROUND, BUZZER_GROUND, BUZZER_SUPPLY = ground(9), ground(14), supply(2, "5V")

_WIDTH_PX, _HEIGHT_PX = 1080, 620
_MIDDLE = Header((610, 100))
_LEFT = Header((190, 100))
_RAIL_X, _RAIL_Y = 50, 84
"""Where the lights' ground wire runs: down the left side, and above all other parts."""


def two_leds(settings: IndicatorSettings) -> str:
    """A red and a green LED and a buzzer that the pin can drive."""
    sheet = _sheet("Two LEDs and a small buzzer")
    red, green, buzzer = pin_of(settings.red_pin), pin_of(settings.green_pin), pin_of(settings.buzzer_pin)
    _check_order(LIGHTS_GROUND, red, green)
    red_y = _MIDDLE.at(red)[1]
    green_y = red_y + 190
    _ground_rail(sheet, green_y)
    for pin, y, colour, name in ((red, red_y, RED, "red LED"), (green, green_y, GREEN, "green LED")):
        _wire_to_row(sheet, pin, y, colour, jog_px=26, to_x=190 + LED_LEG_PX)
        sheet.wire([(190 - LED_LEG_PX, y), (_RAIL_X, y)], GROUND)
        draw_resistor(sheet, (370, y), "330 Ω")
        draw_led(sheet, (190, y), colour, name)
        sheet.text((463, y - 8), colour_name(colour), 13, "end", fill=colour, font_weight="bold")
    sheet.dot((_RAIL_X, red_y), GROUND)
    _small_buzzer(sheet, buzzer)
    _MIDDLE.draw(sheet, {red: RED, green: GREEN, LIGHTS_GROUND: GROUND, buzzer: SOUND, BUZZER_GROUND: GROUND})
    draw_board(sheet, (830, 380))
    return sheet.svg()


def rgb_led(settings: IndicatorSettings) -> str:
    """An RGB LED with a common cathode, and the same buzzer."""
    sheet = _sheet("One RGB LED (common cathode) and a small buzzer")
    red, green, blue = pin_of(settings.red_pin), pin_of(settings.green_pin), pin_of(settings.blue_pin)
    buzzer = pin_of(settings.buzzer_pin)
    _check_order(LIGHTS_GROUND, red, green, blue)
    top_y = _MIDDLE.at(red)[1]
    rows = ((red, "R", RED, top_y, 26), (green, "G", GREEN, top_y + 90, 26), (blue, "B", BLUE, top_y + 180, 12))
    pads = {"R": top_y + 24, "−": top_y + 57, "G": top_y + 90, "B": top_y + 123}
    centre = (190.0, top_y + 73.5)
    sheet.circle(centre, 84, fill="#f6f8fa", stroke=FAINT, stroke_width=2)
    _ground_rail(sheet, pads["−"])
    sheet.wire([(_RAIL_X, pads["−"]), (centre[0], pads["−"])], GROUND)
    for pin, letter, colour, y, jog_px in rows:
        _wire_to_row(sheet, pin, y, colour, jog_px, to_x=288)
        sheet.wire([(288, y), (288, pads[letter]), (centre[0], pads[letter])], colour)
        draw_resistor(sheet, (376, y), "330 Ω")
        sheet.text((463, y - 8), colour_name(colour), 13, "end", fill=colour, font_weight="bold")
    for letter, y in pads.items():
        sheet.circle((centre[0], y), 13, fill="#ffffff", stroke="#57606a", stroke_width=2)
        sheet.text((centre[0], y + 6), letter, 16, "middle", font_weight="bold")
    sheet.text((centre[0], top_y - 22), "RGB LED from above", 16, "middle", font_weight="bold")
    _rgb_legs(sheet, (100, 420))
    _small_buzzer(sheet, buzzer)
    used = {red: RED, green: GREEN, blue: BLUE, LIGHTS_GROUND: GROUND, buzzer: SOUND, BUZZER_GROUND: GROUND}
    _MIDDLE.draw(sheet, used)
    draw_board(sheet, (830, 380))
    return sheet.svg()


def buzzer_with_transistor(settings: IndicatorSettings) -> str:
    """A buzzer that wants 5 V or more current than a pin gives, through an NPN transistor."""
    sheet = _sheet("A louder buzzer, through a transistor")
    buzzer = pin_of(settings.buzzer_pin)
    _check_order(BUZZER_SUPPLY, buzzer, BUZZER_GROUND)
    base, column_x, diode_x = (560.0, 380.0), 618.0, 770.0
    top_y, bottom_y = _LEFT.at(BUZZER_SUPPLY)[1], 500.0
    x, y = _LEFT.end(buzzer)
    sheet.wire([(x, y), (x + 52, y), (x + 52, base[1]), base], SOUND)
    x, y = _LEFT.end(BUZZER_GROUND)
    sheet.wire([(x, y), (x + 28, y), (x + 28, bottom_y), (column_x, bottom_y), (column_x, base[1] + 46)], GROUND)
    sheet.wire([_LEFT.end(BUZZER_SUPPLY), (column_x, top_y), (column_x, 160)], FIVE_VOLTS)
    sheet.wire([(column_x, top_y), (diode_x, top_y), (diode_x, 190)], FIVE_VOLTS)
    sheet.wire([(column_x, 250), (column_x, base[1] - 46)], FAINT)
    sheet.wire([(diode_x, 250), (diode_x, 300), (column_x, 300)], FAINT)
    sheet.dot((column_x, top_y), FIVE_VOLTS)
    sheet.dot((column_x, 300), FAINT)
    draw_resistor(sheet, (470, base[1]), "1 kΩ")
    draw_buzzer(sheet, (column_x, 206), (column_x, 168), (column_x, 244))
    draw_diode(sheet, (diode_x, 220))
    draw_npn(sheet, base)
    sheet.text((column_x - 62, 211), "buzzer, 5 V", 16, "end", font_weight="bold")
    sheet.text((diode_x + 24, 206), "diode 1N4148,", 14, font_weight="bold")
    sheet.text((diode_x + 24, 226), "its band towards 5 V", 14)
    sheet.text((column_x + 34, 446), "NPN transistor", 14, font_weight="bold")
    sheet.text((column_x + 34, 464), "BC337 or PN2222A", 14)
    sheet.text(
        (380, top_y - 10), "5 V: to the buzzer's + and the diode, nowhere else", 13, fill=FIVE_VOLTS, font_weight="bold"
    )
    sheet.text((390, bottom_y - 10), "black: ground", 13, fill=GROUND, font_weight="bold")
    sheet.text((396, 300), "violet: signal", 13, fill=SOUND, font_weight="bold")
    sheet.text((810, 270), "Which leg is which:", 14, font_weight="bold")
    draw_to92(sheet, (810, 284), "BC337, BC547", "CBE")
    draw_to92(sheet, (935, 284), "PN2222A, 2N3904", "EBC")
    _LEFT.draw(sheet, {buzzer: SOUND, BUZZER_GROUND: GROUND, BUZZER_SUPPLY: FIVE_VOLTS})
    draw_board(sheet, (830, 422))
    return sheet.svg()


def colour_name(colour: str) -> str:
    """A wire's colour in a word."""
    return {RED: "red", GREEN: "green", BLUE: "blue"}[colour]


def _sheet(title: str) -> Sheet:
    sheet = Sheet(_WIDTH_PX, _HEIGHT_PX, f"Maskwatch's wiring: {title}")
    sheet.text((24, 38), title, 22, font_weight="bold")
    sheet.text((_WIDTH_PX - 24, 36), "number: pin on the header · name: BCM", 13, "end", fill=FAINT)
    sheet.text(
        (24, _HEIGHT_PX - 16), "Power off while you wire. Never 5 V on a GPIO.", 14, fill=RED, font_weight="bold"
    )
    return sheet


def _ground_rail(sheet: Sheet, down_to_y: float) -> None:
    """The lights' ground: from its pin up, over all other parts, and down the left side."""
    x, y = _MIDDLE.end(LIGHTS_GROUND)
    sheet.wire([(x, y), (x - 26, y), (x - 26, _RAIL_Y), (_RAIL_X, _RAIL_Y), (_RAIL_X, down_to_y)], GROUND)
    sheet.text((300, _RAIL_Y - 8), "black: ground", 13, fill=GROUND, font_weight="bold")


def _wire_to_row(sheet: Sheet, pin: Pin, y: float, colour: str, jog_px: float, to_x: float) -> None:
    """A wire from a pin in the left column to a part's row."""
    x, pin_y = _MIDDLE.end(pin)
    points: list[Point] = [(x, pin_y)]
    if y != pin_y:
        points += [(x - jog_px, pin_y), (x - jog_px, y)]
    sheet.wire([*points, (to_x, y)], colour)


def _small_buzzer(sheet: Sheet, pin: Pin) -> None:
    """A buzzer between its pin and the ground pin below that, on the right."""
    _check_order(pin, BUZZER_GROUND)
    (x, plus_y), (_, minus_y) = _MIDDLE.end(pin), _MIDDLE.end(BUZZER_GROUND)
    middle_y = (plus_y + minus_y) / 2
    plus, minus = (880.0, middle_y - 30), (880.0, middle_y + 30)
    sheet.wire([(x, plus_y), (x + 26, plus_y), (x + 26, plus[1]), plus], SOUND)
    sheet.wire([(x, minus_y), (x + 26, minus_y), (x + 26, minus[1]), minus], GROUND)
    draw_buzzer(sheet, (915, middle_y), plus, minus)
    sheet.text((x + 34, plus[1] - 8), "violet", 13, fill=SOUND, font_weight="bold")
    sheet.text((x + 34, minus[1] + 18), "black", 13, fill=GROUND, font_weight="bold")
    sheet.text((915, middle_y - 76), "active buzzer, 3 V", 16, "middle", font_weight="bold")
    sheet.text((915, middle_y + 80), "8 mA at most;", 13, "middle", fill=FAINT)
    sheet.text((915, middle_y + 98), "else through a transistor", 13, "middle", fill=FAINT)


def _rgb_legs(sheet: Sheet, at: Point) -> None:
    """The same LED from the side: the longest leg is the common one."""
    x, y = at
    sheet.text((x - 50, y), "The same from the side:", 14, font_weight="bold")
    sheet.path(f"M {x:g} {y + 62:g} v -12 a 40 36 0 0 1 80 0 v 12 Z", fill="#f6f8fa", stroke=FAINT, stroke_width=2)
    for index, (letter, length_px) in enumerate((("R", 40), ("−", 62), ("G", 40), ("B", 40))):
        left = x + 10 + 20 * index
        sheet.path(f"M {left:g} {y + 62:g} v {length_px:g}", stroke="#8c959f", stroke_width=4)
        sheet.text((left, y + 62 + length_px + 16), letter, 14, "middle", font_weight="bold")
    sheet.text((x + 96, y + 92), "the longest leg is the common one;", 13)
    sheet.text((x + 96, y + 110), "your LED's data sheet has the last word", 13, fill=FAINT)


def _check_order(*pins: Pin) -> None:
    """Wires would cross, unseen, if the pins of the defaults did not lie in one column, from top to bottom."""
    for upper, lower in pairwise(pins):
        if upper.number % 2 != lower.number % 2 or upper.number > lower.number:
            raise ValueError(f"the drawing wants {upper.name} above {lower.name} in the same column: draw it anew")
