"""What `make bench-pi` reads and prints; the counting itself needs QEMU, and is not run here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import bench_pi
import pi_mirror
import pi_root
import pytest
from bench_pi import AGAINST, CORES, Count, parse_counts, record, table
from hypothesis import given
from hypothesis import strategies as st
from maskwatch.bundle import open_bundle
from maskwatch.errors import ExitCode, MaskwatchError, OperatorError, TryAgainError
from tiny_models import tiny_bundle, tiny_manifest, tiny_model

REQUIREMENT = "ai-edge-litert==2.3.0 \\\n    --hash=sha256:08 \\\n    --hash=sha256:1f\n"
LOCK = f"absl-py==1.0\n{REQUIREMENT}    # via\n    #   maskwatch\nnumpy==2.4.6 \\\n    --hash=sha256:a\n"


def marks(*values: int) -> str:
    return "".join(f"instructions {value}\n" for value in values)


# Counts


def test_a_pass_is_what_lies_between_two_marks_among_other_lines() -> None:
    said = "INFO: Created delegate.\n" + marks(100_000, 300_000, 500_010) + "noise\n" + marks(900_000, 910_000, 920_000)
    assert parse_counts(said, ["finder", "classifier"], 2) == ({"finder": 200_000, "classifier": 10_000}, 10)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 10**9)), min_size=1, max_size=4), st.integers(1, 3))
def test_every_networks_own_count_comes_back(networks: list[tuple[int, int]], passes: int) -> None:
    values, now = [], 0
    for idle, length in networks:
        now += idle
        values.append(now)
        for _ in range(passes):
            now += length
            values.append(now)
    names = [str(number) for number in range(len(networks))]
    counts, spread = parse_counts(marks(*values), names, passes)
    assert (counts, spread) == (dict(zip(names, (length for _, length in networks), strict=True)), 0)


@pytest.mark.parametrize("said", ["", marks(1, 2), marks(1, 2, 3, 4), "instructions many\n" + marks(1, 2)])
def test_marks_that_are_missing_or_too_many_are_refused(said: str) -> None:
    with pytest.raises(MaskwatchError, match="must be 3"):
        parse_counts(said, ["classifier"], 2)


def test_passes_that_are_not_alike_are_refused() -> None:
    assert parse_counts(marks(0, 1_000_000, 2_001_000), ["classifier"], 2) == ({"classifier": 1_000_000}, 1_000)
    with pytest.raises(MaskwatchError, match="classifier differ by 1001 instructions"):
        parse_counts(marks(0, 1_000_000, 2_001_001), ["classifier"], 2)


# What is printed

ALONE = {"finder": 37_314_081, "classifier": 2_377_146}


def counts(instructions: dict[str, int]) -> list[Count]:
    return [Count(core, instructions, spread, 6, 6) for core, spread in zip(CORES, (3, 62, 9), strict=True)]


def test_the_table_is_aligned_and_sums_and_compares() -> None:
    lines = list(table(counts(ALONE | {AGAINST: 293_833_382}), "masknet", "ssd.tflite"))
    assert lines[0] == "masknet"
    assert lines[1].split() == ["millions", "of", "instructions", "cortex-a53", "cortex-a72", "cortex-a76"]
    assert [(re.split(r"  +", line)[0], line.split()[-1]) for line in lines[3:-1]] == [
        ("finder", "37.31"),
        ("classifier", "2.38"),
        ("finder + classifier", "39.69"),
        ("ssd.tflite", "293.83"),
        ("ratio", "0.135"),
        ("golden vectors", "6"),
    ]
    assert len({len(line) for line in lines[1:-1]}) == 1
    assert lines[-1] == "two passes differ by at most 62 instructions"


def test_without_another_network_there_is_no_ratio() -> None:
    lines = list(table(counts(ALONE), "masknet", ""))
    assert [line.split()[0] for line in lines[3:]] == ["finder", "classifier", "finder", "golden", "two"]


def test_one_network_needs_no_sum() -> None:
    lines = list(table(counts({"classifier": 10**6}), "cnn", ""))
    assert [line.split()[0] for line in lines[3:]] == ["classifier", "golden", "two"]


def test_json_holds_whole_counts() -> None:
    answer = json.loads(
        json.dumps(record(counts(ALONE | {AGAINST: 400}), "masknet 1.0.0", "litert 2.3.0", "ssd.tflite"))
    )
    assert list(answer["cores"]) == ["cortex-a53", "cortex-a72", "cortex-a76"]
    core = answer["cores"]["cortex-a72"]
    assert core["instructions"] == ALONE | {AGAINST: 400}
    assert (core["bundle_instructions"], core["ratio"]) == (39_691_227, 39_691_227 / 400)
    assert record(counts(ALONE), "masknet", "litert", None)["cores"]["cortex-a53"]["ratio"] is None


def test_each_cores_cpuinfo_names_its_part_on_four_processors() -> None:
    assert [core.part for core in CORES] == ["0xd03", "0xd08", "0xd0b"]
    for core in CORES:
        blocks = core.cpuinfo().split("\n\n")
        assert [block.splitlines()[0] for block in blocks[:4]] == [f"processor\t: {number}" for number in range(4)]
        assert blocks[4:] == [""]
        assert core.cpuinfo().count(f"CPU part\t: {core.part}\n") == 4
    assert ["asimddp" in core.cpuinfo() for core in CORES] == [False, False, True]


# The command line


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKWATCH_PI_ROOT", str(tmp_path / "pi-root"))


def test_a_file_that_is_no_network_is_one_line_and_code_3(
    tiny_bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, reason in ((tmp_path / "no.tflite", "cannot be read: No such file"), (tiny_bundle_path, "not a TFLite")):
        assert bench_pi.main(["--bundle", str(tiny_bundle_path), "--against", str(path)]) == ExitCode.OPERATOR
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith(f"maskwatch: {path}: {reason}")


def test_what_is_missing_is_named_in_one_line_with_code_3(
    tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pi_root, "ENVIRONMENT", {"PATH": "/nowhere"})
    assert bench_pi.main(["--bundle", str(tiny_bundle_path)]) == ExitCode.OPERATOR
    err = capsys.readouterr().err
    assert err.startswith("maskwatch: bench-pi needs Debian packages: sudo apt-get install apt dpkg tar gcc ")
    assert err.count("\n") == 1


def test_who_may_not_change_the_root_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\nexit 1\n", encoding="ascii")
    refusing.chmod(0o755)
    monkeypatch.setattr(pi_root, "ENVIRONMENT", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(OperatorError, match="sudo make bench-pi"):
        pi_root.chroot_command()


def test_vectors_that_do_not_hold_are_a_finding(
    tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held = [6]
    monkeypatch.setattr(
        bench_pi, "count_all", lambda bundle, against: ([Count(CORES[0], ALONE, 0, 6, held[0])], "litert 2.3.0")
    )
    assert bench_pi.main(["--bundle", str(tiny_bundle_path), "--json"]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["bundle"] == "tiny 1.2.3"
    held[0] = 5
    assert bench_pi.main(["--bundle", str(tiny_bundle_path)]) == ExitCode.FINDING
    out, err = capsys.readouterr()
    assert "5 of 6" in out
    assert "golden vectors do not hold" in err


def test_the_networks_are_counted_in_the_order_of_the_pipeline(tmp_path: Path, tiny_bundle_path: Path) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(tiny_model("classifier_float32"))
    networks = bench_pi.networks_of(open_bundle(tiny_bundle_path), other)
    assert networks == {
        "finder": tiny_model("finder"), "classifier": tiny_model("classifier_int8"), AGAINST: other.read_bytes(),
    }  # fmt: skip
    assert list(networks) == ["finder", "classifier", AGAINST]


# The mirror

DEB822 = """\
Types: deb
# a snapshot
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components:
 main
 contrib
"""


@pytest.mark.parametrize(
    ("files", "mirror"),
    [
        ({}, pi_mirror.FALLBACK_MIRROR),
        ({"sources.list": "deb http://one.example/debian/ trixie main contrib\n"}, "http://one.example/debian"),
        ({"sources.list": "deb [arch=amd64 signed-by=/k.gpg] https://one.example/d sid main"}, "https://one.example/d"),
        ({"sources.list": "# deb http://no.example/debian bookworm main\n"}, pi_mirror.FALLBACK_MIRROR),
        ({"sources.list": "deb-src http://no.example/debian bookworm main\n"}, pi_mirror.FALLBACK_MIRROR),
        ({"sources.list": "deb http://no.example/debian bookworm-security main\n"}, pi_mirror.FALLBACK_MIRROR),
        ({"sources.list": "deb http://no.example/debian bookworm stable\n"}, pi_mirror.FALLBACK_MIRROR),
        ({"sources.list": "deb cdrom:[Debian 12]/ bookworm main\n"}, pi_mirror.FALLBACK_MIRROR),
        ({"sources.list.d/debian.sources": DEB822}, "http://mirror.example/debian"),
        ({"sources.list.d/debian.sources": f"Enabled: no\n{DEB822}"}, pi_mirror.FALLBACK_MIRROR),
        ({"sources.list.d/debian.sources": DEB822.replace("deb", "deb-src", 1)}, pi_mirror.FALLBACK_MIRROR),
        ({"sources.list.d/old.list.save": "deb http://no.example/debian bookworm main\n"}, pi_mirror.FALLBACK_MIRROR),
        (
            {
                "sources.list.d/a.sources": "Types: deb\nURIs: https://no.example\nSuites: nodistro\nComponents: main",
                "sources.list.d/b.sources": f"{DEB822.replace('bookworm bookworm-updates', 'x')}\n{DEB822}",
            },
            "http://mirror.example/debian",
        ),
    ],
)
def test_the_mirror_is_apts_own(tmp_path: Path, files: dict[str, str], mirror: str) -> None:
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert pi_mirror.debian_mirror(tmp_path) == mirror


def test_a_machine_without_apts_folder_has_debians_mirror(tmp_path: Path) -> None:
    assert pi_mirror.debian_mirror(tmp_path / "none") == pi_mirror.FALLBACK_MIRROR


# The root filesystem


def test_the_locked_runtime_comes_with_its_hashes_and_nothing_else() -> None:
    assert pi_root.locked_requirement(LOCK, "ai-edge-litert") == REQUIREMENT
    assert pi_root.locked_version(REQUIREMENT) == "2.3.0"
    with pytest.raises(OperatorError, match="no edge-litert"):
        pi_root.locked_requirement(LOCK, "edge-litert")


def test_the_projects_lock_has_the_runtime() -> None:
    requirement = pi_root.locked_requirement(bench_pi.LOCK.read_text(encoding="utf-8"), pi_root.LITERT)
    assert requirement.count("--hash=sha256:") > 1
    assert not requirement.endswith("\\\n")


@pytest.mark.parametrize(
    ("chosen", "cache", "folder"),
    [
        ("/a/b", "/c", "/a/b"),
        ("", "/c", "/c/maskwatch/pi-root-bookworm"),
        ("", "", "~/.cache/maskwatch/pi-root-bookworm"),
    ],
)
def test_the_root_filesystem_lies_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, chosen: str, cache: str, folder: str
) -> None:
    monkeypatch.setenv("MASKWATCH_PI_ROOT", chosen)
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert pi_root.root_folder() == Path(folder).expanduser()


@pytest.fixture
def _no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    def litert(root: Path, requirement: str, requirements: Path) -> None:
        (root / pi_root.LITERT_FOLDER).mkdir()

    monkeypatch.setattr(pi_root, "download_packages", lambda *words: [])
    monkeypatch.setattr(pi_root, "_install_litert", litert)


@pytest.mark.usefixtures("_no_downloads")
def test_a_root_filesystem_is_built_and_replaced_whole(tmp_path: Path) -> None:
    root = tmp_path / "pi-root"
    (tmp_path / "pi-root.partial-cut-off").mkdir()
    pi_root.build_root(root, REQUIREMENT)
    assert pi_root.is_complete(root, REQUIREMENT)
    assert (root / "lib").readlink() == Path("usr/lib")
    newer = REQUIREMENT.replace("2.3.0", "2.4.0")
    assert not pi_root.is_complete(root, newer)
    pi_root.build_root(root, newer)
    assert pi_root.is_complete(root, newer)
    assert [path.name for path in tmp_path.iterdir()] == ["pi-root"]


@pytest.mark.usefixtures("_no_downloads")
def test_a_build_that_is_cut_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pi_root, "_install_litert", cut_off)
    with pytest.raises(KeyboardInterrupt):
        pi_root.build_root(tmp_path / "pi-root", REQUIREMENT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_no_downloads")
def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter 1", encoding="utf-8")
    with pytest.raises(OperatorError, match="holds something else"):
        pi_root.build_root(tmp_path, REQUIREMENT)
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "chapter 1"


def test_only_one_bench_works_in_a_root_filesystem(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "pi-root"
    with pi_root.locked_root(root), pytest.raises(TryAgainError, match="another bench-pi"), pi_root.locked_root(root):
        pass
    with pi_root.locked_root(root):
        pass


def test_a_place_that_cannot_be_made_is_the_operators_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match="MASKWATCH_PI_ROOT"), pi_root.locked_root(tmp_path / "file" / "root"):
        pass


def test_a_tool_that_fails_is_quoted_in_one_line() -> None:
    complaint = "echo W: odd >&2; echo 'E: Unable to fetch' >&2; echo more >&2; exit 100"
    with pytest.raises(TryAgainError, match=r"^sh failed: E: Unable to fetch$"):
        pi_root.run_tool(["sh", "-c", complaint])
    with pytest.raises(TryAgainError, match=r"^sh failed: exit code 7$"):
        pi_root.run_tool(["sh", "-c", "exit 7"])


def test_a_bundle_without_a_finder_is_its_classifier(tmp_path: Path) -> None:
    assert tiny_manifest(finder=None).finder is None
    bundle = open_bundle(tiny_bundle(tmp_path, finder=None))
    assert list(bench_pi.networks_of(bundle, None)) == ["classifier"]
