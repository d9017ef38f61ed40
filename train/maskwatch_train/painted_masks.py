"""Paints masks onto bare faces: worn properly, below the nose, on the chin, or hanging from an ear.

Few photographs show a badly worn mask, and those that show a bare face show no mask at all. Painted, the same face is
seen with and without, and only the way it is worn tells the label.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
from cv2.typing import MatLike
from maskwatch.types import Box
from numpy.random import Generator

from maskwatch_train.face_layout import Layout, lay_out, paintable
from maskwatch_train.mask_fabrics import Floats, Surface, as_seen, fabric, light_on, random_colour, relief


class Wearing(Enum):
    """How a mask is worn."""

    WORN = "worn"
    BELOW_NOSE = "below_nose"
    ON_CHIN = "on_chin"
    FROM_EAR = "from_ear"

    @property
    def label(self) -> int:
        """1 for a mask over mouth and nose, 0 otherwise."""
        return int(self is Wearing.WORN)


SHARES: tuple[tuple[Wearing, float], ...] = (
    (Wearing.WORN, 0.45),
    (Wearing.BELOW_NOSE, 0.3),
    (Wearing.ON_CHIN, 0.2),
    (Wearing.FROM_EAR, 0.05),
)
"""How often `paint_mask` chooses each."""

HIGHEST_BELOW_NOSE_V = 0.66
"""A mask below the nose starts no higher than this: under the nostrils."""

LOOPS_SHARE = 0.7
"""How often ear loops are seen."""

ROOM_PX = 5
SHADOW_PX = 3


@dataclass(frozen=True, slots=True)
class Outline:
    """A mask's edges in pixels: middle line, sides, and for both long edges their row at the middle and at the sides.

    Between middle and side an edge follows |u| to a power; `slope` is rows down a column, for a tilted head.
    """

    middle_x: float
    left_x: float
    right_x: float
    top_y: float
    top_side_y: float
    bottom_y: float
    bottom_side_y: float
    top_power: float
    bottom_power: float
    slope: float


def paint_mask(image: MatLike, face: Box, rng: Generator, wearing: Wearing | None = None) -> tuple[MatLike, int]:
    """Paint a mask onto the bare face in `face`, in the picture's pixels; by chance as SHARES has it, or as told.

    Returns the H×W×3 uint8 picture and its label: 1 worn over mouth and nose, 0 not. A face that is too small, or
    mostly outside the picture, comes back as it is, with label 0.
    """
    if wearing is None:
        wearing = SHARES[rng.choice(len(SHARES), p=[share for _, share in SHARES])][0]
    if not paintable(image, face):
        return image, 0
    layout = lay_out(image, face)
    surgical = rng.random() < 0.5
    outline = _outline(layout, wearing, surgical, rng)
    return _paint(image, layout, outline, wearing, surgical, rng), wearing.label


def _outline(layout: Layout, wearing: Wearing, surgical: bool, rng: Generator) -> Outline:
    """Edges of a mask, in shares of the face's box first: u across and v down."""
    left, right = rng.normal(0.06, 0.03), 1 - rng.normal(0.06, 0.03)
    middle = np.clip(0.5 + (layout.mouth_u - 0.5) * rng.uniform(0.8, 1.2) + rng.normal(0, 0.02), 0.28, 0.72)
    drop = layout.mouth_v - 0.77
    top_power, bottom_power = rng.uniform(1.2, 2.2), rng.uniform(1.8, 3.5)
    if wearing is Wearing.WORN:
        top = np.clip(0.485 + drop + rng.normal(0, 0.025), 0.455, 0.535)
        sag, bottom = rng.uniform(0.03, 0.14), rng.uniform(0.97, 1.1)
    elif wearing is Wearing.BELOW_NOSE:
        top = np.clip(layout.mouth_v - rng.uniform(0.06, 0.1), HIGHEST_BELOW_NOSE_V, 0.72)
        sag, bottom = rng.uniform(0.0, 0.08), rng.uniform(1.02, 1.16)
    elif wearing is Wearing.ON_CHIN:
        top = layout.mouth_v + rng.uniform(0.09, 0.2)
        sag, bottom = rng.uniform(-0.12, 0.02), top + rng.uniform(0.14, 0.34)
    else:  # from an ear: narrow, at a side of the face
        top, sag, bottom = rng.uniform(0.5, 0.62), rng.uniform(-0.02, 0.02), rng.uniform(0.95, 1.2)
        middle, half = rng.uniform(-0.12, 0.03), rng.uniform(0.1, 0.2)
        middle = middle if rng.random() < 0.5 else 1 - middle
        left, right = middle - half, middle + half
    side_top = top + sag
    if surgical:
        side_bottom = max(bottom - rng.uniform(0.12, 0.25), side_top + 0.1)
    else:
        side_bottom = max(bottom - rng.uniform(0.2, 0.38), side_top + 0.05)
        if wearing is Wearing.WORN:
            top_power = rng.uniform(0.9, 1.6)
    slope = float(np.clip(rng.normal(0, 0.05), -0.12, 0.12)) if wearing is not Wearing.FROM_EAR else rng.normal(0, 0.3)
    return Outline(
        layout.x(float(middle)), layout.x(left), layout.x(right), layout.y(float(top)), layout.y(side_top),
        layout.y(bottom), layout.y(side_bottom), top_power, bottom_power, slope,
    )  # fmt: skip


def _paint(
    image: MatLike, layout: Layout, outline: Outline, wearing: Wearing, surgical: bool, rng: Generator
) -> MatLike:
    height, width = image.shape[:2]
    tilt_px = abs(outline.slope) * (outline.right_x - outline.left_x)
    left, right = min(outline.left_x, layout.box.xmin), max(outline.right_x, layout.box.xmax)
    top, bottom = min(outline.top_y - tilt_px, layout.y(0.45)), max(outline.bottom_y, outline.bottom_side_y) + tilt_px
    x0, x1 = max(0, int(left) - ROOM_PX), min(width, int(right) + ROOM_PX)
    y0, y1 = max(0, int(top) - ROOM_PX), min(height, int(bottom) + ROOM_PX)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return image
    patch = image[y0:y1, x0:x1]
    surface = _surface(outline, np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32))
    relative, strength = light_on(patch, rng)
    colour = random_colour(rng)
    cloth = fabric(surface, colour, 0.12 if surgical else 0.4, layout.box.width / 3, rng)
    cloth *= relief(surface, surgical, rng)[:, :, None]

    softness = rng.uniform(0.5, 1.0)
    shaded = cv2.GaussianBlur(as_seen(cloth, patch, strength) * relative, (0, 0), softness)
    alpha = np.clip(surface.inside_px + np.float32(0.5), 0, 1)
    lower = np.zeros_like(alpha)
    lower[SHADOW_PX:] = alpha[:-SHADOW_PX]
    shadow = cv2.GaussianBlur(lower, (0, 0), 2.0) * np.clip(surface.down * 4 - 2, 0, 1)  # on chin and neck alone
    ground = patch * (1 - np.float32(rng.uniform(0.1, 0.45)) * shadow)[:, :, None]
    if rng.random() < LOOPS_SHARE:
        loops = colour if rng.random() < 0.5 else np.full(3, rng.choice([240, 235, 30]), np.float32)
        _loops(ground, layout, outline, wearing, (x0, y0), as_seen(loops, patch, strength), rng)
    mixed = ground + (shaded - ground) * cv2.GaussianBlur(alpha, (0, 0), softness)[:, :, None]
    painted = image.copy()
    painted[y0:y1, x0:x1] = np.clip(mixed, 0, 255).astype(np.uint8)
    return painted


def _surface(outline: Outline, x: Floats, y: Floats) -> Surface:
    """Where each pixel of columns `x` and rows `y` lies on the mask."""
    away = x[None, :] - np.float32(outline.middle_x)
    reach = np.where(away < 0, outline.middle_x - outline.left_x, outline.right_x - outline.middle_x)
    u = away / np.maximum(reach, 1)
    far, tilt = np.minimum(np.abs(u), 1), outline.slope * away
    top = outline.top_y + (outline.top_side_y - outline.top_y) * far**outline.top_power + tilt
    bottom = outline.bottom_y + (outline.bottom_side_y - outline.bottom_y) * far**outline.bottom_power + tilt
    depth = y[:, None] - top
    inside = np.minimum(np.minimum(depth, bottom - y[:, None]), np.minimum(x - outline.left_x, outline.right_x - x))
    values = (u, depth / np.maximum(bottom - top, 1), depth, inside)
    return Surface(*(np.asarray(value, np.float32) for value in values))


def _loops(
    ground: Floats,
    layout: Layout,
    outline: Outline,
    wearing: Wearing,
    origin: tuple[int, int],
    colour: Floats,
    rng: Generator,
) -> None:
    """Draw ear loops into a float patch, from the mask's corners to where the ears are."""
    corners = ((outline.left_x, -1.0), (outline.right_x, 1.0))
    for corner_x, side in corners:
        if wearing is Wearing.FROM_EAR and (side > 0) != (outline.middle_x > layout.x(0.5)):
            continue
        tilt = outline.slope * (corner_x - outline.middle_x)
        ear_x = layout.x(0.5 + side * rng.uniform(0.49, 0.54))
        ear_y = layout.y(rng.uniform(0.47, 0.56))
        for edge_y in (outline.top_side_y, outline.bottom_side_y):
            points = np.array([[corner_x, edge_y + tilt], [ear_x, ear_y]]) - origin
            start, end = (tuple(int(value) for value in np.round(point * 16)) for point in points)
            cv2.line(ground, start, end, tuple(map(float, colour)), 1, cv2.LINE_AA, 4)
