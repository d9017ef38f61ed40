"""Draws cartoon faces, masked and not, and writes them as tiny data sets in both Kaggle layouts; seeded throughout."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

SKINS = ((255, 219, 172), (241, 194, 125), (198, 134, 66), (141, 85, 36), (92, 56, 30))
HAIRS = ((20, 16, 12), (80, 50, 25), (150, 100, 50), (210, 190, 130), (120, 120, 120))
MASKS = ((235, 240, 245), (140, 190, 220), (30, 30, 35), (200, 60, 90), (60, 120, 80))


@dataclass(frozen=True)
class DrawnFace:
    """A face as drawn: edges in pixels (integers, max exclusive) and the data set's word for it."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int
    name: str


def draw_background(height_px: int, width_px: int, rng: np.random.Generator) -> Image:
    """A slope between two colours under a dozen of random shapes and a little noise."""
    first, second = rng.uniform(40, 220, (2, 1, 1, 3))
    slope = np.linspace(0, 1, width_px)[None, :, None] * rng.uniform(0, 1)
    slope = slope + np.linspace(0, 1, height_px)[:, None, None] * rng.uniform(0, 1)
    image = np.ascontiguousarray(np.clip(first + (second - first) * slope, 0, 255).astype(np.uint8))
    for _ in range(12):
        colour = rng.integers(20, 235, 3).tolist()
        x, y = int(rng.integers(width_px)), int(rng.integers(height_px))
        size = int(rng.integers(2, max(4, min(height_px, width_px) // 3)))
        if rng.random() < 0.5:
            cv2.rectangle(image, (x, y), (x + size, y + int(size * rng.uniform(0.3, 3))), colour, -1)
        else:
            cv2.line(image, (x, y), (x + 3 * size, y + int(rng.integers(-size, size + 1))), colour, max(1, size // 6))
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def draw_face(image: Image, face: DrawnFace, rng: np.random.Generator) -> None:
    """Draws one face into its box, tilted and lit at random; the mask covers nose and mouth, or only the mouth.

    Hair, features, tilt and light differ so much that no two faces are near-duplicates to a perceptual hash.
    """
    width, height = face.xmax - face.xmin, face.ymax - face.ymin
    tilt = np.deg2rad(rng.uniform(-25, 25))
    turn = rng.uniform(-0.1, 0.1)

    def at(x: float, y: float) -> tuple[int, int]:
        x, y = 0.85 * (x - 0.5), 0.85 * (y - 0.5)
        across = np.cos(tilt) * x - np.sin(tilt) * y + 0.5
        down = np.sin(tilt) * x + np.cos(tilt) * y + 0.5
        return face.xmin + round(across * width), face.ymin + round(down * height)

    def pick(colours: tuple[tuple[int, int, int], ...]) -> list[int]:
        colour = np.array(colours[rng.integers(len(colours))]) + rng.integers(-15, 16, 3)
        return np.clip(colour, 0, 255).tolist()

    def oval(x: float, y: float, half_width: float, half_height: float, colour: list[int]) -> None:
        axes = max(1, round(0.85 * width * half_width)), max(1, round(0.85 * height * half_height))
        cv2.ellipse(image, at(x, y), axes, np.rad2deg(tilt), 0, 360, colour, -1)

    skin, hair = pick(SKINS), pick(HAIRS)
    shade = [round(0.7 * channel) for channel in skin]
    thin = max(1, width // 30)
    oval(0.5, 0.45, 0.55, rng.uniform(0.4, 0.5), hair)
    oval(0.5, 0.54, rng.uniform(0.38, 0.46), rng.uniform(0.42, 0.48), skin)
    fringe = [at(x, rng.uniform(0.1, 0.38)) for x in np.linspace(0.1, 0.9, 6)]
    cv2.fillPoly(image, [np.array([*fringe, at(0.8, 0.02), at(0.5, -0.05), at(0.2, 0.02)])], hair)
    eyes, gap = rng.uniform(0.42, 0.48), rng.uniform(0.15, 0.21)
    glasses = rng.random() < 0.3
    for x in (0.5 + turn - gap, 0.5 + turn + gap):
        oval(x, eyes, 0.08, rng.uniform(0.02, 0.05), [250, 250, 250])
        cv2.circle(image, at(x + turn / 4, eyes), max(1, width // 28), (20, 20, 20), -1)
        cv2.line(image, at(x - 0.09, eyes - 0.08), at(x + 0.09, eyes - rng.uniform(0.05, 0.11)), hair, thin)
        if glasses:
            cv2.circle(image, at(x, eyes), max(2, width // 8), (30, 30, 30), thin)
    cv2.line(image, at(0.5 + turn, eyes), at(0.47 + 1.5 * turn, 0.63), shade, thin)
    oval(0.5 + turn, 0.76, rng.uniform(0.08, 0.2), rng.uniform(0.01, 0.07), [170, 60, 60])
    if face.name != "without_mask":
        _draw_mask(image, at, 0.54 if face.name == "with_mask" else 0.69, pick(MASKS), thin, rng)
    # Light falls from one side.
    part = image[face.ymin : face.ymax, face.xmin : face.xmax]
    slope = np.linspace(-1, 1, part.shape[1])[None, :] * rng.uniform(-0.4, 0.4)
    slope = slope + np.linspace(-1, 1, part.shape[0])[:, None] * rng.uniform(-0.4, 0.4)
    part[:] = np.clip(part * (1 + slope[..., None]), 0, 255).astype(np.uint8)


def _draw_mask(
    image: Image,
    at: Callable[[float, float], tuple[int, int]],
    top: float,
    cloth: list[int],
    thin: int,
    rng: np.random.Generator,
) -> None:
    """Cloth from `top` (a share of the face's height) to the chin, with folds, stripes and ear loops."""
    middle = rng.uniform(0.45, 0.55)
    low = rng.uniform(0.8, 0.86)
    outline = [at(0.1, top), at(middle, top - 0.04), at(0.9, top), at(0.82, low), at(0.5, 0.98), at(0.18, low)]
    cv2.fillPoly(image, [np.array(outline)], cloth)
    fold = [round(rng.uniform(0.5, 0.85) * channel) for channel in cloth]
    for y in np.linspace(top + 0.08, 0.9, int(rng.integers(1, 5))):
        cv2.line(image, at(0.25, y), at(0.75, y + rng.uniform(-0.05, 0.05)), fold, thin)
    for x in (0.1, 0.9):
        cv2.line(image, at(x, top), at(2 * x - 0.5, top - 0.12), cloth, thin)


def write_classification_set(folder: Path, count: int, seed: int, faces_csv: bool = False) -> list[Path]:
    """Writes `count` pictures, masked and not in turns, as data/with_mask and data/without_mask; returns their paths.

    Half are tight crops, half portraits, 96 to 200 pixels high. `faces_csv` adds the boxes beside data/.
    """
    rng = np.random.default_rng(seed)
    paths: list[Path] = []
    rows: list[tuple[object, ...]] = []
    for number in range(count):
        name = ("with_mask", "without_mask")[number % 2]
        height_px = int(rng.integers(96, 200))
        width_px = int(height_px * rng.uniform(0.8, 1.1))
        face_px = int(height_px * (rng.uniform(0.8, 0.95) if number % 4 < 2 else rng.uniform(0.4, 0.6)))
        face = _place(face_px, height_px, width_px, name, rng)
        image = draw_background(height_px, width_px, rng)
        draw_face(image, face, rng)
        path = folder / "data" / name / f"{name}_{number // 2 + 1}.jpg"
        _write(path, image)
        paths.append(path)
        rows.append((f"{name}/{path.name}", face.xmin, face.ymin, face.xmax, face.ymax, 0.9, name))
    if faces_csv:
        with (folder / "faces.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("image", "xmin", "ymin", "xmax", "ymax", "score", "label"), *rows])
    return paths


def write_detection_set(folder: Path, count: int, seed: int) -> list[Path]:
    """Writes `count` scenes of one to three faces as images/ and annotations/ (VOC); returns the images' paths."""
    rng = np.random.default_rng(seed)
    paths: list[Path] = []
    for number in range(count):
        height_px, width_px = int(rng.integers(180, 260)), int(rng.integers(240, 400))
        image = draw_background(height_px, width_px, rng)
        faces = []
        columns = int(rng.integers(1, 4))
        for column in range(columns):
            name = str(rng.choice(("with_mask", "without_mask", "mask_weared_incorrect"), p=(0.5, 0.4, 0.1)))
            room_px = width_px // columns
            face = _place(int(rng.integers(28, min(100, room_px))), height_px, room_px, name, rng)
            face = DrawnFace(face.xmin + column * room_px, face.ymin, face.xmax + column * room_px, face.ymax, name)
            draw_face(image, face, rng)
            faces.append(face)
        path = folder / "images" / f"maksssksksss{number}.png"
        _write(path, image)
        annotation = folder / "annotations" / f"{path.stem}.xml"
        annotation.parent.mkdir(exist_ok=True)
        annotation.write_text(voc(path.name, width_px, height_px, faces), encoding="utf-8")
        paths.append(path)
    return paths


def voc(filename: str, width_px: int, height_px: int, faces: list[DrawnFace]) -> str:
    """A Pascal VOC annotation as Kaggle's set has them."""
    objects = "".join(
        f"<object><name>{escape(face.name)}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<occluded>0</occluded><difficult>0</difficult><bndbox><xmin>{face.xmin}</xmin><ymin>{face.ymin}</ymin>"
        f"<xmax>{face.xmax}</xmax><ymax>{face.ymax}</ymax></bndbox></object>"
        for face in faces
    )
    size = f"<size><width>{width_px}</width><height>{height_px}</height><depth>3</depth></size>"
    return f"<annotation><folder>images</folder><filename>{escape(filename)}</filename>{size}{objects}</annotation>"


def _place(face_px: int, height_px: int, width_px: int, name: str, rng: np.random.Generator) -> DrawnFace:
    """A box `face_px` high at a random place wholly inside the picture."""
    width = min(round(face_px * 0.8), width_px)
    left = int(rng.integers(0, width_px - width + 1))
    top = int(rng.integers(0, height_px - face_px + 1))
    return DrawnFace(left, top, left + width, top + face_px, name)


def _write(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{path} cannot be written")
