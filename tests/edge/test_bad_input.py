"""Whatever is handed to the real command line: one clear line, the documented exit code, and nothing else lost."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn import draw_background
from maskwatch_convert.pack import write_bundle
from PIL import Image as PillowImage
from real_command import Answer, maskwatch
from tiny_models import tiny_manifest, tiny_members


def scene(height_px: int = 96, width_px: int = 128) -> PillowImage.Image:
    return PillowImage.fromarray(draw_background(height_px, width_px, np.random.default_rng(1)))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.png"
    scene().save(path)
    return path


def classify(bundle: Path, *words: str | Path) -> Answer:
    return maskwatch("classify", "--json", "--bundle", bundle, *words)


def detect(bundle: Path, *words: str | Path) -> Answer:
    return maskwatch("detect", "--json", "--bundle", bundle, *words)


# Pictures that cannot be read


def truncated(path: Path) -> None:
    scene().save(path)
    os.truncate(path, path.stat().st_size * 2 // 3)


def damaged(path: Path) -> None:
    scene().save(path, quality=90)
    data = bytearray(path.read_bytes())
    tables = data.index(b"\xff\xc4")  # the Huffman tables
    data[tables + 4 : tables + 30] = b"\xff" * 26
    path.write_bytes(data)


BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing": (lambda path: None, ".jpg", "is not there: check the name"),
    "0 bytes": (Path.touch, ".jpg", "is empty (0 bytes): copy or download it again"),
    "truncated JPEG": (truncated, ".jpg", "is cut off in the middle: copy or download it again"),
    "truncated PNG": (truncated, ".png", "is cut off in the middle: copy or download it again"),
    "damaged": (damaged, ".jpg", "is damaged and cannot be decoded: copy or download it again"),
    "1 pixel": (scene(1, 1).save, ".png", "has only 1×1 pixels: give one of at least 16×16"),
    "50 megapixels": (
        lambda path: PillowImage.new("1", (8660, 5774)).save(path),
        ".png",
        "has 8660×5774 pixels, over 40 megapixels: scale it down first",
    ),
    "text": (lambda path: path.write_text("no picture"), ".jpg", "is not a picture that Maskwatch reads"),
    "another format": (scene().save, ".gif", "is not a picture that Maskwatch reads: give a JPEG, PNG, WebP or BMP"),
    "a dead link": (lambda path: path.symlink_to("nowhere"), ".jpg", "is not there: check the name"),
    "a pipe": (lambda path: os.mkfifo(path), ".jpg", "is not "),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_picture_gets_one_line_and_the_others_are_answered(
    kind: str, tmp_path: Path, tiny_bundle_path: Path, good: Path
) -> None:
    make, suffix, words = BAD[kind]
    bad = tmp_path / f"bad{suffix}"
    make(bad)
    alone = classify(tiny_bundle_path, bad)
    assert (alone.code, alone.out) == (3, "")
    assert alone.fault().startswith(f"{bad} {words}")
    between = detect(tiny_bundle_path, good, bad, good)
    assert between.code == 1
    assert between.fault().startswith(f"{bad} {words}")
    assert [json.loads(line)["path"] for line in between.lines] == [str(good)] * 2


def test_a_picture_that_this_user_may_not_read_gets_one_line(
    tmp_path: Path, tiny_bundle_path: Path, good: Path
) -> None:
    locked = tmp_path / "locked.png"
    shutil.copy(good, locked)
    locked.chmod(0)
    through: list[str] = []
    if os.geteuid() == 0:  # the superuser reads everything, unless that power is taken away
        if shutil.which("setpriv") is None:
            pytest.skip("run by the superuser, and there is no setpriv")
        powers = "-dac_override,-dac_read_search"
        through = ["setpriv", f"--inh-caps={powers}", f"--bounding-set={powers}"]
    words = ("classify", "--json", "--bundle", tiny_bundle_path)
    alone = maskwatch(*words, locked, through=through)
    assert (alone.code, alone.out) == (3, "")
    assert alone.fault() == f"{locked} cannot be read (Permission denied): check its permissions and the disk"
    both = maskwatch(*words, locked, good, through=through)
    assert (both.code, len(both.lines)) == (1, 1)


def test_a_folder_with_no_picture_gets_one_line(tmp_path: Path, tiny_bundle_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    answer = detect(tiny_bundle_path, folder)
    assert (answer.code, answer.out) == (3, "")
    assert answer.fault().startswith(f"{folder} holds no picture or video: put ")


def test_a_folder_where_a_picture_is_asked_for_gets_one_line(tmp_path: Path, tiny_bundle_path: Path) -> None:
    answer = classify(tiny_bundle_path, tmp_path)
    assert (answer.code, answer.out) == (3, "")
    assert answer.fault() == f"{tmp_path} is not a file: give a JPEG, PNG, WebP or BMP file"


# Pictures that are unusual, and answered


def sixteen_bits(path: Path) -> None:
    grey = np.asarray(scene().convert("L"), np.uint16) * 257
    PillowImage.fromarray(grey).save(path)


UNUSUAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "greyscale": (lambda path: scene().convert("L").save(path), ".jpg"),
    "black and white": (lambda path: scene().convert("1").save(path), ".png"),
    "palette": (lambda path: scene().convert("P").save(path), ".png"),
    "CMYK": (lambda path: scene().convert("CMYK").save(path), ".jpg"),
    "16 bits": (sixteen_bits, ".png"),
    "alpha": (lambda path: scene().convert("RGBA").save(path), ".png"),
    "grey with alpha": (lambda path: scene().convert("LA").save(path), ".png"),
    "progressive": (lambda path: scene().save(path, progressive=True), ".jpg"),
    "wrong suffix": (lambda path: scene().save(path, format="PNG"), ".jpg"),
}


def test_unusual_pictures_are_answered_like_any_other(tmp_path: Path, tiny_bundle_path: Path) -> None:
    paths = []
    for kind, (make, suffix) in UNUSUAL.items():
        paths.append(tmp_path / f"{kind}{suffix}")
        make(paths[-1])
    answer = classify(tiny_bundle_path, *paths)
    assert (answer.code, answer.err) == (0, "")
    records = [json.loads(line) for line in answer.lines]
    assert [record["path"] for record in records] == list(map(str, paths))
    assert {(record["width"], record["height"]) for record in records} == {(128, 96)}
    assert {record["label"] for record in records} <= {"with_mask", "without_mask"}


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_boxes_are_those_of_the_picture_after_exif_rotation(
    orientation: int, turns: int, tmp_path: Path, tiny_bundle_path: Path
) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    stored = tmp_path / "stored.jpg"
    scene(96, 160).save(stored, exif=exif, quality=95)
    upright = tmp_path / "upright.png"
    PillowImage.fromarray(np.rot90(np.asarray(PillowImage.open(stored)), turns).copy()).save(upright)
    answer = detect(tiny_bundle_path, "--min-score", "0.45", stored, upright)
    assert answer.code == 0
    turned, expected = map(json.loads, answer.lines)
    assert (turned["width"], turned["height"]) == ((160, 96) if turns == 2 else (96, 160))
    assert turned["faces"]
    assert {**turned, "path": str(upright)} == expected


# Bundles


def with_manifest(data: bytes, **changes: object) -> bytes:
    def change(name: str, content: bytes) -> bytes:
        return json.dumps(json.loads(content) | changes).encode() if name == "manifest.json" else content

    return rebuilt(data, change)


def rebuilt(
    data: bytes, change: Callable[[str, bytes], bytes] = lambda _, content: content, more: str | None = None
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for entry in old.infolist():
            new.writestr(entry, change(entry.filename, old.read(entry)))
        if more is not None:
            new.writestr(more, b"hostile")
    return buffer.getvalue()


def tampered(data: bytes) -> bytes:
    return rebuilt(data, lambda name, content: content[:-1] + b"!" if name == "classifier.tflite" else content)


def with_link(data: bytes) -> bytes:
    buffer = io.BytesIO(rebuilt(data))
    link = zipfile.ZipInfo("link.tflite")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(link, b"/etc/passwd")
    return buffer.getvalue()


BAD_BUNDLES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda data: data[: len(data) // 2], "damaged, or not a bundle: "),
    "0 bytes": (lambda data: b"", "the file is empty; copy it again"),
    "text": (lambda data: b"no bundle", "damaged, or not a bundle: "),
    "tampered": (tampered, "member classifier.tflite: changed since the bundle was made"),
    "newer schema": (lambda data: with_manifest(data, schema_version=2), "manifest.json: made for schema 2; "),
    "unknown key": (lambda data: with_manifest(data, surprise=1), "manifest.json: "),
    "no manifest": (lambda data: _emptied(), "there is no manifest.json in it"),
    "climbs": (lambda data: rebuilt(data, more="../../etc/cron.d/evil"), "member ../../etc/cron.d/evil: a name with "),
    "absolute": (lambda data: rebuilt(data, more="/etc/passwd"), "member /etc/passwd: a name with a folder"),
    "backslash": (lambda data: rebuilt(data, more="..\\evil"), "member ..\\"),
    "link": (with_link, "member link.tflite: not a file"),
    "undeclared": (lambda data: rebuilt(data, more="more.bin"), "member more.bin: not declared in manifest.json"),
}


def _emptied() -> bytes:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    return buffer.getvalue()


@pytest.mark.parametrize("kind", BAD_BUNDLES)
def test_a_bad_bundle_gets_one_line_and_nothing_is_answered(
    kind: str, tmp_path: Path, tiny_bundle_bytes: bytes, good: Path
) -> None:
    change, words = BAD_BUNDLES[kind]
    folder = tmp_path / "bundles"
    folder.mkdir()
    bundle = folder / "bad-1.0.0.maskwatch"
    bundle.write_bytes(change(tiny_bundle_bytes))
    answer = classify(bundle, good)
    assert (answer.code, answer.out) == (3, "")
    assert answer.fault().startswith(f"{bundle}: {words}")
    assert list(folder.iterdir()) == [bundle]


def test_the_command_that_refuses_bad_bundles_takes_the_sound_one(
    tmp_path: Path, tiny_bundle_bytes: bytes, good: Path
) -> None:
    bundle = tmp_path / "again-1.0.0.maskwatch"
    bundle.write_bytes(rebuilt(tiny_bundle_bytes))
    assert classify(bundle, good).code == 0


@pytest.mark.parametrize("verb", ["classify", "detect", "run"])
def test_a_bundle_that_is_missing_or_holds_no_network_gets_one_line(verb: str, tmp_path: Path, good: Path) -> None:
    words = ("--source", good, "--indicator", "none", "--seconds", "20") if verb == "run" else (good,)
    missing = tmp_path / "gone.maskwatch"
    answer = maskwatch(verb, "--bundle", missing, *words)
    assert (answer.code, answer.out) == (3, "")
    assert answer.fault() == f"{missing}: cannot be read: No such file or directory"
    hollow = write_bundle(tmp_path, tiny_manifest(), tiny_members() | {"classifier.tflite": b"no network"}).path
    answer = maskwatch(verb, "--bundle", hollow, *words)
    assert (answer.code, answer.out) == (3, "")
    assert answer.fault().startswith(f"{hollow}: classifier.tflite: not a TFLite model that this runtime can run: ")
