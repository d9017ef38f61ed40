"""`maskwatch keys`, on real OpenSSH keys: what it writes is judged by what ssh-keygen then takes and refuses."""

from __future__ import annotations

import argparse
import fcntl
import io
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch import signature, signers, trust
from maskwatch.errors import ExitCode, OperatorError, TryAgainError
from maskwatch.signature import check_signature
from maskwatch.slots.store import Slots
from maskwatch.trust import Trust
from maskwatch.verbs import keys as verb
from nobody import NOBODY
from real_command import maskwatch
from signing_keys import allow, make_key, needs_ssh_keygen, public_key, signature_of, ssh_keygen
from tiny_models import tiny_bundle

pytestmark = needs_ssh_keygen

DATA = b"a bundle"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys maria, omar and eve, made once."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("maria", "omar", "eve"):
        make_key(folder / name, comment=f"{name}@example.org")
    return folder


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for /etc/maskwatch; not made yet."""
    monkeypatch.setattr(trust, "ALLOWED_SIGNERS", tmp_path / "etc" / "allowed_signers")
    return tmp_path / "etc"


def keys(*words: str | Path) -> ExitCode:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.run(parser.parse_args([str(word) for word in words]))


def refused(*words: str | Path) -> str:
    with pytest.raises(OperatorError) as caught:
        keys(*words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def signer(etc: Path, key: Path, namespace: str = "maskwatch-bundle") -> str | None:
    """Who ssh-keygen says signed; None where it refuses."""
    try:
        return check_signature(
            DATA, signature_of(DATA, key, namespace), Trust(etc / "allowed_signers", etc / "revoked_keys")
        )
    except OperatorError:
        return None


def fingerprint(key: Path) -> str:
    return ssh_keygen("-l", "-f", f"{key}.pub").decode().split()[1]


# Trust


def test_a_trusted_key_signs_bundles_and_nobody_elses_does(etc: Path, made: Path, capsys: Captured) -> None:
    assert keys("trust", made / "maria.pub") is ExitCode.DONE
    out, err = capsys.readouterr()
    assert out == f"trusted: maria@example.org {fingerprint(made / 'maria')}\n"
    assert err == f"from now on bundles need a signature here: {etc}/allowed_signers was made\n"
    assert (etc / "allowed_signers").read_text() == (
        f'maria@example.org namespaces="maskwatch-bundle" {public_key(made / "maria")}\n'
    )
    assert signer(etc, made / "maria") == "maria@example.org"
    assert signer(etc, made / "eve") is None
    assert signer(etc, made / "maria", "git") is None
    keys("trust", made / "omar.pub", "--name", "omar")
    assert capsys.readouterr().err == ""
    assert [signer(etc, made / name) for name in ("maria", "omar", "eve")] == ["maria@example.org", "omar", None]


def test_the_files_can_be_read_by_the_service_whatever_the_umask(etc: Path, made: Path) -> None:
    before = os.umask(0o077)
    try:
        keys("trust", made / "maria.pub")
        keys("revoke", made / "eve.pub")
        (etc / "allowed_signers").chmod(0o600)
        keys("trust", made / "maria.pub")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((etc / name).stat().st_mode) for name in ("allowed_signers", "revoked_keys")] == [0o644] * 2
    assert {path.name for path in etc.iterdir()} == {"allowed_signers", "revoked_keys"}


def test_trusting_again_changes_nothing(etc: Path, made: Path, capsys: Captured) -> None:
    keys("trust", made / "maria.pub")
    written = (etc / "allowed_signers").stat()
    capsys.readouterr()
    assert keys("trust", made / "maria.pub") is ExitCode.DONE
    assert capsys.readouterr().out.startswith("already trusted: maria@example.org SHA256:")
    after = (etc / "allowed_signers").stat()
    assert (after.st_ino, after.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


def test_a_key_has_one_line_and_the_last_word_counts(etc: Path, made: Path) -> None:
    keys("trust", made / "maria.pub")
    keys("trust", made / "omar.pub")
    keys("trust", made / "maria.pub", "--name", "maria", "--valid-before", "2999-01-31")
    assert (etc / "allowed_signers").read_text().splitlines() == [
        'maria namespaces="maskwatch-bundle",valid-before="29990131000000Z" ' + public_key(made / "maria"),
        'omar@example.org namespaces="maskwatch-bundle" ' + public_key(made / "omar"),
    ]
    assert signer(etc, made / "maria") == "maria"


def test_lines_of_others_are_kept(etc: Path, made: Path) -> None:
    etc.mkdir()
    foreign = b"# by hand\n\nold@x " + public_key(made / "omar").encode() + b" \xff odd\x0b comment\n# no line break"
    (etc / "allowed_signers").write_bytes(foreign)
    keys("trust", made / "maria.pub", "--name", "maria")
    keys("trust", made / "maria.pub", "--name", "maria2")
    ours = f'maria2 namespaces="maskwatch-bundle" {public_key(made / "maria")}\n'
    assert (etc / "allowed_signers").read_bytes() == foreign + b"\n" + ours.encode()


def test_a_line_for_more_than_bundles_is_left_to_its_owner(etc: Path, made: Path) -> None:
    etc.mkdir()
    allow(etc / "allowed_signers", "maria", made / "maria", 'namespaces="git,maskwatch-bundle"')
    before = (etc / "allowed_signers").read_bytes()
    assert "lists this key in line 1 with other options: change it there" in refused("trust", made / "maria.pub")
    assert (etc / "allowed_signers").read_bytes() == before


def test_other_places_can_be_named(etc: Path, made: Path, tmp_path: Path, capsys: Captured) -> None:
    place = tmp_path / "fleet"
    keys("trust", made / "maria.pub", "--file", place)
    keys("revoke", made / "maria.pub", "--file", place, "--revoked-keys", tmp_path / "lost")
    capsys.readouterr()
    keys("list", "--file", place, "--revoked-keys", tmp_path / "lost")
    assert capsys.readouterr().out.startswith("revoked         maria@example.org ")
    keys("list", "--file", place)
    assert capsys.readouterr().out.startswith("trusted         maria@example.org ")
    assert not etc.exists()


def test_a_key_comes_on_stdin_too(etc: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (made / "maria.pub").read_bytes()
    monkeypatch.setattr(verb.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    keys("trust", "-")
    assert signer(etc, made / "maria") == "maria@example.org"


# What is no public key


def with_key(change: Callable[[bytes], bytes]) -> Callable[[Path, Path], object]:
    return lambda made, path: path.write_bytes(change((made / "maria.pub").read_bytes()))


NOT_ONE_KEY: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "private key": (
        lambda made, path: path.write_bytes((made / "maria").read_bytes()),
        "is a private key, which must stay secret: give its public half, the .pub file",
    ),
    "private key behind": (with_key(lambda key: key + b"-----BEGIN RSA PRIVATE KEY-----\n"), "is a private key"),
    "two keys": (with_key(lambda key: key * 2), "is not one public key of OpenSSH: give the .pub file"),
    "empty": (with_key(lambda key: b""), "is not one public key"),
    "text": (with_key(lambda key: b"ssh-ed25519 is a kind of key\n"), "is not one public key"),
    "bytes": (with_key(lambda key: b"\0\xff\n" * 9), "is not one public key"),
    "options": (with_key(lambda key: b'command="sh" ' + key), "is not one public key"),
    "allowed_signers": (with_key(lambda key: b"maria " + key), "is not one public key"),
    "another kind": (with_key(lambda key: key.replace(b"ssh-ed25519", b"ssh-rsa", 1)), "is not one public key"),
    "cut off": (with_key(lambda key: key[:50]), "is not one public key"),
    "cut between": (with_key(lambda key: key[:52]), "is a damaged public key, says ssh-keygen: copy it again"),
    "huge": (with_key(lambda key: key[:-1] + b"x" * 20_000), "is not one public key"),
    "folder": (lambda made, path: path.mkdir(), "is not a file: give the .pub file"),
    "pipe": (lambda made, path: os.mkfifo(path), "is not a file: give the .pub file"),
    "absent": (lambda made, path: None, "is not a file: give the .pub file"),
}


@pytest.mark.parametrize("kind", NOT_ONE_KEY)
def test_what_is_not_one_public_key_is_refused(kind: str, etc: Path, made: Path, tmp_path: Path) -> None:
    write, words = NOT_ONE_KEY[kind]
    path = tmp_path / "given.pub"
    write(made, path)
    assert refused("trust", path, "--name", "maria").startswith(f"{path} {words}")
    assert not etc.exists()


def test_a_certificate_is_no_key(etc: Path, made: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    ssh_keygen("-q", "-s", made / "maria", "-I", "id", "-n", "maria", f"{key}.pub")
    assert "is not one public key" in refused("trust", f"{key}-cert.pub")


@pytest.mark.parametrize(
    "name", ["", "two words", "*", "a,b", "!maria", '"maria"', "# maria", "maria\nevil *", "x" * 101]
)
def test_a_name_that_would_mean_something_else_is_refused(name: str, etc: Path, made: Path) -> None:
    refused("trust", made / "maria.pub", "--name", name)
    assert not etc.exists()


def test_a_key_without_a_comment_needs_a_name(etc: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", comment="")
    assert refused("trust", f"{key}.pub") == f"{key}.pub does not say whose it is: add --name WHO"
    assert keys("trust", f"{key}.pub", "--name", "nadia") is ExitCode.DONE


def test_a_day_that_is_over_or_none_is_refused(etc: Path, made: Path, capsys: Captured) -> None:
    assert "2020-01-01 is over already" in refused("trust", made / "maria.pub", "--valid-before", "2020-01-01")
    for text in ("tomorrow", "2031-02-30", "20310101", ""):
        with pytest.raises(SystemExit) as left:
            keys("trust", made / "maria.pub", "--valid-before", text)
        assert left.value.code == ExitCode.USAGE
        assert "is no day: give one like 2031-01-31" in capsys.readouterr().err
    assert not etc.exists()


# List


def test_list_says_what_each_key_is_worth(etc: Path, made: Path, tmp_path: Path, capsys: Captured) -> None:
    etc.mkdir()
    ours = 'namespaces="maskwatch-bundle"'
    for name, options in (
        ("any", ""),
        ("some", 'namespaces="mask*,git"'),
        ("git", 'namespaces="git"'),
        ("not", 'namespaces="*,!maskwatch-bundle"'),
        ("old", f'{ours},valid-before="20200101Z"'),
        ("soon", f'valid-after="299901010000",{ours}'),
        ("now", f'{ours},valid-after="20200101",valid-before="29990101123000Z"'),
    ):
        allow(etc / "allowed_signers", name, make_key(tmp_path / name), options)
    allow(etc / "allowed_signers", "lost", made / "maria")
    (etc / "revoked_keys").write_text(f"{public_key(made / 'maria')}\n{public_key(made / 'eve')} eve\n")
    assert keys("list") is ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    assert [(line[:16].strip(), line[16:].split()[0]) for line in lines] == [
        ("trusted", "any"),
        ("trusted", "some"),
        ("not for bundles", "git"),
        ("not for bundles", "not"),
        ("expired", "old"),
        ("not valid yet", "soon"),
        ("trusted", "now"),
        ("revoked", "lost"),
        ("revoked", "eve"),
    ]
    assert lines[6].endswith(f"{fingerprint(tmp_path / 'now')}, valid-after 20200101, valid-before 29990101123000Z")
    worth = {line[16:].split()[0]: line.startswith("trusted") for line in lines[:7]}
    assert worth == {name: signer(etc, tmp_path / name) is not None for name in worth}


def test_list_as_json(etc: Path, made: Path, capsys: Captured) -> None:
    keys("trust", made / "maria.pub", "--valid-before", "2999-01-31")
    capsys.readouterr()
    keys("list", "--json")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {
        "name": "maria@example.org",
        "state": "trusted",
        "kind": "ssh-ed25519",
        "fingerprint": fingerprint(made / "maria"),
        "options": {"namespaces": "maskwatch-bundle", "valid-before": "29990131000000Z"},
    }


def test_list_where_nobody_is_trusted_says_what_that_means(etc: Path, capsys: Captured) -> None:
    assert keys("list") is ExitCode.DONE
    assert capsys.readouterr() == ("", f"{etc}/allowed_signers is not there: bundles need no signature here\n")


def test_a_damaged_file_names_its_line(etc: Path, made: Path) -> None:
    etc.mkdir()
    allow(etc / "allowed_signers", "maria", made / "maria").open("a").write("# fine\nwho is this\n")
    assert refused("list") == f"{etc}/allowed_signers: line 3 is no signer with a key: mend or remove it"
    (etc / "allowed_signers").unlink()
    (etc / "revoked_keys").write_text("lost\n")
    assert refused("list") == f"{etc}/revoked_keys: line 1 is no public key: mend or remove it"
    (etc / "revoked_keys").write_bytes(b"SSHKRL\n\0 damaged")
    allow(etc / "allowed_signers", "maria", made / "maria")
    assert "revoked_keys is a damaged KRL" in refused("list")
    assert "revoked_keys is a damaged KRL" in refused("trust", made / "maria.pub")


def test_a_time_that_is_none_is_named(etc: Path, made: Path) -> None:
    etc.mkdir()
    allow(etc / "allowed_signers", "maria", made / "maria", 'valid-before="soon"')
    assert "'soon' is no time: YYYYMMDD" in refused("list")


# Revoke


@pytest.mark.parametrize("by", ["name", "file"])
def test_a_lost_key_is_revoked_whatever_else_the_list_says(etc: Path, made: Path, capsys: Captured, by: str) -> None:
    etc.mkdir()
    allow(etc / "allowed_signers", "maria", made / "maria").open("a").write("who is this\n")
    assert keys("revoke", "maria" if by == "name" else made / "maria.pub") is ExitCode.DONE
    out, err = capsys.readouterr()
    assert out.startswith("revoked: maria")
    assert "line 2 is no signer with a key: mend or remove it" in err


def test_the_slots_are_looked_at_and_what_will_not_run_any_more_is_said(
    etc: Path, made: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "slots"
    monkeypatch.setattr("maskwatch.slots.store.SLOTS", folder)
    slots, data = Slots(folder, NOBODY), tiny_bundle(tmp_path).read_bytes()
    slots.install(data, signature_of(data, made / "maria"))
    slots.activate()
    keys("trust", made / "maria.pub")
    assert "next start" not in capsys.readouterr().err
    keys("revoke", "maria@example.org")
    assert "at the service's next start: " in (err := capsys.readouterr().err)
    assert "revokes (SHA256:" in err


@pytest.mark.parametrize("by", ["name", "fingerprint", "file"])
def test_a_revoked_key_signs_nothing_more(by: str, etc: Path, made: Path, capsys: Captured) -> None:
    keys("trust", made / "maria.pub", "--name", "maria")
    keys("trust", made / "omar.pub", "--name", "omar")
    capsys.readouterr()
    word = {"name": "maria", "fingerprint": fingerprint(made / "maria"), "file": f"{made}/maria.pub"}[by]
    assert keys("revoke", word) is ExitCode.DONE
    who = "maria@example.org" if by == "file" else "maria"
    assert capsys.readouterr().out == f"revoked: {who} {fingerprint(made / 'maria')}\n"
    assert [signer(etc, made / name) for name in ("maria", "omar")] == [None, "omar"]
    keys("revoke", word)
    assert capsys.readouterr().out == f"already revoked: {who} {fingerprint(made / 'maria')}\n"
    assert len((etc / "revoked_keys").read_text().splitlines()) == 1
    assert "is revoked by" in refused("trust", made / "maria.pub")


def test_a_name_revokes_all_its_keys(etc: Path, made: Path) -> None:
    for name in ("maria", "omar", "eve"):
        keys("trust", made / f"{name}.pub", "--name", "eve" if name == "eve" else "team")
    keys("revoke", "team")
    assert [signer(etc, made / name) for name in ("maria", "omar", "eve")] == [None, None, "eve"]


def test_a_key_that_nobody_trusts_can_be_revoked_before_anyone_does(etc: Path, made: Path) -> None:
    keys("revoke", made / "eve.pub")
    assert "is revoked by" in refused("trust", made / "eve.pub")


def test_revoking_what_is_neither_known_nor_a_key_is_refused(etc: Path, made: Path) -> None:
    assert f"nobody is neither in {etc}/allowed_signers nor a file" in refused("revoke", "nobody")
    assert "x is neither in" in refused("revoke", "x" * 5000)
    assert "is a private key" in refused("revoke", made / "maria")
    assert not etc.exists()


def test_a_krl_counts_and_is_left_to_ssh_keygen(etc: Path, made: Path, capsys: Captured) -> None:
    keys("trust", made / "maria.pub")
    keys("trust", made / "omar.pub")
    ssh_keygen("-q", "-k", "-f", etc / "revoked_keys", made / "maria.pub")
    before = (etc / "revoked_keys").read_bytes()
    capsys.readouterr()
    keys("list")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["revoked", "trusted"]
    keys("revoke", made / "maria.pub")
    assert capsys.readouterr().out.startswith("already revoked: ")
    assert "is a KRL: add to it with ssh-keygen -k -u -f FILE KEY.pub" in refused("revoke", made / "omar.pub")
    assert (etc / "revoked_keys").read_bytes() == before


# Files that cannot be changed


@pytest.fixture
def locked(etc: Path) -> Iterator[None]:
    etc.mkdir()
    folder = os.open(etc, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    yield
    os.close(folder)


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize("action", ["trust", "revoke"])
def test_two_changes_at_once_are_kept_apart(action: str, etc: Path, made: Path) -> None:
    with pytest.raises(TryAgainError, match="another command is changing the keys there: run this again"):
        keys(action, made / "maria.pub")
    assert list(etc.iterdir()) == []


def test_files_that_cannot_be_written_are_named(etc: Path, made: Path, tmp_path: Path) -> None:
    etc.touch()
    assert refused("trust", made / "maria.pub") == f"{etc}/allowed_signers cannot be written: File exists"
    etc.unlink()
    (etc / "allowed_signers").mkdir(parents=True)
    assert refused("trust", made / "maria.pub") == f"{etc}/allowed_signers cannot be read: Is a directory"
    deep = tmp_path / "no" / "such" / "file"
    assert (
        refused("trust", made / "maria.pub", "--file", deep) == f"{deep} cannot be written: No such file or directory"
    )


def test_a_full_disk_leaves_the_trust_as_it_was(etc: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys("trust", made / "maria.pub")
    before = (etc / "allowed_signers").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "cannot be written: No space left on device" in refused("trust", made / "omar.pub")
    monkeypatch.undo()
    assert (etc / "allowed_signers").read_bytes() == before
    assert [path.name for path in etc.iterdir()] == ["allowed_signers"]


# As a whole


def test_the_command_line_from_key_to_verified_bundle(made: Path, tmp_path: Path, tiny_bundle_path: Path) -> None:
    file = tmp_path / "signers"
    assert maskwatch("keys", "trust", made / "maria.pub", "--file", file).code == 0
    assert maskwatch("bundle", "sign", "--key", made / "maria", tiny_bundle_path).code == 0
    good = maskwatch("bundle", "verify", "--allowed-signers", file, tiny_bundle_path)
    assert (good.code, good.lines[0]) == (0, "ok      signature: good, by maria@example.org")
    assert maskwatch("keys", "revoke", "maria@example.org", "--file", file).code == 0
    bad = maskwatch("bundle", "verify", "--allowed-signers", file, tiny_bundle_path)
    assert (bad.code, bad.out) == (3, "")
    assert bad.fault().startswith(f"{tiny_bundle_path}: signed by maria@example.org with a key that ")
    assert (
        maskwatch("keys", "trust", made / "maria", "--file", file).fault().startswith(f"{made}/maria is a private key")
    )


STEPS = st.lists(st.tuples(st.sampled_from(["trust", "revoke"]), st.sampled_from(["maria", "omar", "eve"])), max_size=8)


@given(STEPS)
@settings(max_examples=25, deadline=None)
def test_whatever_is_trusted_and_revoked_ssh_keygen_does_as_told(
    tmp_path_factory: pytest.TempPathFactory, made: Path, steps: list[tuple[str, str]]
) -> None:
    etc = tmp_path_factory.mktemp("etc")
    keys("trust", make_key(etc / "first").with_suffix(".pub"), "--file", etc / "allowed_signers")
    trusted: set[str] = set()
    revoked: set[str] = set()
    for action, name in steps:
        if action == "trust" and name in revoked:
            refused("trust", made / f"{name}.pub", "--file", etc / "allowed_signers")
        else:
            keys(action, made / f"{name}.pub", "--file", etc / "allowed_signers")
            (trusted if action == "trust" else revoked).add(name)
    accepted = {name for name in ("maria", "omar", "eve") if signer(etc, made / name) is not None}
    assert accepted == trusted - revoked


OPTIONS = (
    'namespaces="maskwatch-bundle"', 'NAMESPACES="git,mask*"', 'namespaces="git"', 'namespaces="*,!maskwatch-bundle"',
    'valid-before="20200101"', 'valid-before="29990101Z"', 'valid-after="299901010000"', 'valid-after="20200101"',
    "namespaces=maskwatch-bundle", "unknown", "#", " ", '"',
)  # fmt: skip


@given(st.lists(st.sampled_from(OPTIONS), max_size=3).map(",".join))
@settings(max_examples=60, deadline=None)
def test_what_list_calls_trusted_is_what_ssh_keygen_takes(
    tmp_path_factory: pytest.TempPathFactory, made: Path, options: str
) -> None:
    etc = tmp_path_factory.mktemp("etc")
    allow(etc / "allowed_signers", "maria", made / "maria", options)
    try:
        states = [
            signers.state_of(line, (), signature.judged_at()) for line in signers.list_signers(etc / "allowed_signers")
        ]
    except OperatorError:
        states = []
    assert (states == ["trusted"]) == (signer(etc, made / "maria") is not None)


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 42 + "g"
PIECES = (
    "maria",
    " ",
    "\t",
    "\n",
    "\r\n",
    KEY,
    KEY[:40],
    "ssh-rsa",
    'namespaces="',
    '"',
    ",",
    "#",
    "valid-before=",
    "é",
)


@given(st.lists(st.sampled_from(PIECES)).map("".join).map(str.encode) | st.binary(max_size=100))
@settings(max_examples=150, deadline=None)
def test_any_file_is_listed_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("odd") / "file"
    file.write_bytes(content)
    for read in (signers.list_signers, signers.list_revoked):
        try:
            found = [getattr(item, "key", item) for item in read(file)]
        except OperatorError as error:
            assert re.fullmatch(rf"{file}: line \d+ is no .*", str(error)) is not None  # noqa: PT017 - or nothing raised
        else:
            assert {key.kind for key in found} <= {"ssh-ed25519"}
