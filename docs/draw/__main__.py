"""Draw the pictures of the documentation, and the door's notice for printing: `make pictures`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import currents
import lights
import notice
import wiring
from maskwatch.config import Settings
from maskwatch.types import Situation

DOCS = Path(__file__).resolve().parents[1]


def drawn(settings: Settings) -> dict[str, str]:
    """Every generated file: its path within docs/, and its text."""
    files = {
        "images/wiring-two-leds.svg": wiring.two_leds(settings.indicator),
        "images/wiring-rgb.svg": wiring.rgb_led(settings.indicator),
        "images/wiring-buzzer-transistor.svg": wiring.buzzer_with_transistor(settings.indicator),
    }
    for situation in Situation:
        files[f"images/lights-{_dashed(situation)}.svg"] = lights.strip(situation, settings.alert)
    strips = {
        f"images/lights-{_dashed(situation)}.svg": lights.strip(situation, settings.alert, lights.PRINT)
        for situation in Situation
    }
    files["privacy-notice.html"] = notice.page((DOCS / "privacy-notice.md").read_text(encoding="utf-8"), strips)
    return files


def main() -> None:
    """Write the files, or print the table of currents."""
    parser = argparse.ArgumentParser(prog="python docs/draw", description=__doc__)
    parser.add_argument("--to", type=Path, default=DOCS, metavar="DIR", help="where to write them (default: docs/)")
    parser.add_argument("--currents", action="store_true", help="print wiring.md's table of currents instead")
    args = parser.parse_args()
    if args.currents:
        sys.stdout.write(currents.table())
        return
    for name, text in drawn(Settings()).items():
        path = args.to / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _dashed(situation: Situation) -> str:
    return situation.value.replace("_", "-")


if __name__ == "__main__":
    main()
