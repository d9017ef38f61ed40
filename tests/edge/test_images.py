"""Reading, writing and finding pictures: what users hand over, whole and broken."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch import images
from maskwatch.errors import ExitCode, ImageError, OperatorError
from maskwatch.images import MAX_PIXELS, find_media, read_image, write_image
from PIL import Image as PillowImage

SUFFIXES = (".jpg", ".png", ".webp", ".bmp")


def scene(width: int = 96, height: int = 64) -> np.ndarray:
    """Left half red, right half blue, with a gradient of green from top to bottom."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2, 0] = 220
    picture[:, width // 2 :, 2] = 220
    picture[..., 1] = np.linspace(0, 60, height, dtype=np.uint8)[:, None]
    return picture


def save(path: Path, picture: np.ndarray, mode: str | None = None, **options: object) -> Path:
    pillow = PillowImage.fromarray(picture)
    (pillow.convert(mode) if mode else pillow).save(path, **options)
    return path


def encoded(suffix: str) -> bytes:
    _, data = cv2.imencode(suffix, scene()[..., ::-1])
    return data.tobytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_format_reads_as_rgb(tmp_path: Path, suffix: str) -> None:
    picture = read_image(save(tmp_path / f"a{suffix}", scene()))
    assert picture.dtype == np.uint8
    assert picture.shape == (64, 96, 3)
    assert picture.flags.c_contiguous
    assert np.abs(picture[10, 10].astype(int) - scene()[10, 10]).max() < 25
    assert np.abs(picture[50, 90].astype(int) - scene()[50, 90]).max() < 25


def test_progressive_jpeg_with_a_thumbnail_inside_reads(tmp_path: Path) -> None:
    thumbnail = encoded(".jpg")
    exif = b"Exif\0\0" + thumbnail  # its end-of-image marker must not be taken for the picture's
    path = save(tmp_path / "a.jpg", scene(), progressive=True, exif=exif)
    assert read_image(path).shape == (64, 96, 3)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ImageError, match="cut off"):
        read_image(path)


def test_greyscale_becomes_three_equal_channels(tmp_path: Path) -> None:
    picture = read_image(save(tmp_path / "a.jpg", scene(), mode="L"))
    assert picture.shape == (64, 96, 3)
    assert (picture[..., 0] == picture[..., 2]).all()


def test_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    red = np.full((64, 64, 3), (255, 0, 0), np.uint8)
    picture = read_image(save(tmp_path / "a.jpg", red, mode="CMYK"))
    assert np.abs(picture.astype(int) - red).max() < 10


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), scene()[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(path), scene())


def test_transparency_is_dropped(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.dstack([scene(), np.full((64, 96), 99, np.uint8)]))
    np.testing.assert_array_equal(read_image(path), scene())


def test_palette_png_reads(tmp_path: Path) -> None:
    picture = read_image(save(tmp_path / "a.png", scene(), mode="P"))
    assert picture[10, 10, 0] > 150 > picture[10, 10, 2]


@pytest.mark.parametrize(("orientation", "turned"), [(3, 2), (6, 3), (8, 1)])
def test_exif_orientation_turns_the_picture_upright(tmp_path: Path, orientation: int, turned: int) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    picture = read_image(save(tmp_path / "a.jpg", scene(), exif=exif, quality=95, subsampling=0))
    expected = np.rot90(scene(), turned)
    assert picture.shape == expected.shape
    assert np.abs(picture.astype(int) - expected).mean() < 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"hello, I am text", "not a picture"),
        (b"GIF89a" + bytes(50), "not a picture"),
        (b"\xff\xd8", "cut off"),
        (b"\x89PNG\r\n\x1a\n", "cut off"),
        (b"BM", "cut off"),
        (b"RIFF\x00\x10\x00\x00WEBPVP8 ", "cut off"),
    ],
)
def test_what_is_no_picture_gets_one_clear_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=words) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == ExitCode.OPERATOR


def test_missing_file_folder_and_device_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="not there"):
        read_image(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match="not a file"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="not a file"):
        read_image(Path("/dev/zero"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9, 0.98])
def test_truncated_file_is_refused_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, kept: float
) -> None:
    """OpenCV decodes half of a JPEG, leaves the rest grey, and says so on stderr only."""
    data = encoded(suffix)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ImageError):
        read_image(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_file_reads_or_is_refused_but_never_chatters(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str
) -> None:
    random = np.random.default_rng(3)
    whole = np.frombuffer(encoded(suffix), np.uint8)
    path = tmp_path / f"a{suffix}"
    refused = 0
    for _ in range(120):
        damaged = whole.copy()
        places = random.integers(0, min(len(damaged), 4000), 4)
        damaged[places] = random.integers(0, 256, 4)
        path.write_bytes(damaged.tobytes())
        try:
            assert read_image(path).ndim == 3
        except ImageError:
            refused += 1
    assert refused > 0
    assert capfd.readouterr().err == ""


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"BM", b""]))
def test_any_bytes_are_a_size_or_no_picture_or_cut_off(rest: bytes, start: bytes) -> None:
    try:
        size = images._picture_size(start + rest)
    except images._CutOffError:
        return
    assert size is None or (min(size) >= 0 and max(size) <= 2**32)


@settings(deadline=None)
@given(st.integers(16, 70), st.integers(16, 70), st.sampled_from(SUFFIXES))
def test_header_states_what_the_decoder_gives(width: int, height: int, suffix: str) -> None:
    _, data = cv2.imencode(suffix, np.zeros((height, width, 3), np.uint8))
    assert images._picture_size(data.tobytes()) == (width, height)


@pytest.mark.parametrize(("options", "suffix"), [({"lossless": True}, ".webp"), ({"exif": b"Exif\0\0MM"}, ".webp")])
def test_header_of_lossless_and_extended_webp(tmp_path: Path, options: dict[str, object], suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", scene(50, 40), **options)
    assert images._picture_size(path.read_bytes()) == (50, 40)


def test_tiny_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"1×1 pixels.*at least 16×16"):
        read_image(save(tmp_path / "a.png", np.zeros((1, 1, 3), np.uint8)))
    with pytest.raises(ImageError, match="200×15"):
        read_image(save(tmp_path / "b.png", np.zeros((15, 200, 3), np.uint8)))
    assert read_image(save(tmp_path / "c.png", np.zeros((16, 16, 3), np.uint8))).shape == (16, 16, 3)


def test_fifty_megapixels_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> None:
        pytest.fail("a picture beyond the bound was decoded")

    path = tmp_path / "a.png"
    header = struct.pack(">II", 8660, 5774) + b"\x08\x02\0\0\0"
    path.write_bytes(
        images._PNG_SIGNATURE + struct.pack(">I", 13) + b"IHDR" + header + bytes(4) + bytes(4) + b"IEND" + bytes(4)
    )
    monkeypatch.setattr(images.cv2, "imdecode", decode)
    with pytest.raises(ImageError, match=r"8660×5774 pixels, over 40 megapixels"):
        read_image(path)


def test_largest_allowed_picture_reads(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5)
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.zeros((side, side, 3), np.uint8))
    assert read_image(path).shape == (side, side, 3)


def test_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.truncate(images.MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match="128 MiB"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".PNG"])
def test_written_picture_reads_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, scene())
    np.testing.assert_array_equal(read_image(path), scene())
    assert os.listdir(tmp_path) == [path.name]


def test_failed_write_keeps_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(path, scene())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(images.os, "fsync", full)
    with pytest.raises(OperatorError, match="No space left on device"):
        write_image(path, np.zeros((20, 20, 3), np.uint8))
    np.testing.assert_array_equal(read_image(path), scene())
    assert os.listdir(tmp_path) == ["a.png"]


def test_write_refuses_an_unknown_format_and_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"\.jpg or \.png"):
        write_image(tmp_path / "a.doc", scene())
    with pytest.raises(OperatorError, match="cannot be written"):
        write_image(tmp_path / "nowhere" / "a.png", scene())


def test_find_media_lists_pictures_and_videos_sorted(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".cache").mkdir()
    wanted = ["b.JPG", "deep/a.png", "deep/er/c.mp4", "z.webp"]
    for name in [*wanted, "notes.txt", "._b.jpg", ".cache/x.png"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert [str(path.relative_to(tmp_path)) for path in find_media(tmp_path)] == wanted


def test_find_media_takes_a_file_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "no-suffix"
    path.touch()
    assert find_media(path) == [path]


def test_find_media_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds no picture or video"):
        find_media(tmp_path)
    with pytest.raises(ImageError, match="not there"):
        find_media(tmp_path / "nowhere")
