"""SLOTS/state.json: read strictly, as a power cut or a hand may have spoilt it, and written as a whole."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from pathlib import Path

from maskwatch.slots.states import State, faults_of
from maskwatch.strict_json import SchemaError, loads, read, shown

SCHEMA_VERSION = 1

MAX_STATE_BYTES = 64 * 1024
"""Some thirty times what it takes."""


class StateFileError(ValueError):
    """The file is there and is not a State; the message says why."""


def read_state(path: Path) -> State:
    """What the file says; where there is none, that both slots are empty.

    Raises StateFileError for a damaged one, and OSError where nobody can tell.
    """
    try:
        text = _read_bytes(path)
    except FileNotFoundError:
        return State()
    try:
        plain = loads(text)
        if not isinstance(plain, dict):
            raise SchemaError(f"{shown(plain)}, must be an object")
        schema = plain.get("schema_version")
        if type(schema) is int and schema != SCHEMA_VERSION:  # before all else: other schemas have other keys
            raise SchemaError(f"written in schema {schema}; this Maskwatch reads {SCHEMA_VERSION}")
        state = read(State, plain)
    except SchemaError as error:
        raise StateFileError(f"{path} is damaged: {error}") from error
    contradiction = faults_of(state)
    if contradiction is not None:
        raise StateFileError(f"{path} is damaged: {contradiction}")
    return state


def to_json(state: State) -> bytes:
    """A State as readable ASCII JSON."""
    return (json.dumps(dataclasses.asdict(state), indent=1) + "\n").encode("ascii")


def _read_bytes(path: Path) -> bytes:
    # O_NONBLOCK: a named pipe of that name would wait for a writer for ever
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StateFileError(f"{path} is no file")
        text = file.read(MAX_STATE_BYTES + 1)
    if len(text) > MAX_STATE_BYTES:
        raise StateFileError(f"{path} is damaged: more than {MAX_STATE_BYTES} bytes")
    return text
