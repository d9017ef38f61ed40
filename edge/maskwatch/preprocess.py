"""Pictures to network inputs: letterbox, face crop, quantise. The one copy, for training and serving alike."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from maskwatch.types import Box, Image

PADDING_GREY = 114
"""Grey level of letterbox bars: near the mean of photographs, so that a bar's edge is no strong feature."""


MOST_BARRED_SIZES = 8
"""A square that reaches out of its picture is shrunk before bars are added to it, if its side is at least twice this
many times the size asked for; a bar's edge then lies within an eighth of an output pixel of its place."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a picture was fitted into a network's input: input = picture × scale + offset."""

    scale_x: float
    scale_y: float
    offset_x_px: int
    offset_y_px: int

    def boxes_to_picture(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Map boxes N×4 (xmin, ymin, xmax, ymax) from input pixels back to picture pixels."""
        offset = np.array([self.offset_x_px, self.offset_y_px] * 2, np.float32)
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        return (boxes - offset) / scale

    def boxes_to_input(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Map boxes N×4 (xmin, ymin, xmax, ymax) from picture pixels to input pixels."""
        offset = np.array([self.offset_x_px, self.offset_y_px] * 2, np.float32)
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        return boxes * scale + offset


def resize(image: Image, height_px: int, width_px: int) -> Image:
    """Resize to exactly height×width: halved as often as that shrinks far enough, then bilinear.

    Halving averages pairs (no aliasing), several times faster than INTER_AREA by any other factor. An odd last row or
    column is left out, which moves what lies next to it by less than one pixel of the result.
    """
    while image.shape[0] >= 2 * height_px or image.shape[1] >= 2 * width_px:
        down, across = 1 + (image.shape[0] >= 2 * height_px), 1 + (image.shape[1] >= 2 * width_px)
        half_height, half_width = image.shape[0] // down, image.shape[1] // across
        even = image[: half_height * down, : half_width * across]
        image = cv2.resize(even, (half_width, half_height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    if image.shape[:2] != (height_px, width_px):
        image = cv2.resize(image, (width_px, height_px)).astype(np.uint8, copy=False)
    return image


def letterbox(image: Image, height_px: int, width_px: int) -> tuple[Image, Letterbox]:
    """Fit a picture into height×width, aspect ratio kept, grey bars at the edges.

    Returns the height×width×3 uint8 input and the mapping between it and the picture.
    """
    scale = min(height_px / image.shape[0], width_px / image.shape[1])
    inner_height = max(1, min(height_px, round(image.shape[0] * scale)))
    inner_width = max(1, min(width_px, round(image.shape[1] * scale)))
    top, left = (height_px - inner_height) // 2, (width_px - inner_width) // 2
    mapping = Letterbox(inner_width / image.shape[1], inner_height / image.shape[0], left, top)
    inner = resize(image, inner_height, inner_width)
    if (inner_height, inner_width) == (height_px, width_px):
        return inner, mapping
    canvas = np.full((height_px, width_px, 3), PADDING_GREY, np.uint8)
    canvas[top : top + inner_height, left : left + inner_width] = inner
    return canvas, mapping


def square_around(box: Box, margin_ratio: float) -> Box:
    """The square centred on a box whose side is the box's longer side times (1 + margin_ratio)."""
    centre_x, centre_y = box.centre
    half = max(box.width, box.height, 1.0) * (1 + margin_ratio) / 2
    return Box(centre_x - half, centre_y - half, centre_x + half, centre_y + half)


def crop_square(image: Image, square: Box, size_px: int) -> Image:
    """Cut a square out of a picture and resize it to size×size×3; what lies outside the picture repeats its edge.

    A square wholly outside has the one colour of the picture's pixel next to the square's top left corner.
    """
    left, top = round(square.xmin), round(square.ymin)
    side = max(1, round(square.width))
    right, bottom = left + side, top + side
    height, width = image.shape[:2]
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if inside.size == 0:
        nearest = image[min(max(top, 0), height - 1), min(max(left, 0), width - 1)]
        return np.broadcast_to(nearest, (size_px, size_px, 3)).astype(np.uint8)
    bars = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    if any(bars):
        # A face as large as a 40-megapixel picture would need hundreds of megabytes for its bars: shrink it first.
        coarse = max(1, side // (MOST_BARRED_SIZES * size_px))
        inside = resize(inside, max(1, inside.shape[0] // coarse), max(1, inside.shape[1] // coarse))
        above, below, before, after = (bar // coarse for bar in bars)
        padded = cv2.copyMakeBorder(inside, above, below, before, after, cv2.BORDER_REPLICATE)
        inside = padded.astype(np.uint8, copy=False)
    return resize(inside, size_px, size_px)


def crop_face(image: Image, box: Box, size_px: int, margin_ratio: float) -> Image:
    """Cut a face with some of its surroundings, as the classifier sees it: size×size×3 uint8."""
    return crop_square(image, square_around(box, margin_ratio), size_px)


def whole_picture(image: Image, size_px: int) -> Image:
    """A whole picture as a classifier's input, stretched to size×size×3 uint8, as the original method does."""
    return resize(image, size_px, size_px)


def quantise(
    values: npt.NDArray[np.uint8], scale: float, zero_point: int, dtype: npt.DTypeLike
) -> npt.NDArray[np.generic]:
    """Turn raw bytes (0 to 255) into a network's input tensor: rounded and clipped, never wrapped.

    Float networks take the bytes as they are. The usual int8 input (scale 1, zero point −128) is one XOR a byte.
    """
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return values.astype(kind)
    if kind == np.int8 and scale == 1.0 and zero_point == -128:
        return (values ^ np.uint8(0x80)).view(np.int8)
    if kind == np.uint8 and scale == 1.0 and zero_point == 0:
        return values
    limits = np.iinfo(kind)
    levels = np.rint(values.astype(np.float32) / scale) + zero_point
    clipped: npt.NDArray[np.generic] = np.clip(levels, limits.min, limits.max).astype(kind)
    return clipped
