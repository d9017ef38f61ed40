"""What the parts draw from the Pi, as a table: Ohm's law, with the forward voltages of common parts."""

from __future__ import annotations

PIN_VOLTS = 3.3

ROWS = (
    ("red LED", 2.0, 330),
    ("green LED, yellowish (GaP)", 2.1, 330),
    ("green LED, bright (InGaN)", 3.0, 330),
    ("green LED, bright (InGaN)", 3.0, 68),
    ("base of the transistor", 0.7, 1000),
)
"""Part, the voltage that drops over it, its resistor in ohms."""

SMALL_BUZZER_MA = 8.0
"""What the pictures allow a buzzer that hangs on its pin alone."""


def current_ma(drop_volts: float, resistor_ohms: float) -> float:
    """The current in milliamperes through a part and its resistor, at most: a loaded pin gives a little less."""
    return (PIN_VOLTS - drop_volts) / resistor_ohms * 1000


def table() -> str:
    """The currents as a Markdown table."""
    lines = ["| part | drops | resistor | current |", "|---|---|---|---|"]
    for name, drop_volts, resistor_ohms in ROWS:
        current = f"{current_ma(drop_volts, resistor_ohms):.1f} mA"
        lines.append(f"| {name} | {drop_volts:.1f} V | {_ohms(resistor_ohms)} | {current} |")
    most_ma = current_ma(*ROWS[0][1:]) + SMALL_BUZZER_MA
    lines.append(f"| most at once: red LED, buzzer of {SMALL_BUZZER_MA:g} mA | | | {most_ma:.1f} mA |")
    return "\n".join(lines) + "\n"


def _ohms(value: int) -> str:
    return f"{value // 1000} kΩ" if value >= 1000 else f"{value} Ω"
