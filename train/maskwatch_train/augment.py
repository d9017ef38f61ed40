"""What augmentation does to a picture: the method's flip, rotation, zoom and shift, and what a door camera adds.

Each step is a plain function of an H×W×3 uint8 RGB picture and a generator, and returns a picture of the same shape.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
from cv2.typing import MatLike
from maskwatch.types import Image
from numpy.random import Generator

Step = Callable[[MatLike, Generator], MatLike]


def _bytes(values: MatLike) -> Image:
    return np.clip(values, 0, 255).astype(np.uint8)


@functools.cache
def _grain_field() -> MatLike:
    """Normal noise that grain is cut from: drawing it anew for every picture would cost more than all other steps."""
    return np.random.default_rng(0).standard_normal((768, 1024, 3), np.float32)


def _grain(image: MatLike, deviation: float, rng: Generator) -> MatLike:
    field = _grain_field()
    height, width = image.shape[:2]
    if height > field.shape[0] or width > field.shape[1]:
        return np.multiply(rng.standard_normal(image.shape, np.float32), np.float32(deviation))
    top, left = (int(rng.integers(room + 1)) for room in (field.shape[0] - height, field.shape[1] - width))
    part = field[top : top + height, left : left + width]
    return np.multiply(part, np.float32(deviation * rng.choice((-1, 1))))


def flip(image: MatLike, rng: Generator) -> MatLike:
    """Mirror left and right, half of the time."""
    return np.ascontiguousarray(image[:, ::-1]) if rng.random() < 0.5 else image


def rotate_zoom_shift(
    image: MatLike,
    rng: Generator,
    *,
    size_px: int | None = None,
    core_ratio: float = 1.0,
    degrees: float = 9.0,
    zoom: float = 0.3,
    shift: float = 0.2,
) -> MatLike:
    """Cut out a picture's middle, rotated, zoomed and shifted at random in one go; new corners repeat the edge.

    Without any of it the result is the middle `core_ratio` of each side, as `size_px` squared (None: the picture's own
    size). `degrees` is the rotation's standard deviation; the zoom's logarithm lies evenly within ±`zoom`; the shift
    has a standard deviation of 0.4 × `shift` and stays within ±`shift`, a share of the result's side.
    """
    height, width = image.shape[:2]
    wanted = np.array([width, height] if size_px is None else [size_px, size_px])
    scale = wanted[0] / (width * core_ratio) * np.exp(rng.uniform(-zoom, zoom))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal(0, degrees), scale)
    shift_px = rng.normal(0, 0.4 * shift, 2).clip(-shift, shift) * wanted
    matrix[:, 2] += np.asarray((wanted - [width, height]) / 2 + shift_px)
    size = (int(wanted[0]), int(wanted[1]))
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def exposure(image: MatLike, rng: Generator) -> MatLike:
    """Brightness, contrast and gamma of another exposure: a dim hallway as well as a sunlit door."""
    levels = np.arange(256, dtype=np.float32) / 255
    levels = levels ** np.exp(rng.normal(0, 0.3))
    levels = (levels - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.08)
    return cv2.LUT(image, _bytes(levels * 255))


def dark(image: MatLike, rng: Generator) -> MatLike:
    """A door at night: little light, and the sensor noise that a high gain brings."""
    gain = rng.uniform(0.15, 0.5)
    return _bytes(image * gain + _grain(image, rng.uniform(2, 9), rng))


def backlit(image: MatLike, rng: Generator) -> MatLike:
    """A bright doorway behind a person: light spills from one side, the rest falls into shade."""
    height, width = image.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    across = np.cos(angle) * np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    down = np.sin(angle) * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    glow = np.clip(across + down, -1, 1)[:, :, None]
    shade, spill = rng.uniform(0.35, 0.9), 110 * rng.random()
    return _bytes(image * shade * (1 + 0.5 * glow) + spill * np.maximum(glow, 0))


def blur(image: MatLike, rng: Generator) -> MatLike:
    """Out of focus, or moving: a Gaussian or a straight streak; a few pixels, so that small faces stay faces."""
    reach = min(1.2, max(image.shape[:2]) / 80)
    if rng.random() < 0.5:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6) * reach)
    length = max(3, int(rng.uniform(3, 7) * reach) | 1)
    streak = np.zeros((length, length), np.float32)
    streak[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length // 2, length // 2), rng.uniform(0, 180), 1)
    kernel = cv2.warpAffine(streak, turn, (length, length))
    return cv2.filter2D(image, -1, np.divide(kernel, max(float(kernel.sum()), 1e-6), dtype=np.float32))


def low_resolution(image: MatLike, rng: Generator) -> MatLike:
    """A face far away, or a cheap lens: shrunk, then enlarged again."""
    height, width = image.shape[:2]
    factor = rng.uniform(0.25, 0.7)
    small = cv2.resize(image, (max(8, int(width * factor)), max(8, int(height * factor))), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])))


def jpeg(image: MatLike, rng: Generator) -> MatLike:
    """Compressed hard, as a USB camera's MJPG stream is."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 75))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def noise(image: MatLike, rng: Generator) -> MatLike:
    """Sensor noise."""
    return _bytes(image + _grain(image, rng.uniform(2, 12), rng))


def colour_cast(image: MatLike, rng: Generator) -> MatLike:
    """A wrong white balance: warm lamps, green tubes, strong yellow light."""
    gains = np.exp(rng.normal(0, 0.16, 3))
    if rng.random() < 0.25:  # sodium or warm LED light takes most of the blue away
        gains *= (1.15, 1.0, rng.uniform(0.35, 0.8))
    levels = np.arange(256, dtype=np.float32)[:, None] * gains
    return cv2.LUT(image, _bytes(levels)[None])


def saturation(image: MatLike, rng: Generator) -> MatLike:
    """Paler or stronger colours."""
    share = rng.uniform(0.2, 1.7)
    return cv2.addWeighted(image, share, greyscale(image, rng), 1 - share, 0)


def greyscale(image: MatLike, rng: Generator) -> MatLike:
    """A monochrome or infrared camera."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def occlude(image: MatLike, rng: Generator) -> MatLike:
    """A plain patch over a part of the picture that is too small to hide the matter (Zhong et al. 2020)."""
    height, width = image.shape[:2]
    patch_height, patch_width = (int(side * rng.uniform(0.05, 0.25)) for side in (height, width))
    top, left = int(rng.integers(0, height - patch_height + 1)), int(rng.integers(0, width - patch_width + 1))
    patched = image.copy()
    patched[top : top + patch_height, left : left + patch_width] = rng.integers(0, 256, 3)
    return patched


CAMERA_STEPS: tuple[tuple[float, Step], ...] = (
    (0.6, exposure),
    (0.3, colour_cast),
    (0.3, saturation),
    (0.1, greyscale),
    (0.12, backlit),
    (0.1, dark),
    (0.2, low_resolution),
    (0.2, blur),
    (0.15, noise),
    (0.25, jpeg),
)
"""What happens on the way from the light to the file, in that order, each with its probability."""


def door_camera(image: MatLike, rng: Generator) -> Image:
    """Take a picture through a random door camera."""
    for probability, step in CAMERA_STEPS:
        if rng.random() < probability:
            image = step(image, rng)
    return image.astype(np.uint8, copy=False)
