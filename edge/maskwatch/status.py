"""What a running Maskwatch says of itself to whoever asks: one frozen record, and its JSON form."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from maskwatch.slots.states import SlotName
from maskwatch.strict_json import MAX_INTEGER, Between, SchemaError, loads, read

Share = Annotated[float, Between(0, 1)]
Count = Annotated[int, Between(0, MAX_INTEGER)]
Seconds = Annotated[float, Between(0, MAX_INTEGER)]

State = Literal["starting", "nobody", "unsure", "all_masked", "unmasked", "no_camera"]
"""The values of `types.Situation`, and "starting" before the first of them. Spelled out: who asks needs no numpy."""

Trial = Literal["trying", "confirmed"]
"""How it stands with the trial of a slot's model."""

DARK = "the picture is black: uncover the lens, or give the door some light"
"""What to tell people of a picture that has been black for long."""


@dataclass(frozen=True, slots=True)
class PersonStatus:
    """One person before the door. `label` is None until enough frames have voted; `mask` is P(mask worn properly)."""

    label: Literal["with_mask", "without_mask"] | None
    mask: Share


@dataclass(frozen=True, slots=True)
class Status:
    """How a door fares; no pictures, no places, nothing that tells one person from another.

    `state_seconds` is how long the state has lasted, `alarm` whether the buzzer's pattern may sound, `dark` whether
    pictures have been black for long, `resting` whether only a few frames are judged because nothing goes on.
    `frames` have been judged, `passed_frames` watched for motion alone, and `dropped_frames` gave way to newer ones.
    `fps` counts the first two kinds, over the last seconds; it is 0 while the camera is lost. `latency_seconds` is from
    the last judged frame's capture to its verdict on the lights; None before the first, and where frames run ahead on a
    time of their own, as files do.
    `camera_lost_…` are None while the camera works. `model` is the bundle's name and version, `model_sha256` its file's
    digest; `slot` and `trial` are None where it is in no slot, but built in or named in the settings. `reloads` counts
    those that took over new settings. `since` is the start in local time, ISO 8601.
    """

    state: State
    state_seconds: Seconds
    alarm: bool
    dark: bool
    resting: bool
    people_count: Count
    unmasked_count: Count
    people: tuple[PersonStatus, ...]
    frames: Count
    passed_frames: Count
    dropped_frames: Count
    fps: Seconds
    latency_seconds: Seconds | None
    camera_source: str | None
    camera_lost_seconds: Seconds | None
    camera_lost_reason: str | None
    model: str | None
    model_sha256: str | None
    slot: SlotName | None
    trial: Trial | None
    reloads: Count
    since: str
    uptime_seconds: Seconds
    version: str
    pid: Count

    @property
    def news(self) -> tuple[object, ...]:
        """What a change of is worth a line: all but figures that run on by themselves."""
        labels = sorted(str(person.label) for person in self.people)
        shown = (self.state, self.alarm, self.dark, self.resting, self.unmasked_count, *labels)
        model = (self.model, self.model_sha256, self.slot, self.trial)
        return (*shown, self.camera_source, self.camera_lost_reason, *model, self.reloads, self.pid)

    def to_json(self) -> str:
        """The record as one JSON object on one line of ASCII."""
        return json.dumps(asdict(self), allow_nan=False)


def read_status(line: bytes) -> Status:
    """The record that a line of JSON holds. Raises SchemaError for anything else."""
    value = loads(line)
    if not isinstance(value, dict):
        raise SchemaError("not an object")
    return read(Status, value)
