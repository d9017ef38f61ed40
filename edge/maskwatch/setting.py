"""One setting of the configuration: its documentation, its bounds, and the check of a value against them."""

from __future__ import annotations

import re
from dataclasses import Field, dataclass, field, fields
from typing import TypeVar

from maskwatch.errors import ConfigError

Value = TypeVar("Value", str, bool, int, float)
Choice = TypeVar("Choice", str, int)
Number = TypeVar("Number", int, float)

_RULE = "maskwatch.rule"
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
            return "one of " + ", ".join(shown(choice) for choice in self.choices)
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


def text(default: str, doc: str, pattern: str = "", form: str = "") -> str:
    """A setting of text; `form` says in words what the regular expression `pattern` demands of all of it."""
    return _setting(default, Rule(doc, pattern=pattern, form=form))


def choice(default: Choice, doc: str, *choices: Choice) -> Choice:
    """A setting that takes one of a few values."""
    return _setting(default, Rule(doc, choices=choices))


def number(default: Number, minimum: Number, maximum: Number, doc: str, multiple_of: int = 1) -> Number:
    """A setting between two limits, both allowed; whole where its default is an int."""
    return _setting(default, Rule(doc, minimum, maximum, multiple_of))


def flag(default: bool, doc: str) -> bool:
    """A setting that is true or false."""
    return _setting(default, Rule(doc))


def _setting(default: Value, rule: Rule) -> Value:
    setting: Value = field(default=default, metadata={_RULE: rule})
    return setting


@dataclass(frozen=True)
class Table:
    """One table of the file: checks type and bounds of every setting when made; raises ConfigError."""

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            _check(setting, value)
            if type(setting.default) is float:
                object.__setattr__(self, setting.name, float(value))


def rule_of(setting: Field[object]) -> Rule:
    """The rule of a field of a table."""
    rule = setting.metadata[_RULE]
    assert isinstance(rule, Rule)
    return rule


def shown(value: object) -> str:
    """A value as TOML writes it, on one line, cut short where it is long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a huge number"  # Python refuses to print integers of thousands of digits
    if isinstance(value, str):
        start = value[:100]
        return (f'"{start}"' if value.isprintable() else repr(start)) + ("…" if len(value) > 100 else "")
    if isinstance(value, dict | list):
        return f"a {'table' if isinstance(value, dict) else 'list'}"
    return str(value)


def _check(setting: Field[object], value: object) -> None:
    """Raise ConfigError unless a value has its setting's type and lies within its bounds. A bool is no number."""
    rule, kind = rule_of(setting), type(setting.default)
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ConfigError(f"{setting.name} = {shown(value)} must be {_TYPE_WORDS[kind]}{_bracketed(rule.bounds())}")
    assert isinstance(value, str | bool | int | float)
    if not rule.allows(value):
        raise ConfigError(f"{setting.name} = {shown(value)} is out of bounds: {rule.bounds()}")


def _bracketed(words: str) -> str:
    return f" ({words})" if words else ""
