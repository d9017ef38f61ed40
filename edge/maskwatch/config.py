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
from dataclasses import dataclass, field, fields
from pathlib import Path

from maskwatch.errors import ConfigError
from maskwatch.setting import Table, choice, flag, number, rule_of, shown, text

_QUIET_HOURS = r"|([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d"


@dataclass(frozen=True)
class CameraSettings(Table):
    """Where pictures come from, and in which size."""

    source: str = text(
        "picamera",
        'The camera: "picamera" (the ribbon-cable camera), "v4l2:0" (a USB camera and its number), "demo" (built in), '
        "or the path of a picture, a folder or a video.",
        r"v4l2:[0-9]{1,2}|(?!v4l2:)\S(.*\S)?",
        'not empty, and a number after "v4l2:"',
    )
    width_px: int = number(1280, 64, 4608, "Width of the picture that faces are cut from.", 16)
    height_px: int = number(960, 64, 2592, "Height of the picture that faces are cut from.", 2)
    lores_width_px: int = number(
        512,
        128,
        1280,
        "Width of the small picture that faces are looked for in (Picamera2 only). A Pi 5 rounds other widths down.",
        128,
    )
    lores_height_px: int = number(384, 64, 960, "Height of that small picture; same shape as the large one.", 2)
    frames_per_second: float = number(10.0, 0.2, 60.0, "Pictures asked of the camera each second.")
    rotation_degrees: int = choice(0, "180 for a camera that hangs upside down.", 0, 180)
    timeout_seconds: float = number(5.0, 0.5, 60.0, "A camera that is silent for so long counts as lost.")

    def __post_init__(self) -> None:
        """Check each setting, then how the two sizes go together."""
        super().__post_init__()
        if self.source != "picamera":  # no other camera has a second stream
            return
        if self.lores_width_px > self.width_px or self.lores_height_px > self.height_px:
            raise ConfigError(
                f"lores_width_px × lores_height_px = {self.lores_width_px}×{self.lores_height_px} must not be larger "
                f"than width_px × height_px = {self.width_px}×{self.height_px}"
            )
        # Both streams of a Picamera2 share one crop: another shape would stretch what the finder sees.
        fitting_height_px = self.height_px * self.lores_width_px / self.width_px
        if abs(self.lores_height_px - fitting_height_px) > 2:
            raise ConfigError(
                f"lores_height_px = {self.lores_height_px} has not the shape of the large picture: "
                f"{self.width_px}×{self.height_px} with lores_width_px = {self.lores_width_px} "
                f"needs {round(fitting_height_px / 2) * 2}"
            )


@dataclass(frozen=True)
class ModelSettings(Table):
    """Which networks run, and on what."""

    bundle: str = text("", "Path of the model bundle; empty: the one that Maskwatch ships with.")
    threads: int = number(2, 1, 4, "Processor cores that the networks may use.")
    min_face_height_px: int = number(48, 0, 1000, "Smaller faces are far away, walking by: the door ignores them.")


@dataclass(frozen=True)
class TrackerSettings(Table):
    """How faces are followed from frame to frame, and when their votes make a label."""

    min_iou: float = number(0.2, 0.05, 0.9, "Overlap (intersection over union) that makes two faces one person.")
    reach_ratio: float = number(
        0.5, 0.0, 2.0, "Faces are grown on each side by this share of their size before overlap is measured."
    )
    max_missed_seconds: float = number(1.0, 0.0, 10.0, "A face lost from sight for longer is somebody new.")
    votes_needed: int = number(3, 1, 50, "Frames a person must be seen in before a label is given.")
    window_frames: int = number(9, 1, 100, "Latest frames of a person that vote.")
    majority_ratio: float = number(
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
class AlertSettings(Table):
    """When the lights change and the buzzer sounds."""

    hold_seconds: float = number(
        1.5, 0.0, 60.0, "A light stays on for so long after its reason has gone; a more urgent one shows at once."
    )
    alarm_seconds: float = number(5.0, 0.0, 60.0, "The buzzer's pattern sounds for at most so long; 0: never.")
    cool_down_seconds: float = number(10.0, 1.0, 3600.0, "After sounding, the buzzer rests for so long.")
    quiet_hours: str = text(
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
                f"quiet_hours = {shown(self.quiet_hours)} starts when it ends; for a buzzer that never sounds "
                "set alarm_seconds = 0"
            )


@dataclass(frozen=True)
class IndicatorSettings(Table):
    """How lights and buzzer are wired. Pins are BCM numbers: GPIO17 is 17, whatever its place on the header."""

    kind: str = choice("gpio", "Lights on pins, drawn on the terminal, or none.", "gpio", "console", "none")
    light: str = choice("two_leds", "A red and a green LED, or one RGB LED.", "two_leds", "rgb")
    red_pin: int = number(17, 2, 27, "GPIO of the red LED.")
    green_pin: int = number(27, 2, 27, "GPIO of the green LED.")
    blue_pin: int = number(22, 2, 27, "GPIO of an RGB LED's blue, which is kept dark.")
    active_high: bool = flag(True, "false where a light shines at 0 volts: common anode, or wired to 3.3 V.")
    buzzer: str = choice(
        "active", "An active buzzer sounds by itself; a passive one needs a tone.", "active", "passive", "none"
    )
    buzzer_pin: int = number(18, 2, 27, "GPIO of the buzzer.")
    buzzer_active_high: bool = flag(True, "false where the buzzer sounds at 0 volts, as on many modules.")
    buzzer_frequency_hz: int = number(2700, 100, 10000, "Tone of a passive buzzer.")

    def __post_init__(self) -> None:
        """Check each setting, and that no two parts in use share a pin."""
        super().__post_init__()
        taken: dict[int, str] = {}
        for name, pin in self.pins().items():
            if pin in taken:
                raise ConfigError(f"{taken[pin]} and {name} are both {pin}: each part needs a pin of its own")
            taken[pin] = name

    def pins(self) -> dict[str, int]:
        """The pin of each part in use, by its key."""
        pins = {"red_pin": self.red_pin, "green_pin": self.green_pin}
        if self.light == "rgb":
            pins["blue_pin"] = self.blue_pin
        if self.buzzer != "none":
            pins["buzzer_pin"] = self.buzzer_pin
        return pins


@dataclass(frozen=True)
class IdleSettings(Table):
    """When the networks rest, while every picture is still watched for motion. A live camera's only."""

    after_seconds: float = number(
        10.0,
        0.0,
        3600.0,
        "With nobody there and nothing moving for so long the networks rest; motion wakes them within two pictures, "
        "which is 200 ms at 10 pictures a second (camera.frames_per_second). 0: they never rest.",
    )
    look_every_seconds: float = number(
        1.0, 0.2, 10.0, "Resting networks still judge one picture each so many seconds, whatever moves."
    )


@dataclass(frozen=True)
class Settings:
    """All settings; `Settings()` holds the defaults."""

    camera: CameraSettings = field(default_factory=CameraSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    tracker: TrackerSettings = field(default_factory=TrackerSettings)
    alert: AlertSettings = field(default_factory=AlertSettings)
    indicator: IndicatorSettings = field(default_factory=IndicatorSettings)
    idle: IdleSettings = field(default_factory=IdleSettings)


_TABLES: dict[str, type[Table]] = {
    "camera": CameraSettings,
    "model": ModelSettings,
    "tracker": TrackerSettings,
    "alert": AlertSettings,
    "indicator": IndicatorSettings,
    "idle": IdleSettings,
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
    tables: dict[str, Table] = {}
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
            rule = rule_of(setting)
            bounds = f" Allowed: {rule.bounds()}." if rule.bounds() else ""
            lines += ["", *_comment(rule.doc + bounds), f"{setting.name} = {shown(setting.default)}"]
    return "\n".join(lines) + "\n"


def _table(name: str, content: object) -> Table:
    """Make one table of settings from what the file says about it."""
    if name not in _TABLES:
        if isinstance(content, dict):
            raise ConfigError(f"unknown table [{_named(name)}]{_meant(name, _TABLES)}")
        raise ConfigError(f"the key {_named(name)} stands outside any table{_home(name)}")
    if not isinstance(content, dict):
        raise ConfigError(f"{name} = {shown(content)} must be a table: write [{name}] on a line of its own")
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


def _meant(word: str, known: Iterable[str]) -> str:
    """A suggestion for a misspelt word, or nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _home(key: str) -> str:
    """A hint at the table that a misplaced key belongs to, or nothing."""
    homes = [name for name, table in _TABLES.items() if key in {setting.name for setting in fields(table)}]
    return f"; it belongs under [{homes[0]}]" if homes else ""


def _named(key: str) -> str:
    """A key for a message: bare where TOML would let it be, else quoted and escaped."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else repr(key)


def _comment(words: str) -> list[str]:
    return textwrap.wrap(words, 110, initial_indent="# ", subsequent_indent="# ", break_long_words=False)
