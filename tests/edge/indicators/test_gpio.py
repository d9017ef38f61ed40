import subprocess
import sys

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin
from maskwatch.config import IndicatorSettings
from maskwatch.errors import ExitCode, IndicatorError
from maskwatch.indicators import make_outputs
from maskwatch.indicators.base import OFF, Levels
from maskwatch.indicators.gpio import GpioOutputs

RED, GREEN, BEEP = Levels(red=True), Levels(green=True), Levels(red=True, buzzer=True)
SHOW = [RED, GREEN, BEEP, OFF, BEEP, BEEP, GREEN]


def states_after(settings: IndicatorSettings, factory: MockFactory, *pins: int) -> list[list[float]]:
    """Every state that each pin went through from the indicator's making to just before it lets go of the pins."""
    factory_pins = [factory.pin(pin) for pin in pins]
    outputs = GpioOutputs(settings, factory)
    for levels in SHOW:
        outputs.set(levels)
    outputs.close()
    assert [pin.function for pin in factory_pins] == ["input"] * len(pins)
    return [[state.state for state in pin.states] for pin in factory_pins]


def test_two_leds_and_an_active_buzzer_go_through_exactly_these_states():
    red, green, buzzer = states_after(IndicatorSettings(), MockFactory(), 17, 27, 18)
    assert red == [False, True, False, True, False, True, False]
    assert green == [False, True, False, True, False]
    assert buzzer == [False, True, False, True, False]


def test_active_low_parts_are_inverted_and_end_high():
    settings = IndicatorSettings(active_high=False, buzzer_active_high=False)
    red, green, buzzer = states_after(settings, MockFactory(), 17, 27, 18)
    assert red == [False, True, False, True, False, True, False, True]  # low as a mock pin begins, then off is high
    assert green == [False, True, False, True, False, True]
    assert buzzer == [False, True, False, True, False, True]


def test_lights_and_buzzer_may_be_wired_differently():
    red, _, buzzer = states_after(IndicatorSettings(buzzer_active_high=False), MockFactory(), 17, 27, 18)
    assert (red[-1], buzzer[-1]) == (False, True)


def test_an_rgb_led_keeps_its_blue_dark():
    settings = IndicatorSettings(light="rgb", active_high=False)
    red, green, blue = states_after(settings, MockFactory(), 17, 27, 22)
    assert (red[-1], green[-1], blue) == (True, True, [False, True])  # common anode: dark is high


def test_without_a_buzzer_its_pin_is_left_alone():
    factory = MockFactory()
    outputs = GpioOutputs(IndicatorSettings(buzzer="none"), factory)
    outputs.set(BEEP)
    other = gpiozero.LED(18, pin_factory=factory)
    assert not other.is_lit
    outputs.close()


def test_a_passive_buzzer_gets_its_tone_at_half_duty():
    factory = MockFactory(pin_class=MockPWMPin)
    pin = factory.pin(18)
    outputs = GpioOutputs(IndicatorSettings(buzzer="passive", buzzer_frequency_hz=2000), factory)
    duties = []
    for levels in SHOW:
        outputs.set(levels)
        duties.append(pin.state)
        assert pin.frequency == 2000
    assert duties == [0, 0, 0.5, 0, 0.5, 0.5, 0]
    outputs.set(BEEP)
    outputs.close()
    assert (pin.function, pin.state) == ("input", 0)


def test_pins_are_free_again_after_closing():
    factory = MockFactory()
    GpioOutputs(IndicatorSettings(), factory).close()
    GpioOutputs(IndicatorSettings(), factory).close()


def test_a_pin_that_is_taken_is_named_and_the_others_are_let_go():
    factory = MockFactory()
    green = gpiozero.LED(27, pin_factory=factory)
    with pytest.raises(IndicatorError, match=r"green_pin = 27 .* \(pin GPIO27 is already in use") as caught:
        GpioOutputs(IndicatorSettings(), factory)
    assert caught.value.exit_code == ExitCode.OPERATOR
    assert str(caught.value).isprintable()
    green.close()
    GpioOutputs(IndicatorSettings(), factory).close()


def test_a_passive_buzzer_on_pins_without_tones_is_an_indicator_error():
    with pytest.raises(IndicatorError, match="buzzer_pin = 18"):
        GpioOutputs(IndicatorSettings(buzzer="passive"), MockFactory())


def test_an_error_of_the_library_below_is_translated(monkeypatch):
    lgpio = pytest.importorskip("lgpio")
    factory = MockFactory()

    def busy(*_: object) -> None:
        raise lgpio.error("GPIO busy")

    monkeypatch.setattr(factory, "pin", busy)
    with pytest.raises(IndicatorError, match=r"red_pin = 17 .*GPIO busy"):
        GpioOutputs(IndicatorSettings(), factory)


def test_every_light_goes_off_where_one_of_them_fails(monkeypatch):
    """A lamp that could not be switched off must not keep the buzzer on."""
    factory = MockFactory()
    red, buzzer = factory.pin(17), factory.pin(18)
    outputs = GpioOutputs(IndicatorSettings(), factory)
    outputs.set(BEEP)
    green = factory.pin(27)

    def broken(_: object) -> None:
        raise OSError("i/o error")

    monkeypatch.setattr(green, "_set_state", broken)
    with pytest.raises(IndicatorError, match=r"could not be switched off \(i/o error\)"):
        outputs.close()
    assert (red.state, buzzer.state) == (False, False)
    assert {pin.function for pin in (red, green, buzzer)} == {"input"}
    outputs.close()


def test_a_write_that_fails_is_an_indicator_error(monkeypatch):
    factory = MockFactory()
    outputs = GpioOutputs(IndicatorSettings(), factory)
    factory.pin(27).function = "input"
    with pytest.raises(IndicatorError, match="cannot be switched"):
        outputs.set(GREEN)
    factory.pin(27).function = "output"
    outputs.close()


@pytest.fixture
def fresh_gpiozero(monkeypatch):
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    return monkeypatch


def test_the_environment_chooses_the_factory(fresh_gpiozero):
    fresh_gpiozero.setenv("GPIOZERO_PIN_FACTORY", "mock")
    outputs = make_outputs(IndicatorSettings())
    outputs.set(RED)
    assert gpiozero.Device.pin_factory.pin(17).state
    outputs.close()
    assert not gpiozero.Device.pin_factory.pin(17).state


def test_an_unknown_factory_is_an_indicator_error(fresh_gpiozero):
    fresh_gpiozero.setenv("GPIOZERO_PIN_FACTORY", "nonsense")
    with pytest.raises(IndicatorError, match=r"no pins to drive.*nonsense"):
        make_outputs(IndicatorSettings())


def test_a_gpiozero_that_is_too_old_is_named(monkeypatch):
    """Plain Debian's 1.6 has no such method; the doctor ended as if it had a bug."""
    monkeypatch.delattr(gpiozero.Device, "ensure_pin_factory")
    with pytest.raises(IndicatorError, match=r"no pins to drive.*older than 2\.0"):
        GpioOutputs(IndicatorSettings())


def test_where_lgpio_fails_there_is_no_fallback_but_an_error(fresh_gpiozero):
    fresh_gpiozero.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    fresh_gpiozero.setitem(sys.modules, "lgpio", None)
    fresh_gpiozero.delitem(sys.modules, "gpiozero.pins.lgpio", raising=False)
    with pytest.raises(IndicatorError, match=r"python3-lgpio.*Falling back from lgpio") as caught:
        make_outputs(IndicatorSettings())
    assert str(caught.value).isprintable()


def test_without_gpiozero_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    with pytest.raises(IndicatorError, match="install python3-gpiozero"):
        make_outputs(IndicatorSettings())


def test_importing_the_indicators_does_not_touch_the_hardware_library():
    check = "import sys, maskwatch.indicators; sys.exit('gpiozero' in sys.modules or 'lgpio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=60).returncode == 0
