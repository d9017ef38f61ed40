"""A frame as the page shows it: small, with the boxes that `detect --save` draws, as JPEG."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import cv2

from maskwatch.drawing import annotate
from maskwatch.preprocess import resize
from maskwatch.types import Box, Face, Frame

MAX_WIDTH_PX = 640
"""Enough to aim by; some 50 kB a picture, which a slow line carries."""

QUALITY = 80


def jpeg(frame: Frame, faces: Iterable[Face]) -> bytes:
    """The annotated frame, at most `MAX_WIDTH_PX` wide."""
    image = frame.image
    scale = min(1.0, MAX_WIDTH_PX / frame.width_px)
    if scale < 1:
        image = resize(image, max(1, round(frame.height_px * scale)), MAX_WIDTH_PX)
    drawn = annotate(image, [replace(face, box=_scaled(face.box, scale)) for face in faces])
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return encoded.tobytes()


def _scaled(box: Box, scale: float) -> Box:
    return Box(box.xmin * scale, box.ymin * scale, box.xmax * scale, box.ymax * scale)
