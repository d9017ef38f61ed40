from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from maskwatch.bundle import open_bundle
from maskwatch.images import read_image
from maskwatch.pipeline import load_pipeline
from maskwatch_convert.pack import write_bundle
from picture_answers import checked, drawn_picture
from real_command import maskwatch
from tiny_models import tiny_bundle, tiny_manifest, tiny_members


def test_json_is_one_object_a_line_to_the_letter_of_the_contract(tmp_path: Path, tiny_bundle_path: Path) -> None:
    pictures = [drawn_picture(tmp_path / f"{seed}.png", seed, 120 + seed, 160) for seed in range(4)]
    answer = maskwatch("classify", "--json", "--bundle", tiny_bundle_path, *pictures)
    assert (answer.code, answer.err) == (0, "")
    records = [checked(line) for line in answer.lines]
    assert [record["path"] for record in records] == [str(picture) for picture in pictures]
    assert [(record["width"], record["height"]) for record in records] == [(160, 120 + seed) for seed in range(4)]
    assert {record["label"] for record in records} == {"with_mask", "without_mask"}
    pipeline = load_pipeline(open_bundle(tiny_bundle_path))
    for picture, record in zip(pictures, records, strict=True):
        verdict = pipeline.classify(read_image(picture))
        assert verdict.faces
        assert record["label"] == verdict.label.value
        assert record["score"] == pytest.approx(verdict.score, abs=5e-5)
        for face, expected in zip(record["faces"], verdict.faces, strict=True):
            box = expected.box
            assert face["box"] == pytest.approx([box.xmin, box.ymin, box.xmax, box.ymax], abs=0.0501)
            assert (face["score"], face["mask"]) == pytest.approx((expected.score, expected.mask), abs=5e-5)
            assert face["label"] == expected.label.value


def test_the_verdict_is_the_most_prominent_faces(tmp_path: Path, tiny_bundle_path: Path) -> None:
    answer = maskwatch("classify", "--json", "--bundle", tiny_bundle_path, drawn_picture(tmp_path / "a.png", 1))
    record = checked(answer.out)
    first = record["faces"][0]
    assert record["label"] == first["label"]
    assert record["score"] == pytest.approx(max(first["mask"], 1 - first["mask"]))
    weights = [
        (face["box"][2] - face["box"][0]) * (face["box"][3] - face["box"][1]) * face["score"]
        for face in record["faces"]
    ]
    assert weights == sorted(weights, reverse=True)


def test_without_a_face_the_whole_picture_is_judged(tmp_path: Path) -> None:
    blind = replace(tiny_manifest().finder, score_threshold=1.0)
    bundle = tiny_bundle(tmp_path, finder=blind)
    answer = maskwatch("classify", "--json", "--bundle", bundle, drawn_picture(tmp_path / "a.png"))
    record = checked(answer.out)
    assert record["faces"] == []
    mask = load_pipeline(open_bundle(bundle)).classifier.picture(read_image(tmp_path / "a.png"))
    assert record["score"] == pytest.approx(max(mask, 1 - mask), abs=5e-5)


def test_a_bundle_without_a_finder_will_do(tmp_path: Path) -> None:
    members = {"classifier.tflite": tiny_members()["classifier.tflite"]}
    bundle = write_bundle(tmp_path, tiny_manifest(finder=None), members).path
    answer = maskwatch("classify", "--json", "--bundle", bundle, drawn_picture(tmp_path / "a.png"))
    assert answer.code == 0
    assert checked(answer.out)["faces"] == []


def test_text_is_a_line_a_picture(tmp_path: Path, tiny_bundle_path: Path) -> None:
    pictures = [drawn_picture(tmp_path / f"{seed}.png", seed) for seed in range(2)]
    answer = maskwatch("classify", "--bundle", tiny_bundle_path, *pictures)
    assert (answer.code, answer.err) == (0, "")
    for picture, line in zip(pictures, answer.lines, strict=True):
        assert re.fullmatch(rf"{re.escape(str(picture))}: with(out)?_mask 0\.\d\d \(\d+ faces?, \d+ masked\)", line)


def test_the_good_are_answered_and_each_bad_one_gets_a_line(tmp_path: Path, tiny_bundle_path: Path) -> None:
    first, last = drawn_picture(tmp_path / "first.png"), drawn_picture(tmp_path / "last.jpg")
    (tmp_path / "empty.jpg").touch()
    answer = maskwatch(
        "classify", "--json", "--bundle", tiny_bundle_path, first, tmp_path / "empty.jpg", tmp_path / "gone.jpg", last
    )
    assert answer.code == 1
    assert [checked(line)["path"] for line in answer.lines] == [str(first), str(last)]
    assert [line.split(" is ")[0] for line in answer.err.splitlines()] == [
        f"maskwatch: {tmp_path / 'empty.jpg'}",
        f"maskwatch: {tmp_path / 'gone.jpg'}",
    ]


def test_nothing_answered_exits_3(tmp_path: Path, tiny_bundle_path: Path) -> None:
    answer = maskwatch("classify", "--json", "--bundle", tiny_bundle_path, tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert (answer.code, answer.out) == (3, "")
    assert len(answer.err.splitlines()) == 2


def test_odd_file_names_are_answered(tmp_path: Path, tiny_bundle_path: Path) -> None:
    """A name that is no UTF-8 ended the call; a line break in a name broke one answer into two lines."""
    names = [b"caf\xe9.png", b"two\nlines.png", "größer 漢字.png".encode()]
    pictures = [drawn_picture(tmp_path / f"{index}.png", index) for index in range(3)]
    paths = [os.fsencode(tmp_path) + b"/" + name for name in names]
    for picture, path in zip(pictures, paths, strict=True):
        os.rename(picture, path)
    words = [os.fsdecode(path) for path in paths]
    answer = maskwatch("classify", "--json", "--bundle", tiny_bundle_path, *words)
    assert (answer.code, answer.err) == (0, "")
    assert [os.fsencode(checked(line)["path"]) for line in answer.lines] == paths
    answer = maskwatch("classify", "--bundle", tiny_bundle_path, *words)
    assert answer.code == 0
    assert [line.partition(".png: ")[0].removeprefix(f"{tmp_path}/") for line in answer.lines] == [
        "caf\\udce9",
        "two\\nlines",
        "größer 漢字",
    ]


def test_paths_stay_as_they_were_typed(tmp_path: Path, tiny_bundle_path: Path) -> None:
    drawn_picture(tmp_path / "a.png")
    answer = maskwatch("classify", "--json", "--bundle", tiny_bundle_path, "a.png", cwd=tmp_path)
    assert checked(answer.out)["path"] == "a.png"
