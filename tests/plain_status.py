"""The status of a door where nothing goes on, for tests to change a field of."""

from __future__ import annotations

from maskwatch.status import Status

PLAIN = Status(
    state="nobody",
    state_seconds=1.0,
    alarm=False,
    dark=False,
    resting=False,
    people_count=0,
    unmasked_count=0,
    people=(),
    frames=7,
    passed_frames=0,
    dropped_frames=0,
    fps=9.5,
    latency_seconds=0.1,
    camera_source="demo",
    camera_lost_seconds=None,
    camera_lost_reason=None,
    model="one 1.0.0",
    model_sha256="1" * 64,
    slot=None,
    trial=None,
    reloads=0,
    since="2026-01-02T03:04:05+01:00",
    uptime_seconds=2.0,
    version="0.1.0",
    pid=1,
)
