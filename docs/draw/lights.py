"""What lights and buzzer do in each situation, over seconds, drawn from the patterns that the door plays."""

from __future__ import annotations

from dataclasses import dataclass

from maskwatch.config import AlertSettings
from maskwatch.indicators.patterns import Pattern, Step, pattern_for
from maskwatch.types import Situation
from svg import FAINT, INK, Sheet

LANES = {"red": "#cf222e", "green": "#1a7f37", "buzzer": "#8250df"}


@dataclass(frozen=True, slots=True)
class Style:
    """How large a strip is drawn; `axis` adds seconds below it."""

    seconds: float
    lane_px: float
    label_px: float
    width_px: float
    text_px: float
    axis: bool


PAGE = Style(seconds=8, lane_px=30, label_px=90, width_px=900, text_px=16, axis=True)
PRINT = Style(seconds=6, lane_px=28, label_px=104, width_px=440, text_px=20, axis=False)

WORDS = {
    Situation.NOBODY: "Nobody is there: green, a short blink now and then",
    Situation.UNSURE: "Still looking: red and green together, a slow blink",
    Situation.ALL_MASKED: "Everybody wears a mask: green, steady",
    Situation.UNMASKED: "Somebody wears no mask: red, a fast blink, with beeps at first",
    Situation.NO_CAMERA: "No camera: red twice, green twice, in turn",
}
"""What each picture shows, for those who can't see it."""


def runs(situation: Situation, seconds: float, alert: AlertSettings) -> list[tuple[float, float, Step]]:
    """What a situation shows from its beginning: start and end in seconds, and the step, one after the other.

    The beeps last as long as these settings let them, while the situation goes on.
    """
    sounding = min(alert.alarm_seconds, seconds) if situation is Situation.UNMASKED else 0.0
    parts = (
        (pattern_for(situation, alarm=True), 0.0, sounding),
        (pattern_for(situation, alarm=False), sounding, seconds),
    )
    return [run for pattern, start_s, end_s in parts for run in _played(pattern, start_s, end_s)]


def _played(pattern: Pattern, start_s: float, end_s: float) -> list[tuple[float, float, Step]]:
    found, now_s = [], start_s
    while now_s < end_s - 1e-6:
        for step in pattern:
            if now_s < end_s - 1e-6:
                found.append((now_s, min(now_s + step.duration_seconds, end_s), step))
            now_s += step.duration_seconds
    return found


def strip(situation: Situation, alert: AlertSettings, style: Style = PAGE) -> str:
    """One situation: a lane each for red, green and buzzer."""
    bottom = 34.0 if style.axis else 6.0
    sheet = Sheet(style.width_px, 3 * style.lane_px + 12 + bottom, WORDS[situation])
    scale = (style.width_px - style.label_px - 16) / style.seconds
    played = runs(situation, style.seconds, alert)
    for index, (lane, colour) in enumerate(LANES.items()):
        middle_y = 10 + (index + 0.5) * style.lane_px
        sheet.text((12, middle_y + style.text_px * 0.35), lane, style.text_px, fill=colour, font_weight="bold")
        with sheet.group("lane", lane):
            sheet.rect((style.label_px, middle_y - 1), style.seconds * scale, 2, fill="#d0d7de")
            for start_s, end_s in _lit(played, lane):
                at = (style.label_px + start_s * scale, middle_y - style.lane_px * 0.36)
                sheet.rect(at, (end_s - start_s) * scale, style.lane_px * 0.72, fill=colour, rx=2)
    if style.axis:
        _draw_axis(sheet, style, scale, 10 + 3 * style.lane_px)
    return sheet.svg()


def _lit(played: list[tuple[float, float, Step]], lane: str) -> list[tuple[float, float]]:
    """When a lane is on, neighbouring steps joined."""
    spans: list[tuple[float, float]] = []
    for start_s, end_s, step in played:
        if not getattr(step.levels, lane):
            continue
        if spans and abs(spans[-1][1] - start_s) < 1e-6:
            spans[-1] = (spans[-1][0], end_s)
        else:
            spans.append((start_s, end_s))
    return spans


def _draw_axis(sheet: Sheet, style: Style, scale: float, y: float) -> None:
    for second in range(int(style.seconds) + 1):
        x = style.label_px + second * scale
        sheet.rect((x - 0.5, 8), 1, y - 2, fill=INK, fill_opacity=0.18)
        sheet.text((x, y + 22), f"{second} s", 13, "middle", fill=FAINT)
