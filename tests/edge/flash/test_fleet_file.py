"""fleet.toml: what it says, and every fault of it named in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.errors import ConfigError, OperatorError
from maskwatch.flash.fleet import PARALLEL, Fleet, Target, load_fleet, parse_fleet

DOCUMENT = Path(__file__).parents[3] / "docs" / "flashing.md"

GOOD = """
parallel = 12
ssh_options = ["User=maskwatch-flash"]

[groups.lobby]
hosts = ["door-1", "pi@door-2"]
canaries = ["door-1"]
parallel = 2

[groups.stairs]
hosts = ["door-3"]
"""

ONE = '[groups.a]\nhosts = ["door-1"]\n'


def test_what_it_says() -> None:
    fleet = parse_fleet(GOOD)
    assert (fleet.parallel, fleet.ssh_options) == (12, ("User=maskwatch-flash",))
    assert [(group.name, group.parallel) for group in fleet.groups] == [("lobby", 2), ("stairs", None)]
    assert fleet.targets() == [
        Target("door-1", "lobby", canary=True),
        Target("pi@door-2", "lobby"),
        Target("door-3", "stairs"),
    ]
    assert fleet.targets(["stairs"]) == [Target("door-3", "stairs")]


def test_what_is_left_out_has_a_default() -> None:
    fleet = parse_fleet(ONE)
    assert (fleet.parallel, fleet.ssh_options) == (PARALLEL, ())
    assert fleet.targets() == [Target("door-1", "a")]


def test_the_documented_example_is_understood() -> None:
    example = DOCUMENT.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    fleet = parse_fleet(example)
    assert [target.host for target in fleet.targets() if target.canary] == ["door-1"]
    assert len(fleet.targets()) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"there are no groups: write \[groups.NAME\]"),
        ("groups = 3", "there are no groups"),
        ("[groups]", "there are no groups"),
        ("parallel = [", "is not TOML"),
        ("[" * 5000, "is not TOML"),
        (f"paralel = 3\n{ONE}", "unknown key paralel; did you mean parallel"),
        (f"parallel = 0\n{ONE}", "parallel = 0 must be a whole number from 1 to 64"),
        (f"parallel = true\n{ONE}", "parallel = True must be a whole number"),
        (f"parallel = 2.0\n{ONE}", r"parallel = 2.0 must be a whole number"),
        (f'ssh_options = "Port=22"\n{ONE}', "ssh_options = 'Port=22' must be a list of texts"),
        (f'ssh_options = ["-v"]\n{ONE}', "'-v' is no option of ssh: write it as Key=value"),
        (f'ssh_options = ["Port=2\\nProxyCommand=x"]\n{ONE}', "is no option of ssh"),
        ("[groups.a]\nhosts = []", "groups.a.hosts is missing or empty"),
        ("[groups.a]\nhots = ['b']", "unknown key groups.a.hots; did you mean hosts"),
        ("[groups.a]\nhosts = 'door-1'", "groups.a.hosts = 'door-1' must be a list of texts"),
        ("[groups.a]\nhosts = [1]", "must be a list of texts"),
        ("[groups.a]\nhosts = ['-oProxyCommand=x']", "groups.a.hosts: '-oProxyCommand=x' is no host"),
        ("[groups.a]\nhosts = ['a b']", "'a b' is no host"),
        ("[groups.a]\nhosts = ['']", "'' is no host"),
        ("[groups.a]\nhosts = ['b', 'b']", "groups.a.hosts: 'b' is there twice"),
        (f"{ONE}[groups.b]\nhosts = ['door-1']", r"groups.b.hosts: 'door-1' is there twice \(first in a\)"),
        (f"{ONE}canaries = ['door-2']", "groups.a.canaries: 'door-2' is not one of the group's hosts; did you mean"),
        (f"{ONE}parallel = 65", "groups.a.parallel = 65 must be"),
        ("[groups]\na = 3", r"groups.a = 3 must be a table: write \[groups.a\]"),
        ('[groups."a b"]\nhosts = ["b"]', "groups.'a b' must be a name"),
    ],
)
def test_a_fault_is_named(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        parse_fleet(text)
    assert "\n" not in str(error.value)


def test_the_file_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    with pytest.raises(ConfigError, match=r"fleet.toml: cannot be read: No such file"):
        load_fleet(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"fleet.toml: is not UTF-8 text"):
        load_fleet(path)
    path.write_text("x = 1")
    with pytest.raises(ConfigError, match=r"fleet.toml: unknown key x"):
        load_fleet(path)
    path.write_bytes(b"\xef\xbb\xbf" + ONE.encode())
    assert len(load_fleet(path).targets()) == 1


def test_a_group_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(OperatorError, match=r"no group 'loby'; did you mean lobby\?; there are lobby, stairs"):
        parse_fleet(GOOD).targets(["loby"])


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
keys = st.sampled_from(["parallel", "ssh_options", "groups", "hosts", "canaries", "x"]) | st.text(max_size=5)


@given(st.recursive(st.dictionaries(keys, values, max_size=4), lambda inner: st.dictionaries(keys, inner, max_size=4)))
def test_no_file_is_anything_but_a_fleet_or_a_fault(document: dict[str, object]) -> None:
    def toml(table: dict[str, object], path: tuple[str, ...] = ()) -> str:
        import json

        def word(value: object) -> str:
            if isinstance(value, list):
                return "[" + ", ".join(map(word, value)) + "]"
            return json.dumps("none" if value is None else value)

        head = "" if not path else "[" + ".".join(map(json.dumps, path)) + "]\n"
        plain = "".join(f"{json.dumps(key)} = {word(value)}\n" for key, value in table.items() if not _is_table(value))
        inner = "".join(toml(value, (*path, key)) for key, value in table.items() if isinstance(value, dict))
        return head + plain + inner

    fault = ""
    try:
        assert isinstance(parse_fleet(toml(document)), Fleet)
    except ConfigError as error:
        fault = str(error)
    assert "\n" not in fault


def _is_table(value: object) -> bool:
    return isinstance(value, dict)
