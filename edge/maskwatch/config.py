"""TOML to frozen settings; an unknown key or a bad value is fatal and named.

Every setting carries its documentation and its bounds; the validator and the commented example file both come from
them. A settings object checks itself when made, so that one that exists is valid.
"""

from __future__ import annotations

import difflib
import re
import textwrap
import tomllib
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TypeVar

from maskwatch.errors import ConfigError

Value = TypeVar("Value", str, bool, int, float)
Choice = TypeVar("Choice", str, int)
Number = TypeVar("Number", int, float)

_RULE = "maskwatch.rule"
_QUIET_HOURS = r"|([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d"
_TYPE_WORDS = {str: "text in quotes", bool: "true or false", int: "a whole number", float: "a number"}


@dataclass(frozen=True, slots=True)
class Rule:
    """What a setting means and which values it takes; limits are inclusive."""

    doc: str
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: int = 1
    choices: tuple[str | int, ...] = ()
    pattern: str = ""
    form: str = ""  # in words, what `pattern` demands

    def bounds(self) -> str:
        """The allowed values in words; empty where any value of the type will do."""
        if self.choices:
            return "one of " + ", ".join(_shown(choice) for choice in self.choices)
        if self.minimum is not None:
            multiple = f", a multiple of {self.multiple_of}" if self.multiple_of > 1 else ""
            return f"{self.minimum} to {self.maximum}{multiple}"
        return self.form

    def allows(self, value: str | bool | int | float) -> bool:
        """Whether a value of the right type lies within the bounds; a NaN never does."""
        if self.choices:
            return value in self.choices
        if isinstance(value, str):
            return not self.pattern or re.fullmatch(self.pattern, value) is not None
        if self.minimum is None or self.maximum is None:
            return True
        return self.minimum <= value <= self.maximum and (self.multiple_of == 1 or value % self.multiple_of == 0)


def _text(default: str, doc: str, pattern: str = "", form: str = "") -> str:
    return _setting(default, Rule(doc, pattern=pattern, form=form))


def _choice(default: Choice, doc: str, *choices: Choice) -> Choice:
    return _setting(default, Rule(doc, choices=choices))


def _number(default: Number, minimum: Number, maximum: Number, doc: str, multiple_of: int = 1) -> Number:
    return _setting(default, Rule(doc, minimum, maximum, multiple_of))


def _flag(default: bool, doc: str) -> bool:
    return _setting(default, Rule(doc))


def _setting(default: Value, rule: Rule) -> Value:
    setting: Value = field(default=default, metadata={_RULE: rule})
    return setting


@dataclass(frozen=True)
class _Table:
    """One table of the file: checks type and bounds of every setting when made; raises ConfigError."""

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            _check(setting, value)
            if type(setting.default) is float:
                object.__setattr__(self, setting.name, float(value))


@dataclass(frozen=True)
class CameraSettings(_Table):
    """Where pictures come from, and in which size."""

    source: str = _text(
        "picamera",
        'The camera: "picamera" (the ribbon-cable camera), "v4l2:0" (a USB camera and its number), "demo" (built in), '
        "or the path of a picture, a folder or a video.",
        r"v4l2:\d{1,2}|(?!v4l2:)\S(.*\S)?",
        'not empty, and a number after "v4l2:"',
    )
    width_px: int = _number(1280, 64, 4608, "Width of the picture that faces are cut from.", 16)
    height_px: int = _number(960, 64, 2592, "Height of the picture that faces are cut from.", 2)
    lores_width_px: int = _number(
        384,
        128,
        1280,
        "Width of the small picture that faces are looked for in (Picamera2 only). A Pi 5 rounds other widths down.",
        128,
    )
    lores_height_px: int = _number(288, 64, 960, "Height of that small picture; same shape as the large one.", 2)
    frames_per_second: float = _number(10.0, 0.2, 60.0, "Pictures asked of the camera each second.")
    rotation_degrees: int = _choice(0, "180 for a camera that hangs upside down.", 0, 180)
    timeout_seconds: float = _number(5.0, 0.5, 60.0, "A camera that is silent for so long counts as lost.")

    def __post_init__(self) -> None:
        """Check each setting, then how the two sizes go together."""
        super().__post_init__()
        if self.lores_width_px > self.width_px or self.lores_height_px > self.height_px:
            raise ConfigError(
                f"lores_width_px × lores_height_px = {self.lores_width_px}×{self.lores_height_px} must not be larger "
                f"than width_px × height_px = {self.width_px}×{self.height_px}"
            )
        # Both streams of a Picamera2 share one crop: another shape would stretch what the finder sees.
        fitting_height_px = self.height_px * self.lores_width_px / self.width_px
        if self.source == "picamera" and abs(self.lores_height_px - fitting_height_px) > 2:
            raise ConfigError(
                f"lores_height_px = {self.lores_height_px} has not the shape of the large picture: "
                f"{self.width_px}×{self.height_px} with lores_width_px = {self.lores_width_px} "
                f"needs {round(fitting_height_px / 2) * 2}"
            )


@dataclass(frozen=True)
class ModelSettings(_Table):
    """Which networks run, and on what."""

    bundle: str = _text("", "Path of the model bundle; empty: the one that Maskwatch ships with.")
    threads: int = _number(2, 1, 4, "Processor cores that the networks may use.")
    min_face_height_px: int = _number(48, 0, 1000, "Smaller faces are far away, walking by: the door ignores them.")


@dataclass(frozen=True)
class TrackerSettings(_Table):
    """How faces are followed from frame to frame, and when their votes make a label."""

    min_iou: float = _number(0.2, 0.05, 0.9, "Overlap (intersection over union) that makes two faces one person.")
    reach_ratio: float = _number(
        0.5, 0.0, 2.0, "Faces are grown on each side by this share of their size before overlap is measured."
    )
    max_missed_seconds: float = _number(1.0, 0.0, 10.0, "A face lost from sight for longer is somebody new.")
    votes_needed: int = _number(3, 1, 50, "Frames a person must be seen in before a label is given.")
    window_frames: int = _number(9, 1, 100, "Latest frames of a person that vote.")
    majority_ratio: float = _number(
        0.7, 0.5, 1.0, "Share of the votes, weighted by certainty, that gives a label or changes it."
    )

    def __post_init__(self) -> None:
        """Check each setting, and that the window holds enough votes."""
        super().__post_init__()
        if self.votes_needed > self.window_frames:
            raise ConfigError(
                f"votes_needed = {self.votes_needed} must not be more than window_frames = {self.window_frames}"
            )


@dataclass(frozen=True)
class AlertSettings(_Table):
    """When the lights change and the buzzer sounds."""

    hold_seconds: float = _number(
        1.5, 0.0, 60.0, "A light stays on for so long after its reason has gone; a more urgent one shows at once."
    )
    alarm_seconds: float = _number(5.0, 0.0, 60.0, "The buzzer's pattern sounds for at most so long; 0: never.")
    cool_down_seconds: float = _number(10.0, 1.0, 3600.0, "After sounding, the buzzer rests for so long.")
    quiet_hours: str = _text(
        "",
        'Local time in which the buzzer is silent while the lights go on, such as "22:00-07:00"; empty: none.',
        _QUIET_HOURS,
        'HH:MM-HH:MM, such as "22:00-07:00", or empty',
    )

    def __post_init__(self) -> None:
        """Check each setting, and that quiet hours have a length."""
        super().__post_init__()
        start, _, end = self.quiet_hours.partition("-")
        if start and start == end:
            raise ConfigError(
                f"quiet_hours = {_shown(self.quiet_hours)} starts when it ends; for a buzzer that never sounds "
                "set alarm_seconds = 0"
            )


@dataclass(frozen=True)
class IndicatorSettings(_Table):
    """How lights and buzzer are wired. Pins are BCM numbers: GPIO17 is 17, whatever its place on the header."""

    kind: str = _choice("gpio", "Lights on pins, drawn on the terminal, or none.", "gpio", "console", "none")
    light: str = _choice("two_leds", "A red and a green LED, or one RGB LED.", "two_leds", "rgb")
    red_pin: int = _number(17, 2, 27, "GPIO of the red LED.")
    green_pin: int = _number(27, 2, 27, "GPIO of the green LED.")
    blue_pin: int = _number(22, 2, 27, "GPIO of an RGB LED's blue, which is kept dark.")
    active_high: bool = _flag(True, "false where a light shines at 0 volts: common anode, or wired to 3.3 V.")
    buzzer: str = _choice(
        "active", "An active buzzer sounds by itself; a passive one needs a tone.", "active", "passive", "none"
    )
    buzzer_pin: int = _number(18, 2, 27, "GPIO of the buzzer.")
    buzzer_active_high: bool = _flag(True, "false where the buzzer sounds at 0 volts, as on many modules.")
    buzzer_frequency_hz: int = _number(2700, 100, 10000, "Tone of a passive buzzer.")

    def __post_init__(self) -> None:
        """Check each setting, and that no two parts in use share a pin."""
        super().__post_init__()
        pins = {"red_pin": self.red_pin, "green_pin": self.green_pin}
        if self.light == "rgb":
            pins["blue_pin"] = self.blue_pin
        if self.buzzer != "none":
            pins["buzzer_pin"] = self.buzzer_pin
        taken: dict[int, str] = {}
        for name, pin in pins.items():
            if pin in taken:
                raise ConfigError(f"{taken[pin]} and {name} are both {pin}: each part needs a pin of its own")
            taken[pin] = name


@dataclass(frozen=True)
class Settings:
    """All settings; `Settings()` holds the defaults."""

    camera: CameraSettings = field(default_factory=CameraSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    tracker: TrackerSettings = field(default_factory=TrackerSettings)
    alert: AlertSettings = field(default_factory=AlertSettings)
    indicator: IndicatorSettings = field(default_factory=IndicatorSettings)


_TABLES: dict[str, type[_Table]] = {
    "camera": CameraSettings,
    "model": ModelSettings,
    "tracker": TrackerSettings,
    "alert": AlertSettings,
    "indicator": IndicatorSettings,
}


def load_settings(path: Path) -> Settings:
    """Read a TOML file; what it leaves out keeps its default.

    Raises ConfigError, in one line that names the file, the key, the value and the bounds.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # -sig: some editors put a mark first
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:  # ValueError: bad TOML, or a number of thousands of digits
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    tables: dict[str, _Table] = {}
    for name, content in document.items():
        try:
            tables[name] = _table(name, content)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
    return Settings(**tables)  # type: ignore[arg-type]  # _TABLES pairs each name with its class


def example_toml() -> str:
    """The commented example: every key with its documentation, bounds and default. It parses to `Settings()`."""
    lines = [
        "# Maskwatch: every setting with its default. Copy to /etc/maskwatch/config.toml; what you leave out keeps",
        "# its default, so that your file needs only the lines that differ.",
    ]
    for name, table in _TABLES.items():
        lines += ["", *_comment((table.__doc__ or "").strip()), f"[{name}]"]
        for setting in fields(table):
            rule = _rule(setting)
            bounds = f" Allowed: {rule.bounds()}." if rule.bounds() else ""
            lines += ["", *_comment(rule.doc + bounds), f"{setting.name} = {_shown(setting.default)}"]
    return "\n".join(lines) + "\n"


def _table(name: str, content: object) -> _Table:
    """Make one table of settings from what the file says about it."""
    if name not in _TABLES:
        if isinstance(content, dict):
            raise ConfigError(f"unknown table [{_named(name)}]{_meant(name, _TABLES)}")
        raise ConfigError(f"the key {_named(name)} stands outside any table{_home(name)}")
    if not isinstance(content, dict):
        raise ConfigError(f"{name} = {_shown(content)} must be a table: write [{name}] on a line of its own")
    table = _TABLES[name]
    known = [setting.name for setting in fields(table)]
    for key in content:
        if key not in known:
            hint = _meant(key, known) or _home(key)
            raise ConfigError(f"unknown key {name}.{_named(key)}{hint}")
    try:
        return table(**content)
    except ConfigError as error:
        raise ConfigError(f"{name}.{error}") from error


def _check(setting: Field[object], value: object) -> None:
    """Raise ConfigError unless a value has its setting's type and lies within its bounds. A bool is no number."""
    rule, kind = _rule(setting), type(setting.default)
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ConfigError(f"{setting.name} = {_shown(value)} must be {_TYPE_WORDS[kind]}{_bracketed(rule.bounds())}")
    assert isinstance(value, str | bool | int | float)
    if not rule.allows(value):
        raise ConfigError(f"{setting.name} = {_shown(value)} is out of bounds: {rule.bounds()}")


def _rule(setting: Field[object]) -> Rule:
    rule = setting.metadata[_RULE]
    assert isinstance(rule, Rule)
    return rule


def _meant(word: str, known: Iterable[str]) -> str:
    """A suggestion for a misspelt word, or nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _home(key: str) -> str:
    """A hint at the table that a misplaced key belongs to, or nothing."""
    homes = [name for name, table in _TABLES.items() if key in {setting.name for setting in fields(table)}]
    return f"; it belongs under [{homes[0]}]" if homes else ""


def _bracketed(text: str) -> str:
    return f" ({text})" if text else ""


def _named(key: str) -> str:
    """A key for a message: bare where TOML would let it be, else quoted and escaped."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else repr(key)


def _shown(value: object) -> str:
    """A value as TOML writes it, on one line, cut short where it is long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a huge number"  # Python refuses to print integers of thousands of digits
    if isinstance(value, str):
        return f'"{value}"' if value.isprintable() and len(value) <= 100 else f"{value[:100]!r}…"
    if isinstance(value, dict | list):
        return f"a {'table' if isinstance(value, dict) else 'list'}"
    return str(value)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 110, initial_indent="# ", subsequent_indent="# ", break_long_words=False)
