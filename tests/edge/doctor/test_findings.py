from __future__ import annotations

import json

import pytest
from maskwatch.doctor.findings import Finding, Status, failed, ok, skipped, summary, warning

ALL = [
    ok("disk", "20 GiB free"),
    warning("model_age", "400 days", "train it anew"),
    failed("camera", "all black", "take the cap off"),
    skipped("power", "no firmware"),
]


def test_a_line_has_a_mark_a_word_what_was_measured_and_what_to_do() -> None:
    assert [finding.line() for finding in ALL] == [
        "+ ok       disk:           20 GiB free",
        "! warning  model age:      400 days. To do: train it anew",
        "x failed   camera:         all black. To do: take the cap off",
        "- skipped  power:          no firmware",
    ]


def test_json_says_the_same() -> None:
    assert [json.loads(finding.to_json()) for finding in ALL][1:3] == [
        {"check": "model_age", "status": "warning", "measured": "400 days", "advice": "train it anew"},
        {"check": "camera", "status": "failed", "measured": "all black", "advice": "take the cap off"},
    ]
    assert "\n" not in ok("disk", "two\nlines").to_json()


def test_the_summary_counts_every_kind() -> None:
    assert summary([*ALL, ALL[0]]) == "5 checks: 2 ok, 1 warning, 1 failed, 1 skipped"


@pytest.mark.parametrize("status", [Status.WARNING, Status.FAILED])
def test_a_fault_without_advice_is_refused(status: Status) -> None:
    with pytest.raises(ValueError, match="advice"):
        Finding("disk", status, "full")
