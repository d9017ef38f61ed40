"""The committed pictures are what the project draws now, and they show what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from maskwatch.config import AlertSettings, IndicatorSettings
from maskwatch.indicators.patterns import levels_at, pattern_for
from maskwatch.types import Situation

DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"


def draw(*arguments: str) -> str:
    command = [sys.executable, str(DOCS / "draw"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    draw("--to", str(folder))
    return folder


def picture(name: str) -> ET.Element:
    return ET.parse(DOCS / "images" / name).getroot()


def test_what_is_committed_is_what_is_drawn_now(drawn: Path) -> None:
    """`make pictures` brings them up to date."""
    names = {path.relative_to(drawn) for path in drawn.rglob("*.*")}
    assert names == {path.relative_to(DOCS) for path in [*DOCS.glob("images/*.svg"), *DOCS.glob("*.html")]}
    for name in names:
        assert (DOCS / name).read_text(encoding="utf-8") == (drawn / name).read_text(encoding="utf-8"), name


def test_every_picture_is_shown_on_some_page() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    assert {path.name for path in DOCS.glob("images/*.svg")} == set(re.findall(r"\(images/([\w-]+\.svg)\)", pages))


@pytest.mark.parametrize("page", ["lights.md", "privacy-notice.md"])
def test_a_page_shows_each_situation_once_and_in_order(page: str) -> None:
    shown = re.findall(r"images/lights-([\w-]+)\.svg", (DOCS / page).read_text(encoding="utf-8"))
    assert shown == [situation.value.replace("_", "-") for situation in Situation]


def test_the_table_of_currents_is_the_one_that_is_printed() -> None:
    assert draw("--currents") in (DOCS / "wiring.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("wiring-two-leds.svg", ("red_pin", "green_pin", "buzzer_pin")),
        ("wiring-rgb.svg", ("red_pin", "green_pin", "blue_pin", "buzzer_pin")),
        ("wiring-buzzer-transistor.svg", ("buzzer_pin",)),
    ],
)
def test_the_header_has_all_pins_and_marks_those_of_the_default_settings(name: str, parts: tuple[str, ...]) -> None:
    groups = list(picture(name).iter(f"{SVG}g"))
    labels = {kind: [_words(group) for group in groups if group.get("class") == kind] for kind in ("used", "free")}
    assert sorted(int(number) for kind in labels.values() for number, _ in kind) == list(range(1, 41))
    wanted = {f"GPIO{getattr(IndicatorSettings(), part)}" for part in parts}
    assert {label for _, label in labels["used"] if label.startswith("GPIO")} == wanted


def _words(group: ET.Element) -> tuple[str, str]:
    number, label = (text.text or "" for text in group.iter(f"{SVG}text"))
    return number, label


@pytest.mark.parametrize("situation", Situation)
def test_a_strip_shows_what_the_lights_do(situation: Situation) -> None:
    """Where the strip is coloured, the lamp is on; asked of the patterns every hundredth of a second."""
    root = picture(f"lights-{situation.value.replace('_', '-')}.svg")
    zero_px, one_px = (_second_px(root, second) for second in (0, 1))
    lanes = {group.get("aria-label"): list(group.iter(f"{SVG}rect"))[1:] for group in root.iter(f"{SVG}g")}
    assert set(lanes) == {"red", "green", "buzzer"}
    alarm_s = AlertSettings().alarm_seconds if situation is Situation.UNMASKED else 0.0
    for hundredths in range(799):
        now_s = (hundredths + 0.5) / 100
        since_s = now_s if now_s < alarm_s else now_s - alarm_s
        levels = levels_at(pattern_for(situation, alarm=now_s < alarm_s), since_s)
        at_px = zero_px + now_s * (one_px - zero_px)
        for lane, spans in lanes.items():
            coloured = any(0 <= at_px - float(span.attrib["x"]) <= float(span.attrib["width"]) for span in spans)
            assert coloured == getattr(levels, lane), (lane, now_s)


def _second_px(root: ET.Element, second: int) -> float:
    (mark,) = [text for text in root.iter(f"{SVG}text") if text.text == f"{second} s"]
    return float(mark.attrib["x"])
