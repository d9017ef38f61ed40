"""JSON text to frozen dataclasses, strictly: every key must be known, there, of its type and within its bounds.

A key whose field has a default may be left out: so a schema grows without refusing what was written before.

Fields say their bounds in `typing.Annotated`, and `Mapping[str, object]` is free JSON; `manifest.py` shows how it
reads. Home-made because a schema library weighs more megabytes than all of the edge.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

MAX_FREE_DEPTH = 16
"""How deep free JSON may be nested; far below where a recursive reader or writer overflows its stack."""

MAX_INTEGER = 2**53
"""Integers up to here survive every JSON reader, JavaScript's included."""


class SchemaError(ValueError):
    """The text does not follow the schema; the message starts with the key's path."""


@dataclass(frozen=True, slots=True)
class Between:
    """Bounds of a number, or of the number of items of a list or object; `above` excludes the lower bound."""

    low: float
    high: float
    above: bool = False

    def check(self, value: object, where: str) -> None:
        """Raise SchemaError unless the value (a number, or a collection's size) lies within the bounds."""
        number = value if isinstance(value, int | float) else len(cast("list[object]", value))
        too_low = number <= self.low if self.above else number < self.low
        if too_low or number > self.high:
            what = "" if isinstance(value, int | float) else " items"
            raise SchemaError(
                f"{where}: {number}{what}, must be {'>' if self.above else '≥'} {self.low:g} and ≤ {self.high:g}"
            )


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text must match a regular expression as a whole; an object's keys must."""

    regex: str
    meaning: str

    def check(self, value: object, where: str) -> None:
        """Raise SchemaError unless the text, or every key of the object, matches."""
        for text in value if isinstance(value, dict) else [value]:
            if not isinstance(text, str) or re.fullmatch(self.regex, text) is None:
                raise SchemaError(f"{where}: {shown(text)} is not {self.meaning}")


def shown(value: object) -> str:
    """A value for an error message: ASCII, on one line, cut at 60 characters."""
    try:
        text = ascii(value)
    except RecursionError:  # nested just less deeply than what the reader refuses
        return "something nested too deeply"
    return text if len(text) <= 60 else text[:57] + "..."


def loads(text: bytes) -> Any:
    """JSON text to plain values. Raises SchemaError for anything but UTF-8 JSON with unique keys and finite numbers."""
    try:
        return json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=_no_constant,
            parse_float=_finite_float,
            parse_int=_bounded_int,
        )
    except SchemaError:
        raise
    except RecursionError:
        raise SchemaError("JSON is nested too deeply") from None
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise SchemaError(f"not JSON: {error}") from error


def read(kind: type[T], value: object, where: str = "") -> T:
    """Plain values to `kind`, a dataclass with annotated fields. Raises SchemaError that names the key."""
    return cast("T", _read(kind, value, where))


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise SchemaError(f"{shown(name)}: given twice")
            seen.add(name)
    return result


def _no_constant(word: str) -> NoReturn:
    raise SchemaError(f"{word} is not a JSON number")


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise SchemaError(f"number {shown(digits)} is too large")
    return number


def _bounded_int(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MAX_INTEGER:
        raise SchemaError(f"number {shown(digits)} is too large")
    return int(digits)


def _read(kind: Any, value: object, where: str) -> object:
    origin = get_origin(kind)
    if origin is Annotated:
        result = _read(kind.__origin__, value, where)
        for rule in kind.__metadata__:
            rule.check(value, where)
        return result
    if origin in (types.UnionType, Union):  # X | None is the only union a schema uses
        (inner,) = [choice for choice in get_args(kind) if choice is not type(None)]
        return None if value is None else _read(inner, value, where)
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in get_args(kind)):
            raise SchemaError(f"{where}: {shown(value)}, must be one of {', '.join(map(str, get_args(kind)))}")
        return value
    if origin is tuple:
        items = _typed(list, value, where)
        return tuple(_read(get_args(kind)[0], item, f"{where}[{index}]") for index, item in enumerate(items))
    if origin is Mapping:
        members = _typed(dict, value, where)
        if get_args(kind)[1] is object:
            _check_free(members, where, depth=0)
            return members
        return {key: _read(get_args(kind)[1], item, f"{where}.{shown(key)[1:-1]}") for key, item in members.items()}
    if is_dataclass(kind):
        return _read_dataclass(cast("type[Any]", kind), _typed(dict, value, where), where)
    if kind is float and type(value) is int:
        return float(value)
    return _typed(kind, value, where)


def _read_dataclass(kind: type[Any], value: dict[str, object], where: str) -> object:
    hints = get_type_hints(kind, include_extras=True)
    names = [item.name for item in fields(kind)]
    needed = [item.name for item in fields(kind) if item.default is MISSING]
    prefix = f"{where}." if where else ""
    for key in value:
        if key not in names:
            raise SchemaError(f"{prefix}{shown(key)[1:-1]}: unknown key")
    for name in needed:
        if name not in value:
            raise SchemaError(f"{prefix}{name}: missing")
    return kind(**{name: _read(hints[name], value[name], f"{prefix}{name}") for name in names if name in value})


def _typed(kind: type[T], value: object, where: str) -> T:
    if type(value) is not kind:  # not isinstance: True is no integer here
        names = {
            dict: "an object",
            list: "a list",
            str: "text",
            int: "a whole number",
            float: "a number",
            bool: "true or false",
        }
        raise SchemaError(f"{where}: {shown(value)}, must be {names[kind]}")
    return value


def _check_free(value: object, where: str, depth: int) -> None:
    """Free JSON: anything, but not too deep and with keys that can be shown on a terminal."""
    if depth > MAX_FREE_DEPTH:
        raise SchemaError(f"{where}: nested too deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            if not key.isprintable():
                raise SchemaError(f"{where}: key {shown(key)} has unprintable characters")
            _check_free(item, f"{where}.{key[:60]}", depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_free(item, f"{where}[{index}]", depth + 1)
