from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest
from maskwatch import bundle as bundle_module
from maskwatch import interpreter, trust, verify
from maskwatch.errors import BundleError, ExitCode, OperatorError, SignatureError
from maskwatch.manifest import ClassifierSpec, GoldenVector, SecondLookSpec
from maskwatch.verbs import bundle as verb
from maskwatch_convert.pack import write_bundle
from signing_keys import allow, make_key, needs_ssh_keygen
from tiny_models import tiny_bundle, tiny_manifest, tiny_members


@pytest.fixture(autouse=True)
def _no_trust_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "ALLOWED_SIGNERS", tmp_path / "absent" / "allowed_signers")


def call(*words: str | Path) -> ExitCode:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.run(parser.parse_args([str(word) for word in words]))


def test_show_prints_what_matters(tiny_bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("show", tiny_bundle_path) is ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "tiny 1.2.3, made 2025-01-31T12:00:00Z"
    for line in (
        f"file        {tiny_bundle_path}, {tiny_bundle_path.stat().st_size:,} bytes",
        "finder      finder.tflite, 32×24 px, strides 8",
        "classifier  classifier.tflite, masknet, 16×16 px",
        f"member      MODEL_CARD.md, {len(tiny_members()['MODEL_CARD.md'])} bytes",
        "golden      4 vectors",
        "report      accuracy 0.75",
        "report      faces.ap50 0.5",
    ):
        assert line in lines
    assert not any("second look" in line for line in lines)


def test_show_tells_of_the_second_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second_look = SecondLookSpec(weight=0.8, bias=-0.5, score_threshold=0.45)
    twice = replace(tiny_manifest().classifier, output="mask_and_face_logits", second_look=second_look)
    assert call("show", tiny_bundle(tmp_path, classifier=twice)) is ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("classifier  classifier.tflite, masknet, 16×16 px")
    assert lines[place + 1] == "            a face from score ≥ 0.45, at a second look"


def test_show_json_is_the_manifest_on_one_line(tiny_bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("show", "--json", tiny_bundle_path) is ExitCode.DONE
    (line,) = capsys.readouterr().out.splitlines()
    manifest = json.loads(line)
    assert (manifest["schema_version"], manifest["name"], manifest["finder"]["width_px"]) == (1, "tiny", 32)
    assert manifest["report"]["note"] == "ünïcode"


def test_show_does_without_a_finder_and_cuts_a_long_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tiny_manifest(finder=None, report={f"figure{index:02}": index for index in range(30)})
    path = write_bundle(tmp_path, manifest, {"classifier.tflite": tiny_members()["classifier.tflite"]}).path
    assert call("show", path) is ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    assert "finder      none: whole pictures only" in lines
    assert lines[-2:] == ["report      figure23 23", "report      … 6 more figures: --json"]


def test_show_prints_the_headlines_of_a_report_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = {"detection": {"iou": 0.5}, "classification": {"pictures": 9, "accuracy": 0.9, "with_mask": {"f1": 0.8}}}
    manifest = tiny_manifest(finder=None, report=report)
    path = write_bundle(tmp_path, manifest, {"classifier.tflite": tiny_members()["classifier.tflite"]}).path
    assert call("show", path) is ExitCode.DONE
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "report      classification.accuracy 0.9",
        "report      classification.with_mask.f1 0.8",
        "report      … 2 more figures: --json",
    ]


def test_the_built_in_bundle_is_the_default(
    tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bundle_module, "default_bundle_path", lambda: tiny_bundle_path)
    assert call("show") is ExitCode.DONE
    assert capsys.readouterr().out.startswith("tiny 1.2.3")


def test_verify_runs_every_golden_vector(
    tiny_bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("verify", tiny_bundle_path) is ExitCode.DONE
    assert capsys.readouterr().out.splitlines() == [
        f"not run signature: none; {tmp_path}/absent/allowed_signers is not there to ask for one",
        "ok      file: schema 1, 3 members, sizes and hashes match",
        "ok      classifier.tflite: input 16×16 px, the manifest says 16×16",
        "ok      classifier.tflite: golden vector one answered bit for bit",
        "ok      classifier.tflite: golden vector two answered bit for bit",
        "ok      finder.tflite: input 32×24 px, the manifest says 32×24",
        "ok      finder.tflite: golden vector one answered bit for bit",
        "ok      finder.tflite: golden vector two answered bit for bit",
        "ok      pipeline: a picture goes all the way",
    ]


def test_verify_finds_an_answer_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_bundle(tmp_path, golden=(GoldenVector("finder.tflite", "one", "0" * 64),))
    assert call("verify", path) is ExitCode.FINDING
    lines = capsys.readouterr().out.splitlines()
    assert "failed  finder.tflite: golden vector one answered differently" in lines
    assert "not run classifier.tflite: the bundle has no golden vectors for it" in lines


def test_verify_finds_a_network_of_another_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = ("without_mask", "with_mask")
    other = ClassifierSpec("classifier.tflite", "masknet", 48, 0.25, labels, "logit", 1.0, 0.5, True)
    assert call("verify", tiny_bundle(tmp_path, classifier=other)) is ExitCode.FINDING
    assert "failed  classifier.tflite: input 16×16 px, the manifest says 48×48" in capsys.readouterr().out


def test_verify_finds_a_network_that_does_not_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_bundle(tmp_path, tiny_manifest(), tiny_members() | {"finder.tflite": b"no network"}).path
    assert call("verify", path) is ExitCode.FINDING
    assert "failed  finder.tflite: not a TFLite model" in capsys.readouterr().out


def test_verify_without_a_runtime_says_what_it_left_out(
    tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(interpreter, "RUNTIMES", ("no_such_runtime.interpreter",))
    assert call("verify", "--json", tiny_bundle_path) is ExitCode.DONE
    (line,) = capsys.readouterr().out.splitlines()
    answer = json.loads(line)
    assert (answer["path"], answer["signer"]) == (str(tiny_bundle_path), None)
    checks = [(check["name"], check["ok"]) for check in answer["checks"]]
    assert checks == [("signature", None), ("file", True), ("networks", None)]


def test_a_damaged_bundle_is_an_error_the_operator_can_fix(tiny_bundle_path: Path) -> None:
    tiny_bundle_path.write_bytes(tiny_bundle_path.read_bytes()[:-100])
    with pytest.raises(BundleError, match=r"damaged, or not a bundle.*copy it again") as caught:
        call("verify", tiny_bundle_path)
    assert caught.value.exit_code is ExitCode.OPERATOR


# Signatures


@pytest.fixture
def signed(tiny_bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """An allowed_signers file with the key that signed the tiny bundle."""
    key = make_key(tmp_path / "maria")
    assert call("sign", "--key", key, tiny_bundle_path) is ExitCode.DONE
    assert capsys.readouterr().out == f"{tiny_bundle_path}.sig\n"
    return allow(tmp_path / "allowed_signers", "maria", key)


@needs_ssh_keygen
def test_verify_says_who_signed(signed: Path, tiny_bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("verify", "--allowed-signers", signed, tiny_bundle_path) is ExitCode.DONE
    assert capsys.readouterr().out.splitlines()[0] == "ok      signature: good, by maria"
    assert call("verify", "--json", "--allowed-signers", signed, tiny_bundle_path) is ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["signer"] == "maria"
    assert call("verify", tiny_bundle_path) is ExitCode.DONE
    assert capsys.readouterr().out.startswith("not run signature: there, but not checked; ")


@needs_ssh_keygen
def test_verify_asks_for_a_signature_where_this_machine_does(
    signed: Path, tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "ALLOWED_SIGNERS", signed)
    assert call("verify", tiny_bundle_path) is ExitCode.DONE
    Path(f"{tiny_bundle_path}.sig").unlink()
    with pytest.raises(SignatureError, match=rf"^{tiny_bundle_path}: not signed, and {signed} asks for a signature"):
        call("verify", tiny_bundle_path)


@needs_ssh_keygen
def test_networks_of_a_bundle_that_nobody_trusted_signed_are_not_run(
    signed: Path, tiny_bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A valid signature, but of another bundle."""
    other = tiny_bundle(tmp_path, version="1.2.4")
    Path(f"{other}.sig").write_bytes(Path(f"{tiny_bundle_path}.sig").read_bytes())
    monkeypatch.setattr(interpreter, "TFLiteNetwork", lambda *_: pytest.fail("a network was loaded"))
    monkeypatch.setattr(verify, "TFLiteNetwork", lambda *_: pytest.fail("a network was loaded"))
    with pytest.raises(SignatureError, match=r"tiny-1\.2\.4\.maskwatch: changed since it was signed, or that is"):
        call("verify", "--allowed-signers", signed, other)


@needs_ssh_keygen
def test_verify_takes_the_revoked_keys_beside_or_those_that_are_named(
    signed: Path, tiny_bundle_path: Path, tmp_path: Path
) -> None:
    revoked = tmp_path / "elsewhere"
    revoked.write_bytes((tmp_path / "maria.pub").read_bytes())
    words = ("verify", "--allowed-signers", signed, tiny_bundle_path)
    with pytest.raises(SignatureError, match=f"a key that {revoked} revokes"):
        call(*words, "--revoked-keys", revoked)
    assert call(*words) is ExitCode.DONE
    revoked.rename(tmp_path / "revoked_keys")
    with pytest.raises(SignatureError, match=f"a key that {tmp_path}/revoked_keys revokes"):
        call(*words)


@pytest.mark.parametrize("option", ["--allowed-signers", "--revoked-keys"])
def test_a_file_of_keys_that_is_named_must_be_there(option: str, tiny_bundle_path: Path, tmp_path: Path) -> None:
    """A slip of the pen would otherwise mean that nothing is asked for."""
    with pytest.raises(OperatorError, match="allowed_singers is not there: check the name"):
        call("verify", option, tmp_path / "allowed_singers", tiny_bundle_path)


def test_the_built_in_bundle_needs_no_signature(
    tiny_bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bundle_module, "default_bundle_path", lambda: tiny_bundle_path)
    (tmp_path / "allowed_signers").touch()
    assert call("verify", "--allowed-signers", tmp_path / "allowed_signers") is ExitCode.DONE
    assert capsys.readouterr().out.startswith("not run signature: came with Maskwatch itself\n")
