"""LEDs and a buzzer on a Raspberry Pi's pins, through gpiozero."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from maskwatch.config import IndicatorSettings
from maskwatch.errors import IndicatorError
from maskwatch.indicators.base import Levels

TONE_DUTY_RATIO = 0.5
"""A passive buzzer is loudest on a symmetric square wave."""


class GpioOutputs:
    """Two LEDs or one RGB LED (its blue kept dark), and an active, a passive or no buzzer.

    `pin_factory` is a gpiozero factory, for tests; None lets gpiozero choose: lgpio, or what the environment's
    GPIOZERO_PIN_FACTORY names. Raises IndicatorError where the library is missing, no chip answers or a pin is taken.
    """

    def __init__(self, settings: IndicatorSettings, pin_factory: Any = None) -> None:
        if pin_factory is None:
            pin_factory = default_factory()
        self._closed = False
        self._buzzer: Any = None
        self._buzzer_on = 1.0
        with ExitStack() as stack:  # what is claimed already is let go where a later pin fails
            self._red = _claim(stack, "red_pin", settings.red_pin, _led(settings, pin_factory))
            self._green = _claim(stack, "green_pin", settings.green_pin, _led(settings, pin_factory))
            if settings.light == "rgb":
                _claim(stack, "blue_pin", settings.blue_pin, _led(settings, pin_factory))
            if settings.buzzer != "none":
                self._buzzer = _claim(stack, "buzzer_pin", settings.buzzer_pin, _buzzer(settings, pin_factory))
            if settings.buzzer == "passive":
                self._buzzer_on = TONE_DUTY_RATIO
            self._claimed = stack.pop_all()

    def set(self, levels: Levels) -> None:
        """Drive the pins."""
        if self._closed:
            raise IndicatorError("the lights are closed")
        with _translated("the lights cannot be switched"):
            self._red.value = levels.red
            self._green.value = levels.green
            if self._buzzer is not None:
                self._buzzer.value = self._buzzer_on if levels.buzzer else 0

    def close(self) -> None:
        """Switch all off and release the pins: each of them, even where another one fails."""
        self._closed = True
        with _translated("the lights could not be switched off"):
            self._claimed.close()


def switch_off(settings: IndicatorSettings, pin_factory: Any = None) -> None:
    """Switch off whatever somebody else has left on: each part, even where another one cannot be had.

    The kernel keeps the level of a pin whose owner has died. Raises IndicatorError in the words of each fault.
    """
    if pin_factory is None:
        pin_factory = default_factory()
    lamp, sounder = _led(settings, pin_factory), _switch(settings.buzzer_active_high, pin_factory)
    faults = []
    for key, pin in sorted(settings.pins().items(), key=lambda part: part[0] != "buzzer_pin"):  # the noise first
        make = sounder if key == "buzzer_pin" else lamp
        try:
            with _translated(f"{key} = {pin} under [indicator] could not be switched off"), ExitStack() as stack:
                _claim(stack, key, pin, make)
        except IndicatorError as error:
            faults.append(str(error))
    if faults:
        raise IndicatorError("; ".join(faults))


def default_factory() -> Any:
    """The pin factory of gpiozero's own choice, without its fallback to slower libraries that lack a tone.

    Claims no pin. Raises IndicatorError where a library is missing or no chip answers.
    """
    advice = (
        "no pins to drive: on a Raspberry Pi install python3-gpiozero and python3-lgpio and add the user to the group "
        'gpio; elsewhere set kind = "console" under [indicator]'
    )
    with _translated(advice), warnings.catch_warnings():
        from gpiozero import Device, PinFactoryFallback

        if not hasattr(Device, "ensure_pin_factory"):
            raise ImportError("this gpiozero is older than 2.0")
        warnings.simplefilter("error", PinFactoryFallback)
        Device.ensure_pin_factory()
        return Device.pin_factory


def _led(settings: IndicatorSettings, pin_factory: Any) -> Callable[[int], Any]:
    """A maker of LEDs, dark when made, for a pin."""
    return _switch(settings.active_high, pin_factory)


def _switch(active_high: bool, pin_factory: Any) -> Callable[[int], Any]:
    """A maker of something that is on or off, off when made, for a pin."""
    from gpiozero import LED

    return lambda pin: LED(pin, active_high=active_high, pin_factory=pin_factory)


def _buzzer(settings: IndicatorSettings, pin_factory: Any) -> Callable[[int], Any]:
    """A maker of the buzzer, silent when made, for a pin."""
    from gpiozero import Buzzer, PWMOutputDevice

    wiring = {"active_high": settings.buzzer_active_high, "pin_factory": pin_factory}
    if settings.buzzer == "passive":
        return lambda pin: PWMOutputDevice(pin, frequency=settings.buzzer_frequency_hz, **wiring)
    return lambda pin: Buzzer(pin, **wiring)


def _claim(stack: ExitStack, key: str, pin: int, make: Callable[[int], Any]) -> Any:
    """Make a device; the stack will switch it off, then release its pin."""
    with _translated(
        f"{key} = {pin} under [indicator] cannot be used: free this pin of its other user, or choose another"
    ):
        device = make(pin)
    stack.callback(device.close)
    stack.callback(device.off)
    return device


@contextmanager
def _translated(advice: str) -> Iterator[None]:
    """Turn what gpiozero and the library under it raise into an IndicatorError of one line."""
    try:
        yield
    except _library_errors() as error:
        raise IndicatorError(f"{advice} ({' '.join(str(error).split())})") from error


def _library_errors() -> tuple[type[Exception], ...]:
    """The errors of the libraries in use; read once something was raised, when they have been imported."""
    names = (("gpiozero", "GPIOZeroError"), ("gpiozero", "GPIOZeroWarning"), ("lgpio", "error"))
    loaded = [(sys.modules.get(module), name) for module, name in names]
    return (OSError, ImportError, *(getattr(module, name) for module, name in loaded if module is not None))
