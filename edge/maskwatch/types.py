"""The values that flow from stage to stage: Frame, Box, Face, Person, Verdict. Imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""H×W×3 uint8, RGB: the only colour order used past a camera or a file reader."""


class Label(Enum):
    """What a face, a person or a whole picture is taken for; the values are the command line's words."""

    WITH_MASK = "with_mask"
    WITHOUT_MASK = "without_mask"


class Situation(Enum):
    """What the door sees as a whole; each has its own light and sound."""

    NOBODY = "nobody"
    UNSURE = "unsure"
    ALL_MASKED = "all_masked"
    UNMASKED = "unmasked"
    NO_CAMERA = "no_camera"


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle in pixels of the frame's high-resolution image; origin top left, max edges exclusive."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float

    @property
    def width(self) -> float:
        """Width in pixels, never negative."""
        return max(0.0, self.xmax - self.xmin)

    @property
    def height(self) -> float:
        """Height in pixels, never negative."""
        return max(0.0, self.ymax - self.ymin)

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """Centre (x, y) in pixels."""
        return (self.xmin + self.xmax) / 2, (self.ymin + self.ymax) / 2

    def iou(self, other: Box) -> float:
        """Intersection over union with another box, 0 to 1."""
        width = min(self.xmax, other.xmax) - max(self.xmin, other.xmin)
        height = min(self.ymax, other.ymax) - max(self.ymin, other.ymin)
        if width <= 0 or height <= 0:
            return 0.0
        intersection = width * height
        return intersection / (self.area + other.area - intersection)

    def clipped(self, width_px: int, height_px: int) -> Box:
        """The part of the box that lies inside a picture of this size."""
        return Box(
            min(max(self.xmin, 0.0), float(width_px)),
            min(max(self.ymin, 0.0), float(height_px)),
            min(max(self.xmax, 0.0), float(width_px)),
            min(max(self.ymax, 0.0), float(height_px)),
        )


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture from a camera or a file.

    `image` is the high-resolution picture that faces are cut from. `lores`, where the camera has a second stream, is
    the same field of view at lower resolution, for the face finder. `captured_s` is on the monotonic clock.
    """

    image: Image
    captured_s: float
    index: int = 0
    lores: Image | None = None

    @property
    def width_px(self) -> int:
        """Width of the high-resolution image."""
        return int(self.image.shape[1])

    @property
    def height_px(self) -> int:
        """Height of the high-resolution image."""
        return int(self.image.shape[0])


@dataclass(frozen=True, slots=True)
class Face:
    """One face in one frame: `score` is how surely it is one, `mask` is P(mask worn properly); both 0 to 1."""

    box: Box
    score: float
    mask: float
    label: Label


@dataclass(frozen=True, slots=True)
class Person:
    """A face followed over frames. `label` is None until enough frames have voted."""

    track_id: int
    face: Face
    label: Label | None
    frames_seen: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the door says about one frame. `alarm` is True while the buzzer's pattern may sound.

    `dark` is True where pictures have been black for long, so that nobody can be judged.
    """

    situation: Situation
    alarm: bool
    people: tuple[Person, ...]
    captured_s: float
    frame_index: int = 0
    dark: bool = False
