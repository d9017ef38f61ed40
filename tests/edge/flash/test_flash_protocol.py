"""The words between flash and a door: what is said is understood, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.errors import OperatorError
from maskwatch.flash.protocol import (
    ACTIONS,
    COMMAND,
    MARK,
    Request,
    answer_line,
    find_answer,
    parse_request,
    words_of_command,
)
from maskwatch.installer.places import COMMAND as INSTALLED
from maskwatch.installer.places import FLASH_HOME
from maskwatch.limits import MAX_BUNDLE_BYTES

SHA = "0123456789abcdef" * 4

sha256s = st.text("0123456789abcdef", min_size=64, max_size=64)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    action = draw(st.sampled_from(ACTIONS))
    sized = action in ("offset", "upload")
    size = draw(st.integers(1, MAX_BUNDLE_BYTES)) if sized else 0
    return Request(
        action,
        draw(sha256s) if action != "state" else "",
        size,
        draw(st.integers(0, size)) if action == "upload" else 0,
        draw(st.booleans()) if action == "install" else False,
    )


@given(requests())
def test_every_request_is_understood_as_it_was_said(request: Request) -> None:
    assert parse_request(request.words()) == request
    assert parse_request(words_of_command(" ".join([*COMMAND, *request.words()]))) == request


@given(st.text(max_size=250))
def test_any_other_command_is_refused_in_one_line(command: str) -> None:
    fault = ""
    try:
        request = parse_request(words_of_command(command))
        assert command == " ".join([*COMMAND, *request.words()])
    except OperatorError as error:
        fault = str(error)
    assert "\n" not in fault
    assert len(fault) < 300


@given(requests(), st.data())
def test_one_letter_more_or_less_is_no_request_or_another_one(request: Request, data: st.DataObject) -> None:
    line = " ".join(request.words())
    place = data.draw(st.integers(0, len(line)))
    letter = data.draw(st.sampled_from([*"; $`|&<>'\"\n\t\0-./~09afx", "é", ""]))
    changed = line[:place] + letter + line[place + (not letter) :]
    try:
        other = parse_request(changed.split(" "))
    except OperatorError:
        return
    assert " ".join(other.words()) == changed


@pytest.mark.parametrize(
    "line",
    [
        "",
        "State",
        "state ",
        " state",
        "state state",
        "install",
        "activate",
        f"confirm {SHA}",
        f"install {SHA[:-1]}",
        f"install {SHA.upper()}",
        f"install {SHA} Force",
        f"install ../{SHA[3:]}",
        f"offset {SHA} 01",
        f"offset {SHA} -1",
        f"offset {SHA} ١",
        f"upload {SHA} 5",
        f"upload {SHA} 5 5 5",
    ],
)
def test_what_only_looks_like_one_is_refused(line: str) -> None:
    with pytest.raises(OperatorError, match="is not allowed"):
        parse_request(line.split(" "))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"offset {SHA} 0", "a bundle has 1 to"),
        (f"upload {SHA} {MAX_BUNDLE_BYTES + 1} 0", "a bundle has 1 to"),
        (f"upload {SHA} 5 6", "lies behind the end"),
    ],
)
def test_sizes_have_bounds(line: str, words: str) -> None:
    with pytest.raises(OperatorError, match=words):
        parse_request(line.split(" "))


def test_the_documentation_has_each_request_and_the_keys_line() -> None:
    page = (Path(__file__).parents[3] / "docs" / "flashing.md").read_text(encoding="utf-8")
    login = page.partition("## A login that can flash and do nothing else")[2]
    told = re.findall(
        r"`([a-z]+)[^`]*`", "".join(line.split(" | ")[0] for line in login.splitlines() if line[:3] == "| `")
    )
    assert sorted(told) == sorted(ACTIONS)
    assert f'restrict,command="{INSTALLED} receive" ssh-' in login
    assert f"{FLASH_HOME}/.ssh/authorized_keys" in login


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()))
def test_an_answer_is_found_behind_a_logins_greeting(answer: dict[str, object]) -> None:
    line = answer_line(answer)
    assert line.isascii()
    assert "\n" not in line
    assert find_answer(f"Welcome\n{MARK}\n{MARK} not json\n{line}\n".encode()) == answer


def test_what_json_has_no_word_for_is_no_answer() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        answer_line({"fps": float("nan")})


@given(st.binary(max_size=200))
def test_what_is_no_answer_is_none(output: bytes) -> None:
    assert find_answer(output) is None
    assert find_answer(f"{MARK} ".encode() + output.replace(b"{", b"[")) is None
