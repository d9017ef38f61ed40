"""Things that get before a face without being a mask: hands, cups, phones, scarves, neighbours, glasses, caps.

Each step is a plain function of an H×W×3 uint8 RGB picture, the face's box in its pixels and a generator, and returns a
picture of the same shape; a face too small to paint on, or mostly outside the picture, comes back as it is. `COVERS`
are for bare faces, whose label stays 0: not every covered mouth wears a mask. `ASIDES` leave nose and mouth as they
are, so that any label stays.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import cv2
import numpy as np
from cv2.typing import MatLike
from maskwatch.types import Box
from numpy.random import Generator

from maskwatch_train.drawing import Drawing
from maskwatch_train.face_layout import EYES_V, Layout, lay_out, paintable, skin_colour
from maskwatch_train.mask_fabrics import Floats, as_seen, light_on, print_of, random_colour, smooth_noise

Occluder = Callable[[MatLike, Box, Generator], MatLike]


def _thing_colour(image: MatLike, face: Box, rng: Generator) -> Floats:
    """A random colour in the light that falls on the face."""
    return as_seen(random_colour(rng), image, light_on(_around(image, face), rng)[1])


def _around(image: MatLike, face: Box) -> MatLike:
    inside = face.clipped(image.shape[1], image.shape[0])
    return image[int(inside.ymin) : int(np.ceil(inside.ymax)), int(inside.xmin) : int(np.ceil(inside.xmax))]


def _skin(image: MatLike, layout: Layout, rng: Generator) -> Floats:
    colour = skin_colour(image, layout) * rng.uniform(0.8, 1.12) * np.exp(rng.normal(0, 0.03, 3))
    return np.clip(colour, 12, 250).astype(np.float32)


def _side(rng: Generator) -> float:
    return -1.0 if rng.random() < 0.5 else 1.0


def hand(image: MatLike, face: Box, rng: Generator) -> MatLike:
    """A hand over mouth and chin, sometimes the nose too: a palm, four fingers and a forearm, skin as the face's."""
    if not paintable(image, face):
        return image
    layout, drawing = lay_out(image, face), Drawing(image)
    skin, size, side = _skin(image, layout, rng), face.height, _side(rng)
    rise = rng.uniform(-0.15, 1.35)  # radians of the fingers over the level
    along = np.array([-side * np.cos(rise), -np.sin(rise)])
    across = np.array([-along[1], along[0]]) * side
    mouth = np.array([layout.x(layout.mouth_u), layout.y(layout.mouth_v - rng.uniform(-0.06, 0.1))])
    thick, long = size * rng.uniform(0.095, 0.135), size * rng.uniform(0.36, 0.5)
    knuckles = mouth - along * size * rng.uniform(0.12, 0.3)
    palm = knuckles - along * size * 0.16

    wrist = palm - along * size * 0.3
    arm = _thing_colour(image, face, rng) if rng.random() < 0.5 else skin * np.float32(0.95)
    drawing.stroke(wrist, wrist - along * size * 2, size * 0.36, arm)
    degrees = float(np.degrees(np.arctan2(along[1], along[0])))
    drawing.ellipse(palm, (size * 0.3, size * 0.25), skin * np.float32(0.93), degrees=degrees)
    spread = rng.uniform(0.015, 0.125)
    fingers = [((n - 1.5) * thick * 0.95, long * (1 - 0.1 * abs(n - 1.3)), (n - 1.5) * spread) for n in range(4)]
    if rng.random() < 0.6:
        fingers.append((-2.6 * thick, long * 0.6, rng.uniform(-0.9, -0.1)))  # the thumb
    for offset, length, turn in fingers:
        direction = along * np.cos(turn) + across * np.sin(turn)
        root = knuckles + across * offset - along * size * 0.08
        drawing.finger(
            root, root + direction * (length + size * 0.08), thick, skin * np.float32(rng.uniform(0.95, 1.03))
        )
    return drawing.over(image, rng)


def cup(image: MatLike, face: Box, rng: Generator) -> MatLike:
    """A cup, glass or can at the mouth, often held by fingers."""
    if not paintable(image, face):
        return image
    layout, drawing = lay_out(image, face), Drawing(image)
    size, side = face.height, _side(rng)
    x, rim = layout.x(layout.mouth_u + rng.normal(0, 0.04)), layout.y(layout.mouth_v - rng.uniform(0.0, 0.09))
    half, foot = size * rng.uniform(0.15, 0.3), size * rng.uniform(0.12, 0.2)
    long, lean = size * rng.uniform(0.4, 0.7), rng.normal(0, 0.12) * size
    colour = _thing_colour(image, face, rng)
    opacity = 140 if rng.random() < 0.2 else 255  # some are of glass
    edges = np.linspace(-1, 1, 8)
    for a, b in itertools.pairwise(edges):  # shaded as a cylinder is
        tone = np.float32(1.05 - 0.4 * abs((a + b) / 2 - 0.25))
        top, bottom = (
            [(x + a * half, rim), (x + b * half, rim)],
            [(x + b * foot + lean, rim + long), (x + a * foot + lean, rim + long)],
        )
        drawing.polygon([*top, *bottom], colour * tone, opacity)
    drawing.ellipse((x, rim), (half, size * 0.03), colour * np.float32(rng.choice([0.6, 1.1])), opacity)
    if rng.random() < 0.7:
        skin, thick = _skin(image, layout, rng), size * rng.uniform(0.09, 0.12)
        for finger in range(4):
            y = rim + long * 0.3 + finger * thick * 0.95
            tip = x - side * half * rng.uniform(0.1, 0.6), y
            drawing.finger((x + side * half * 1.4, y + size * 0.04), tip, thick, skin)
    return drawing.over(image, rng)


def phone(image: MatLike, face: Box, rng: Generator) -> MatLike:
    """A phone before mouth or cheek, as for a voice message or a call, in a hand."""
    if not paintable(image, face):
        return image
    layout, drawing = lay_out(image, face), Drawing(image)
    size, side = face.height, _side(rng)
    centre = np.array([layout.x(layout.mouth_u + side * rng.uniform(0, 0.3)), layout.y(rng.uniform(0.72, 0.95))])
    angle = side * rng.uniform(0.1, 1.4)
    along, across = np.array([np.sin(angle), -np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
    long, half = size * rng.uniform(0.26, 0.38), size * rng.uniform(0.11, 0.18)
    colour = _thing_colour(image, face, rng) if rng.random() < 0.5 else np.full(3, 28, np.float32)
    for shrink, tone in ((1.0, 0.6), (0.88, 1.0)):
        drawing.polygon(
            [
                centre + (along * long * down + across * half * aside) * shrink
                for down, aside in ((-1, -1), (-1, 1), (1, 1), (1, -1))
            ],
            colour * np.float32(tone),
        )
    skin, thick = _skin(image, layout, rng), size * rng.uniform(0.09, 0.12)
    for finger in range(4):
        root = centre - along * (long * 0.8 - finger * thick * 0.95) + across * side * half * 1.3
        drawing.finger(root, root - across * side * half * rng.uniform(0.9, 1.5), thick, skin)
    return drawing.over(image, rng)


def microphone(image: MatLike, face: Box, rng: Generator) -> MatLike:
    """A microphone's ball before the mouth, its stick leading down."""
    if not paintable(image, face):
        return image
    layout, drawing = lay_out(image, face), Drawing(image)
    size = face.height
    x, y = layout.x(layout.mouth_u + rng.normal(0, 0.08)), layout.y(layout.mouth_v + rng.uniform(-0.02, 0.12))
    radius = size * rng.uniform(0.1, 0.2)
    dark = np.full(3, rng.uniform(15, 70), np.float32)
    ball = _thing_colour(image, face, rng) if rng.random() < 0.4 else dark + 25
    drawing.stroke((x, y), (x + rng.normal(0, 0.4) * size, y + size * 1.2), radius * 0.9, dark)
    for shrink, tone in ((1.0, 0.75), (0.8, 0.95), (0.45, 1.2)):
        off = (1 - shrink) * radius * 0.4
        drawing.ellipse((x - off, y - off), (radius * shrink, radius * shrink), ball * np.float32(tone))
    return drawing.over(image, rng)


def scarf(image: MatLike, face: Box, rng: Generator) -> MatLike:
    """A scarf or collar from below, up to the chin or over the mouth; the nose stays free."""
    if not paintable(image, face):
        return image
    layout = lay_out(image, face)
    height, width = image.shape[:2]
    y0, x0, x1 = max(0, int(layout.y(0.6))), max(0, int(layout.x(-0.6))), min(width, int(layout.x(1.6)))
    if height - y0 < 4 or x1 - x0 < 4:
        return image
    patch = image[y0:, x0:x1]
    x, y = np.arange(x0, x1, dtype=np.float32)[None, :], np.arange(y0, height, dtype=np.float32)[:, None]
    u = (x - np.float32(layout.x(layout.mouth_u))) / np.float32(face.width / 2)
    start = rng.uniform(0.69, 0.98)
    rise = rng.uniform(-0.03, 0.1) if start > 0.8 else 0.0  # a collar stands higher at its sides
    top = start - rise * np.minimum(u**2, 2) + rng.normal(0, 0.04) * u
    drop = (y - np.float32(face.ymin) - np.maximum(top, 0.67) * np.float32(face.height)).astype(np.float32)
    reach = face.width * rng.uniform(0.62, 0.95)
    inside = np.minimum(drop, reach + drop / 2 - np.abs(x - np.float32(layout.x(0.5))))
    alpha = cv2.GaussianBlur(np.clip(inside + 0.5, 0, 1).astype(np.float32), (0, 0), 0.7)[:, :, None]

    colour = random_colour(rng)
    cloth = np.empty(patch.shape, np.float32)
    cloth[:] = colour
    if rng.random() < 0.6:
        share = print_of(np.broadcast_to(x, drop.shape), drop, rng)[:, :, None]
        cloth += (rng.uniform(0, 255, 3).astype(np.float32) - colour) * share * np.float32(rng.uniform(0.2, 1))
    folds = np.sin(drop / rng.uniform(2.5, 6) + u * rng.normal(0, 2) + smooth_noise(drop.shape, 25, rng))
    relief = 1 + rng.uniform(0.04, 0.2) * folds + 0.06 * smooth_noise(drop.shape, rng.uniform(2, 8), rng)
    relief = (relief * (1 - 0.12 * np.minimum(u**2, 2))).astype(np.float32)[:, :, None]
    shaded = cv2.GaussianBlur(as_seen(cloth, patch, light_on(_around(image, face), rng)[1]) * relief, (0, 0), 0.7)
    painted = image.copy()
    painted[y0:, x0:x1] = np.clip(patch + (shaded - patch) * alpha, 0, 255).astype(np.uint8)
    return painted


def neighbour(image: MatLike, face: Box, rng: Generator, other: MatLike | None = None) -> MatLike:
    """A neighbour's head or shoulder cutting in from a side, over up to 30 % of the face, never over its mouth.

    `other` is an H×W×3 picture with a head in its middle, such as another tile; without one the head is a smooth blob.
    """
    if not paintable(image, face):
        return image
    layout, side, share = lay_out(image, face), _side(rng), rng.uniform(0.1, 0.3)
    inner = layout.x(min(share, layout.mouth_u - 0.22) if side < 0 else max(1 - share, layout.mouth_u + 0.22))
    wide = face.width * rng.uniform(0.4, 0.75)
    x, y = inner + side * wide, layout.y(rng.uniform(0.2, 1.1))
    bottom, size = float(image.shape[0]), (image.shape[1], image.shape[0])
    if other is not None and rng.random() < 0.8:
        scale = wide / (0.24 * other.shape[1])  # a tile's head takes about half of it
        move = np.array([[scale, 0, x - scale * other.shape[1] / 2], [0, scale, y - scale * other.shape[0] / 2]])
        things = cv2.warpAffine(other, move, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    else:
        colour = _thing_colour(image, face, rng)
        if rng.random() < 0.6:  # hair, or skin
            hair = np.clip(rng.normal((45, 36, 30), 14), 5, 120).astype(np.float32)
            colour = hair if rng.random() < 0.6 else _skin(image, layout, rng)
        cloud = smooth_noise(image.shape, rng.uniform(5, 25), rng)[:, :, None] * np.float32(rng.uniform(0.05, 0.2))
        things = np.clip(colour * (1 + cloud), 0, 255).astype(np.uint8)
    drawing = Drawing(image, things)
    if rng.random() < 0.25:  # a shoulder, sloping down towards the face
        near, far = layout.y(rng.uniform(0.5, 1)), layout.y(rng.uniform(-0.2, 0.4))
        away = x + side * wide * 4
        drawing.polygon([(inner, bottom), (inner, near), (away, far), (away, bottom)], None)
    else:
        drawing.ellipse((x, y), (wide, wide * rng.uniform(1.15, 1.45)), None)
    return drawing.over(image, rng, shade=0.15)


def sunglasses(image: MatLike, face: Box, rng: Generator) -> MatLike:
    """Dark glasses, or clear ones with a heavy frame."""
    if not paintable(image, face):
        return image
    layout, drawing = lay_out(image, face), Drawing(image)
    size, tilt = face.width, rng.normal(0, 0.04)
    middle, level = layout.x(0.5 + (layout.mouth_u - 0.5) * 0.6), layout.y(EYES_V + rng.normal(0, 0.015))
    wide, high = size * rng.uniform(0.16, 0.22), face.height * rng.uniform(0.08, 0.13)
    apart, frame = wide + size * rng.uniform(0.02, 0.05), size * 0.03
    colour = np.clip(rng.normal((30, 27, 26), 14), 0, 110).astype(np.float32)
    clear, shine = rng.random() < 0.3, np.float32(rng.uniform(0, 60))
    for side in (-1.0, 1.0):
        x, y = middle + side * apart, level + side * apart * tilt
        drawing.stroke((x, y - high * 0.5), (middle + side * size * 0.52, y - high * 0.3), frame, colour)
        drawing.ellipse((x, y), (wide, high), colour * np.float32(0.8))
        if clear:
            drawing.ellipse((x, y), (wide - frame, high - frame), None, rng.uniform(10, 60))
        else:
            drawing.ellipse((x, y - high * 0.3), (wide * 0.8, high * 0.5), colour + shine)
    drawing.stroke((middle - apart * 0.3, level), (middle + apart * 0.3, level), frame, colour)
    return drawing.over(image, rng, shade=0.0)


def cap(image: MatLike, face: Box, rng: Generator) -> MatLike:
    """A cap or hat: a crown over the forehead, often with a brim, and its shadow."""
    if not paintable(image, face):
        return image
    layout, drawing = lay_out(image, face), Drawing(image)
    colour = _thing_colour(image, face, rng)
    middle, level = layout.x(0.5 + (layout.mouth_u - 0.5) * rng.uniform(0, 1)), layout.y(rng.uniform(0.08, 0.22))
    half, high = face.width * rng.uniform(0.52, 0.6), face.height * rng.uniform(0.36, 0.42)
    for shrink, tone in ((1.0, 0.85), (0.75, 1.0), (0.4, 1.06)):
        drawing.ellipse((middle, level - high * 0.1), (half * shrink, high), colour * np.float32(tone))
    drawing.alpha[max(0, int(level)) :] = 0
    if rng.random() < 0.8:
        brim = half * rng.uniform(0.85, 1.15), face.height * rng.uniform(0.05, 0.11)
        drawing.ellipse((middle, level), brim, colour * np.float32(rng.uniform(0.6, 1.0)), degrees=rng.normal(0, 3))
    return drawing.over(image, rng, shade=rng.uniform(0.2, 0.6))


COVERS: tuple[tuple[float, Occluder], ...] = ((0.4, hand), (0.15, cup), (0.1, phone), (0.1, microphone), (0.25, scarf))
"""What covers mouth or chin of a bare face, each with its share; the label stays 0."""

ASIDES: tuple[tuple[float, Occluder], ...] = ((0.5, neighbour), (0.25, sunglasses), (0.25, cap))
"""What leaves nose and mouth as they are, each with its share; for any face, and the label stays."""


def cover(image: MatLike, face: Box, rng: Generator) -> MatLike:
    """One of COVERS, by chance, over a bare face."""
    return COVERS[rng.choice(len(COVERS), p=[share for share, _ in COVERS])][1](image, face, rng)


def aside(image: MatLike, face: Box, rng: Generator, other: MatLike | None = None) -> MatLike:
    """One of ASIDES, by chance, on any face; `other` is a tile to take a neighbour's head from."""
    step = ASIDES[rng.choice(len(ASIDES), p=[share for share, _ in ASIDES])][1]
    return neighbour(image, face, rng, other) if step is neighbour else step(image, face, rng)
