"""A light and sound pattern for each situation, told apart by rhythm alone, for those who can't tell red from green.

Pure data, and pure functions of elapsed time. No pattern flashes more than three times in any second: flashing above
that can bring on seizures (WCAG 2.2, criterion 2.3.1).
"""

from __future__ import annotations

from dataclasses import dataclass

from maskwatch.indicators.base import OFF, Levels
from maskwatch.types import Situation


@dataclass(frozen=True, slots=True)
class Step:
    """Levels and how long they last."""

    duration_seconds: float
    levels: Levels


Pattern = tuple[Step, ...]
"""Steps that repeat for ever."""

_READY = Levels(green=True, caption="ready")
_UNSURE = Levels(red=True, green=True, caption="one moment")
_MASKED = Levels(green=True, caption="thank you")
_UNMASKED = Levels(red=True, caption="mask, please")
_BEEP = Levels(red=True, buzzer=True, caption="mask, please")
_FAULT_RED = Levels(red=True, caption="no camera")
_FAULT_GREEN = Levels(green=True, caption="no camera")

HEARTBEAT: Pattern = (Step(0.1, _READY), Step(3.9, OFF))
"""A short blink now and then: a door that waits is not a door that is dead."""

SLOW_BLINK: Pattern = (Step(0.8, _UNSURE), Step(0.8, OFF))

STEADY: Pattern = (Step(60.0, _MASKED),)

FAST_BLINK: Pattern = (Step(0.2, _UNMASKED), Step(0.2, OFF))

FAST_BLINK_AND_BEEPS: Pattern = (*(Step(0.2, _BEEP), Step(0.2, OFF)) * 3, *FAST_BLINK * 2)
"""Three beeps and a rest, while the light blinks on."""

DOUBLE_BLINKS: Pattern = (
    *(Step(0.15, _FAULT_RED), Step(0.15, OFF), Step(0.15, _FAULT_RED), Step(0.85, OFF)),
    *(Step(0.15, _FAULT_GREEN), Step(0.15, OFF), Step(0.15, _FAULT_GREEN), Step(0.85, OFF)),
)

PATTERNS: dict[Situation, Pattern] = {
    Situation.NOBODY: HEARTBEAT,
    Situation.UNSURE: SLOW_BLINK,
    Situation.ALL_MASKED: STEADY,
    Situation.UNMASKED: FAST_BLINK,
    Situation.NO_CAMERA: DOUBLE_BLINKS,
}


def pattern_for(situation: Situation, alarm: bool) -> Pattern:
    """The pattern of a verdict; an alarm adds the beeps to someone unmasked, and to nothing else."""
    if alarm and situation is Situation.UNMASKED:
        return FAST_BLINK_AND_BEEPS
    return PATTERNS[situation]


def step_at(pattern: Pattern, elapsed_seconds: float) -> tuple[Levels, float]:
    """The levels so long after the pattern's start, and the seconds until its next step.

    A step within a microsecond of its end counts as over, so that rounding never asks anyone to wait for nothing.
    """
    into = elapsed_seconds % sum(step.duration_seconds for step in pattern)
    for step in pattern:
        if into < step.duration_seconds - 1e-6:
            return step.levels, step.duration_seconds - into
        into -= step.duration_seconds
    return pattern[0].levels, pattern[0].duration_seconds - into  # the very end is the start


def levels_at(pattern: Pattern, elapsed_seconds: float) -> Levels:
    """The levels so long after the pattern's start."""
    return step_at(pattern, elapsed_seconds)[0]
