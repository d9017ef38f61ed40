"""The contract of every indicator, run against each of them; and what is particular to the console and the record."""

import dataclasses
import io
from collections.abc import Callable

import pytest
from gpiozero.pins.mock import MockFactory
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.config import IndicatorSettings
from maskwatch.errors import IndicatorError
from maskwatch.indicators import make_outputs
from maskwatch.indicators.base import OFF, Levels, NoOutputs, Outputs
from maskwatch.indicators.console import ConsoleOutputs
from maskwatch.indicators.gpio import GpioOutputs
from maskwatch.indicators.record import RecordOutputs

Lit = tuple[bool, bool, bool]


def gpio() -> tuple[Outputs, Callable[[], Lit]]:
    settings, factory = IndicatorSettings(), MockFactory()
    pins = [factory.pin(pin) for pin in (settings.red_pin, settings.green_pin, settings.buzzer_pin)]
    outputs = GpioOutputs(settings, factory)
    return outputs, lambda: tuple(pin.state for pin in pins)


def console() -> tuple[Outputs, Callable[[], Lit]]:
    stream = io.StringIO()

    def lit() -> Lit:
        last = (stream.getvalue().splitlines() or [""])[-1]
        return "RED" in last, "GREEN" in last, "♪" in last

    return ConsoleOutputs(stream), lit


def record() -> tuple[Outputs, Callable[[], Lit]]:
    outputs = RecordOutputs()

    def lit() -> Lit:
        levels = outputs.history[-1][1] if outputs.history else OFF
        return levels.red, levels.green, levels.buzzer

    return outputs, lit


every_indicator = pytest.mark.parametrize("make", [gpio, console, record])
levels_strategy = st.builds(Levels, st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["", "mask, please"]))


@every_indicator
@settings(deadline=None)
@given(sequence=st.lists(levels_strategy, max_size=12))
def test_what_is_set_is_what_is_lit_and_closing_switches_off(make, sequence):
    outputs, lit = make()
    assert lit() == (False, False, False)
    for levels in sequence:
        outputs.set(levels)
        assert lit() == (levels.red, levels.green, levels.buzzer)
    outputs.close()
    assert lit() == (False, False, False)


@every_indicator
def test_closing_twice_is_harmless(make):
    outputs, lit = make()
    outputs.set(Levels(red=True, buzzer=True))
    outputs.close()
    outputs.close()
    assert lit() == (False, False, False)


@every_indicator
def test_setting_after_closing_is_an_error_and_lights_nothing(make):
    outputs, lit = make()
    outputs.close()
    with pytest.raises(IndicatorError, match="closed"):
        outputs.set(Levels(red=True, buzzer=True))
    assert lit() == (False, False, False)


def test_no_indicator_takes_everything_and_does_nothing():
    outputs = make_outputs(IndicatorSettings(kind="none"))
    assert isinstance(outputs, NoOutputs)
    outputs.set(Levels(red=True))
    outputs.close()


def test_the_record_keeps_times_and_the_switching_off_once():
    times = iter([1.0, 2.0, 3.0])
    outputs = RecordOutputs(clock=lambda: next(times))
    outputs.set(Levels(red=True))
    outputs.set(Levels(red=True))
    outputs.close()
    outputs.close()
    assert outputs.history == [(1.0, Levels(red=True)), (2.0, Levels(red=True)), (3.0, OFF)]


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


SHOW = [
    Levels(red=True, buzzer=True, caption="mask, please"),
    Levels(red=True, buzzer=True, caption="mask, please"),
    OFF,
    Levels(green=True, caption="thank you"),
    Levels(red=True, green=True),
]


def drawn(stream: io.StringIO) -> list[str]:
    outputs = ConsoleOutputs(stream)
    for levels in SHOW:
        outputs.set(levels)
    outputs.close()
    return stream.getvalue().splitlines()


def test_the_console_writes_a_plain_line_per_change_where_there_is_no_terminal():
    assert drawn(io.StringIO()) == [
        "● RED  ○        ♪  mask, please",
        "○      ○",
        "○      ● GREEN     thank you",
        "● RED  ● GREEN",
        "○      ○",
    ]


def test_the_console_colours_on_a_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    lines = drawn(Terminal())
    assert len(lines) == 5
    assert "\x1b[1;91m● RED\x1b[0m" in lines[0]
    assert "\x1b[1;92m● GREEN\x1b[0m" in lines[2]


@pytest.mark.parametrize(("value", "coloured"), [("1", False), ("", True)])
def test_the_console_respects_no_color(monkeypatch, value, coloured):
    monkeypatch.setenv("NO_COLOR", value)
    assert any("\x1b" in line for line in drawn(Terminal())) == coloured


def test_the_console_writes_to_stderr(capsys):
    outputs = make_outputs(IndicatorSettings(kind="console"))
    outputs.set(Levels(green=True, caption="thank you"))
    outputs.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["○      ● GREEN     thank you", "○      ○"]


def test_a_console_that_is_closed_while_it_writes_says_off_last():
    """On a very busy machine a line was written after the last one, and the terminal showed a light that was off."""

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            if "hello" in text:
                outputs.close()  # as another thread does, that waits no longer
            return super().write(text)

    stream = Slow()
    outputs = ConsoleOutputs(stream)
    outputs.set(Levels(red=True, caption="hello"))
    *_, last = stream.getvalue().splitlines()
    assert last.split() == ["○", "○"]


def test_a_terminal_that_has_gone_is_an_indicator_error():
    stream = io.StringIO()
    outputs = ConsoleOutputs(stream)
    stream.close()
    with pytest.raises(IndicatorError, match="cannot write"):
        outputs.set(Levels(red=True))


def test_levels_cannot_be_changed_behind_a_pattern():
    with pytest.raises(dataclasses.FrozenInstanceError):
        OFF.red = True
