"""Pictures and videos as a camera: order, time, and what is broken among them."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from maskwatch.cameras.fake import noise_picture
from maskwatch.cameras.files import FilesCamera
from maskwatch.config import CameraSettings
from maskwatch.errors import ImageError
from maskwatch.types import Frame

SETTINGS = CameraSettings(frames_per_second=4.0)
RED_RGB = (230, 20, 20)


def play(path: Path) -> list[Frame]:
    camera = FilesCamera(path, SETTINGS, clock=lambda: 100.0)
    camera.open()
    frames = []
    while (frame := camera.read(1)) is not None:
        frames.append(frame)
    camera.close()
    return frames


def save(path: Path, width: int = 64) -> Path:
    cv2.imwrite(str(path), np.full((48, width, 3), RED_RGB[::-1], np.uint8))
    return path


def save_video(path: Path, frames: int, fps: float = 5.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (64, 48))
    for _ in range(frames):
        writer.write(np.full((48, 64, 3), RED_RGB[::-1], np.uint8))
    writer.release()
    return path


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    (frame,) = play(save(tmp_path / "a.png"))
    assert tuple(frame.image[0, 0]) == RED_RGB
    assert frame.captured_s == 100.0


def test_a_folder_plays_in_order_at_the_settings_pace(tmp_path: Path) -> None:
    for name, width in (("c.png", 96), ("a.png", 64), ("b.png", 80)):
        save(tmp_path / name, width)
    frames = play(tmp_path)
    assert [frame.width_px for frame in frames] == [64, 80, 96]
    assert [frame.captured_s for frame in frames] == [100.0, 100.25, 100.5]


def test_a_video_keeps_its_own_time_and_colours(tmp_path: Path) -> None:
    frames = play(save_video(tmp_path / "a.avi", 5))
    assert np.allclose([frame.captured_s for frame in frames], [100.0, 100.2, 100.4, 100.6, 100.8], atol=0.01)
    assert np.abs(frames[0].image.astype(int) - RED_RGB).max() < 12


def test_time_goes_on_from_file_to_file(tmp_path: Path) -> None:
    save_video(tmp_path / "a.avi", 3)
    save(tmp_path / "b.png")
    save_video(tmp_path / "c.avi", 2)
    times = np.diff([frame.captured_s for frame in play(tmp_path)])
    assert len(times) == 5
    assert (times > 0.1).all()


def test_a_broken_file_in_a_folder_is_logged_and_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.mp4").write_bytes(b"no video")
    save(tmp_path / "d.png")
    with caplog.at_level(logging.WARNING):
        assert [frame.index for frame in play(tmp_path)] == [0, 1]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "b.png is empty" in messages[0]
    assert "c.mp4 cannot be played" in messages[1]


def test_a_folder_of_broken_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"none of its 2 files.*a\.png is empty"):
        play(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
@pytest.mark.parametrize("content", [b"", b"rubbish", b"\0\0\0\x18ftypmp42" + bytes(60)])
def test_the_one_file_given_must_be_readable(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImageError, match=name):
        play(path)
    assert capfd.readouterr().err == ""


def test_a_truncated_video_is_refused_or_plays_what_is_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (64, 48))
    for index in range(10):
        writer.write(noise_picture(index))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    capfd.readouterr()
    assert 0 < len(play(path)) < 10
    assert capfd.readouterr().err == ""


def test_nothing_there_is_said_on_opening(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="not there"):
        FilesCamera(tmp_path / "nowhere", SETTINGS).open()
    with pytest.raises(ImageError, match="holds no picture"):
        FilesCamera(tmp_path, SETTINGS).open()
