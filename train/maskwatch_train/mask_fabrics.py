"""What a painted mask is made of: plain colours, prints and pleats, lit as the face beneath is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike
from numpy.random import Generator

Floats = npt.NDArray[np.float32]

COLOURS: tuple[tuple[float, tuple[int, int, int]], ...] = (
    (5.0, (238, 240, 240)),  # white
    (5.0, (165, 205, 228)),  # light blue
    (1.5, (120, 185, 205)),  # surgical blue
    (3.0, (32, 32, 35)),  # black
    (1.5, (130, 132, 135)),  # grey
    (1.0, (235, 165, 185)),  # pink
    (1.0, (178, 35, 45)),  # red
    (1.0, (120, 185, 150)),  # light green
    (0.6, (60, 100, 70)),  # dark green
    (1.0, (215, 180, 150)),  # beige
    (1.5, (35, 50, 95)),  # dark blue
    (0.5, (225, 195, 70)),  # yellow
)
"""How often masks have a colour, and its RGB in white light."""

GREY_CHROMA = 0.1
"""Below this share between a picture's brightest and darkest channel, what is painted into it turns grey too."""

_CHANCE = np.array([weight for weight, _ in COLOURS]) / sum(weight for weight, _ in COLOURS)
_COLOURS = np.array([colour for _, colour in COLOURS], np.float32)


@dataclass(frozen=True, slots=True)
class Surface:
    """Where each pixel of a patch lies on a mask.

    `u` is 1×W, -1 to 1 between the mask's sides; `down` is 0 to 1 between its long edges, `depth_px` the pixels under
    the upper one and `inside_px` those to the nearest edge, negative outside: all three H×W.
    """

    u: Floats
    down: Floats
    depth_px: Floats
    inside_px: Floats


def random_colour(rng: Generator) -> Floats:
    """A mask's colour, RGB 0 to 255 in white light."""
    colour = _COLOURS[rng.choice(len(_COLOURS), p=_CHANCE)]
    return np.clip(colour + rng.normal(0, 6) + rng.normal(0, 7, 3), 8, 250).astype(np.float32)


def smooth_noise(shape: Sequence[int], cell_px: float, rng: Generator) -> Floats:
    """Cloudy noise, H×W as `shape` starts, deviation about 1, with spots of about `cell_px` across."""
    height, width = shape[:2]
    rows, columns = max(2, int(height / cell_px) + 1), max(2, int(width / cell_px) + 1)
    coarse = rng.standard_normal((rows, columns), np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def print_of(across: Floats, down: Floats, rng: Generator) -> Floats:
    """How much of a print's second colour lies at each pixel, 0 to 1, H×W.

    `across` and `down` are the fabric's own coordinates in pixels, H×W: stripes bend as the fabric does.
    """
    height, width = across.shape
    kind = rng.integers(6)
    period = rng.uniform(4, 14)
    if kind == 0:  # stripes
        angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
        return _edge(np.sin((across * np.cos(angle) + down * np.sin(angle)) * (2 * np.pi / period)) * 2)
    if kind == 1:  # dots
        period = max(period, 6)
        wave = np.cos(across * (2 * np.pi / period)) + np.cos(down * (2 * np.pi / period))
        return _edge((wave - rng.uniform(0.4, 1.2)) * 3)
    if kind == 2:  # checks
        turn = np.float32(2 * np.pi / period)
        return (_edge(np.sin(across * turn) * 2) + _edge(np.sin(down * turn) * 2)) * np.float32(0.5)
    if kind == 3:  # woven or camouflage
        return _edge(smooth_noise(across.shape, rng.uniform(2, 9), rng) * 2)
    if kind == 4:  # a logo
        x, y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.3, 0.7) * height
        columns, rows = np.arange(width) - x, np.arange(height)[:, None] - y
        reach = (columns / rng.uniform(3, 11)) ** 2 + (rows / rng.uniform(2, 7)) ** 2
        return _edge((1 - reach.astype(np.float32)) * 3 + smooth_noise(across.shape, 3, rng))
    petals = np.abs(smooth_noise(across.shape, rng.uniform(3, 6), rng))  # flowers and leaves
    return _edge((petals - rng.uniform(0.6, 1.1)) * 4)


def _edge(values: npt.ArrayLike) -> Floats:
    return np.clip(np.asarray(values, np.float32) + np.float32(0.5), 0, 1)


def fabric(surface: Surface, colour: Floats, print_share: float, radius_px: float, rng: Generator) -> Floats:
    """A mask's fabric in white light, H×W×3, with a print at a chance of `print_share`, bent by a head's radius."""
    cloth = np.empty((*surface.down.shape, 3), np.float32)
    cloth[:] = colour
    if rng.random() < print_share:
        across = np.arcsin(np.clip(surface.u, -1, 1)) * np.float32(radius_px)
        second = rng.uniform(0, 255, 3) if rng.random() < 0.6 else colour + rng.choice([-70, 70])
        share = print_of(np.broadcast_to(across, surface.down.shape), surface.depth_px, rng)[:, :, None]
        cloth += (np.clip(second, 0, 255).astype(np.float32) - colour) * share * np.float32(rng.uniform(0.4, 1))
    return cloth


def relief(surface: Surface, surgical: bool, rng: Generator) -> Floats:
    """Light and shade of a mask's own shape, H×W around 1: surgical ones have pleats, others a ridge or a valve."""
    u, down, inside = surface.u, surface.down, surface.inside_px
    light = 1.03 - rng.uniform(0.1, 0.3) * u**2 + rng.normal(0, 0.08) * u
    light = light - rng.uniform(0.05, 0.22) * np.clip(down - 0.45, 0, 1)  # it turns downwards
    if surgical:
        count = int(rng.integers(2, 5))
        phase = (down - 0.18) * (count / 0.64)
        pleats = np.where((phase > 0) & (phase < count), phase % 1, np.float32(0.5))
        light = light - rng.uniform(0.06, 0.2) * np.clip(1 - pleats * 5, 0, 1) * (0.6 + 0.4 * np.abs(u))
    elif rng.random() < 0.5:  # a ridge or seam down the middle
        light = light + rng.uniform(0.04, 0.12) * np.sign(u) * np.clip(1 - np.abs(u) * 2.5, 0, 1)
        light = light - rng.uniform(0, 0.15) * np.clip(1 - np.abs(u) * 16, 0, 1)
    if not surgical and rng.random() < 0.2:  # a valve
        at_u, at_v = float(rng.choice([-0.45, 0.45])) * rng.uniform(0.5, 1.1), rng.uniform(0.45, 0.65)
        valve = ((u - at_u) / 0.2) ** 2 + ((down - at_v) / 0.16) ** 2
        light = light - rng.uniform(0.15, 0.35) * np.clip(1 - np.abs(valve - 0.8) * 3, 0, 1)
    if rng.random() < 0.7:  # a hem
        light = light - rng.uniform(0.04, 0.14) * np.clip(1 - np.abs(inside - rng.uniform(2, 4)), 0, 1)
    light = light - rng.uniform(0, 0.12) * np.clip(1 - inside / 4, 0, 1)  # shade under the edge
    folds = rng.standard_normal((5, 6), np.float32) * np.float32(rng.uniform(0.01, 0.06))
    folds = np.asarray(cv2.resize(folds, down.shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)
    grain = rng.standard_normal(down.shape, np.float32) * np.float32(rng.uniform(0, 0.02))
    return np.asarray(light + folds + grain, np.float32)


def light_on(patch: MatLike, rng: Generator) -> tuple[Floats, float]:
    """How light falls on a part of a picture.

    Returns its relative strength, H×W×1 with a mean near 1, and the strength as such (1: white cloth is just white).
    """
    height, width = patch.shape[:2]
    grey = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (6, 5), interpolation=cv2.INTER_AREA).astype(np.float32)
    level = float(np.percentile(small, 80))
    small = np.clip(small / max(float(small.mean()), 1.0), 0.5, 1.5) ** rng.uniform(0.3, 0.8)
    relative = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)[:, :, None]
    return relative, float(np.clip((level + 60) / 230 * np.exp(rng.normal(0, 0.12)), 0.35, 1.12))


def as_seen(colour: Floats, patch: MatLike, strength: float) -> Floats:
    """Colours (their last axis is RGB) in the light of a part of a picture: dimmed, and grey where the picture is."""
    mean = np.asarray(cv2.mean(patch)[:3], np.float32)
    chroma = float(np.ptp(mean)) / max(float(mean.max()), 1.0)
    if chroma < GREY_CHROMA:
        grey = colour.mean(axis=-1, keepdims=True)
        colour = grey + (colour - grey) * np.float32(chroma / GREY_CHROMA)
    return np.multiply(colour, np.float32(strength), dtype=np.float32)
