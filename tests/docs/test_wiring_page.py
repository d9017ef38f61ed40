"""wiring.md names the pins of the default settings, and where the header has them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from gpiozero import pi_info
from maskwatch.config import IndicatorSettings, load_settings

PAGE = (Path(__file__).parents[2] / "docs" / "wiring.md").read_text(encoding="utf-8")
HEADER = {number: pin.name for number, pin in pi_info("c03111").headers["J8"].pins.items()}  # a Pi 4B; all are alike


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    lines = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines()
    table = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


PINS = rows("Pins")


def test_every_part_has_the_pin_of_the_default_settings() -> None:
    told = {setting.strip("`"): int(gpio) for _, setting, gpio, _ in PINS if setting != "–"}
    defaults = {field.name: field.default for field in fields(IndicatorSettings) if field.name.endswith("_pin")}
    assert told == defaults


@pytest.mark.parametrize("row", PINS, ids=lambda row: row[0])
def test_the_header_has_them_there(row: list[str]) -> None:
    _, setting, gpio, numbers = row
    name = gpio if setting == "–" else f"GPIO{gpio}"
    assert [int(number) for number in re.findall(r"\d+", numbers)] == [pin for pin in HEADER if HEADER[pin] == name]


def test_pins_named_in_the_text_are_where_it_says() -> None:
    named = re.findall(r"GPIO (\d+) \(pin (\d+)\) or (\d+) \(pin (\d+)\)", PAGE)
    assert named
    for one, one_at, other, other_at in named:
        assert (HEADER[int(one_at)], HEADER[int(other_at)]) == (f"GPIO{one}", f"GPIO{other}")


@pytest.mark.parametrize("row", rows("Other modules"), ids=lambda row: row[0])
def test_settings_for_other_modules_are_valid(row: list[str], tmp_path: Path) -> None:
    settings = re.findall(r"`(\w+ = [^`]+)`", row[2])
    assert settings or row[2] in ("–", "the same")
    path = tmp_path / "config.toml"
    path.write_text("\n".join(["[indicator]", *settings, ""]), encoding="utf-8")
    assert (load_settings(path).indicator == IndicatorSettings()) == (not settings)
