from __future__ import annotations

import itertools
import re
from pathlib import Path

import cv2
import pytest
from maskwatch.bundle import open_bundle
from maskwatch.images import read_image
from maskwatch.pipeline import load_pipeline
from maskwatch.types import Frame
from maskwatch_convert.pack import write_bundle
from picture_answers import checked, drawn_picture
from real_command import Answer, maskwatch
from tiny_models import tiny_manifest, tiny_members

NO_FACE = frozenset({"no_face"})


def write_video(path: Path, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 120))
    assert writer.isOpened()
    for seed in range(frames):
        writer.write(cv2.imread(str(drawn_picture(path.with_name("frame.png"), seed))))
    writer.release()
    path.with_name("frame.png").unlink()
    return path


def detect(bundle: Path, *words: str | Path) -> Answer:
    return maskwatch("detect", "--json", "--bundle", bundle, *words)


def test_json_is_one_object_a_line_to_the_letter_of_the_contract(tmp_path: Path, tiny_bundle_path: Path) -> None:
    pictures = [drawn_picture(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    answer = detect(tiny_bundle_path, *pictures)
    assert (answer.code, answer.err) == (0, "")
    pipeline = load_pipeline(open_bundle(tiny_bundle_path))
    for picture, line in zip(pictures, answer.lines, strict=True):
        record = checked(line)
        assert (record["path"], record["width"], record["height"]) == (str(picture), 160, 120)
        faces = pipeline.faces(Frame(read_image(picture), 0.0))
        assert [face["mask"] for face in record["faces"]] == pytest.approx([face.mask for face in faces], abs=5e-5)
        assert [face["score"] for face in record["faces"]] == pytest.approx([face.score for face in faces], abs=5e-5)
        assert record["label"] == faces[0].label.value
        assert record["score"] == pytest.approx(max(faces[0].mask, 1 - faces[0].mask), abs=5e-5)


def test_no_face_is_said_so(tmp_path: Path, tiny_bundle_path: Path) -> None:
    picture = drawn_picture(tmp_path / "a.png")
    record = checked(detect(tiny_bundle_path, "--min-score", "1", picture).out, NO_FACE)
    assert (record["label"], record["score"], record["faces"]) == ("no_face", 0.0, [])
    text = maskwatch("detect", "--bundle", tiny_bundle_path, "--min-score", "1", picture)
    assert text.out == f"{picture}: no_face 0.00 (no face)\n"


def test_min_score_takes_the_place_of_the_bundles(tmp_path: Path, tiny_bundle_path: Path) -> None:
    picture = drawn_picture(tmp_path / "a.png", seed=3)
    everything = checked(detect(tiny_bundle_path, "--min-score", "0", picture).out, NO_FACE)["faces"]
    scores = sorted({face["score"] for face in everything}, reverse=True)
    assert len(scores) > 2
    for number, (score, lower) in enumerate(itertools.pairwise(scores[:3]), start=1):
        record = checked(detect(tiny_bundle_path, "--min-score", f"{(score + lower) / 2}", picture).out, NO_FACE)
        assert len({face["score"] for face in record["faces"]}) == number


@pytest.mark.parametrize("bound", ["-0.1", "1.01", "nan", "inf", "half", ""])
def test_min_score_out_of_bounds_is_wrong_usage(bound: str, tmp_path: Path) -> None:
    answer = maskwatch("detect", f"--min-score={bound}", tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert f"--min-score: {bound} is not a number from 0 to 1" in answer.err


def test_a_folder_is_searched_in_depth_and_in_order(tmp_path: Path, tiny_bundle_path: Path) -> None:
    folder = tmp_path / "holiday"
    (folder / "beach").mkdir(parents=True)
    for name in ("b.png", "beach/a.jpg", "a.png"):
        drawn_picture(folder / name)
    (folder / "notes.txt").write_text("no picture")
    answer = detect(tiny_bundle_path, folder)
    assert (answer.code, answer.err) == (0, "")
    assert [checked(line)["path"] for line in answer.lines] == [
        str(folder / name) for name in ("a.png", "b.png", "beach/a.jpg")
    ]


def test_a_video_is_answered_frame_by_frame(tmp_path: Path, tiny_bundle_path: Path) -> None:
    video = write_video(tmp_path / "queue.avi", 4)
    answer = detect(tiny_bundle_path, video)
    assert (answer.code, answer.err) == (0, "")
    records = [checked(line, NO_FACE, further_keys=("frame",)) for line in answer.lines]
    assert [record["frame"] for record in records] == [0, 1, 2, 3]
    assert {(record["path"], record["width"], record["height"]) for record in records} == {(str(video), 160, 120)}
    text = maskwatch("detect", "--bundle", tiny_bundle_path, video)
    assert [line.partition(": ")[0] for line in text.lines] == [f"{video} frame {number}" for number in range(4)]


def test_text_counts_faces_and_masks(tmp_path: Path, tiny_bundle_path: Path) -> None:
    picture = drawn_picture(tmp_path / "a.png", seed=1)
    record = checked(detect(tiny_bundle_path, picture).out)
    masked = sum(face["label"] == "with_mask" for face in record["faces"])
    assert 0 < masked < len(record["faces"])
    answer = maskwatch("detect", "--bundle", tiny_bundle_path, picture)
    assert re.fullmatch(
        rf"{picture}: with(out)?_mask \d\.\d\d \({len(record['faces'])} faces, {masked} masked\)\n", answer.out
    )


def test_save_writes_annotated_pictures_that_lose_none(tmp_path: Path, tiny_bundle_path: Path) -> None:
    """Pictures of one name in two folders overwrote each other."""
    for name in ("door/a.png", "gate/a.png", "gate/night/a.png", "gate/night__a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        drawn_picture(tmp_path / name, seed=3)
    video = write_video(tmp_path / "queue.avi", 2)
    saved = tmp_path / "new" / "annotated"
    answer = detect(tiny_bundle_path, "--save", saved, tmp_path / "door", tmp_path / "gate", video)
    assert (answer.code, answer.err) == (0, "")
    assert len(answer.lines) == 6
    assert sorted(path.name for path in saved.iterdir()) == [
        "a.png.jpg",
        "a.png~2.jpg",
        "night__a.png.jpg",
        "night__a.png~2.jpg",
        "queue.avi-000000.jpg",
        "queue.avi-000001.jpg",
    ]
    annotated, plain = read_image(saved / "a.png.jpg"), read_image(tmp_path / "door" / "a.png")
    assert annotated.shape[1] >= plain.shape[1]
    assert annotated.shape != plain.shape or (abs(annotated.astype(int) - plain) > 60).any()


def test_save_to_what_is_no_folder_is_named_before_any_work(tmp_path: Path, tiny_bundle_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = detect(tiny_bundle_path, "--save", tmp_path / "file", drawn_picture(tmp_path / "a.png"))
    assert (answer.code, answer.out) == (3, "")
    assert answer.fault().startswith(f"{tmp_path / 'file'} cannot be made")


def test_the_good_are_answered_and_each_bad_one_gets_a_line(tmp_path: Path, tiny_bundle_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    drawn_picture(folder / "a.png")
    (folder / "b.jpg").write_bytes(b"\xff\xd8\xff")
    drawn_picture(folder / "c.png")
    (folder / "d.avi").write_bytes(b"RIFF, but no video")
    empty = tmp_path / "nothing"
    empty.mkdir()
    answer = detect(tiny_bundle_path, empty, folder, tmp_path / "gone")
    assert answer.code == 1
    assert [checked(line)["path"] for line in answer.lines] == [str(folder / "a.png"), str(folder / "c.png")]
    lines = answer.err.splitlines()
    for path, line in zip((empty, folder / "b.jpg", folder / "d.avi", tmp_path / "gone"), lines, strict=True):
        assert line.startswith(f"maskwatch: {path} ")


def test_nothing_answered_exits_3(tmp_path: Path, tiny_bundle_path: Path) -> None:
    (tmp_path / "a.avi").write_bytes(b"no video")
    answer = detect(tiny_bundle_path, tmp_path / "a.avi", tmp_path / "gone")
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (3, "", 2)


def test_a_bundle_without_a_finder_is_named(tmp_path: Path) -> None:
    members = {"classifier.tflite": tiny_members()["classifier.tflite"]}
    bundle = write_bundle(tmp_path, tiny_manifest(finder=None), members).path
    answer = detect(bundle, drawn_picture(tmp_path / "a.png"))
    assert (answer.code, answer.out) == (3, "")
    assert answer.fault() == f"{bundle} holds no face finder: `detect` needs one; `classify` does without"
