"""The demo's two pictures: a portrait that matplotlib ships, bare and with a surgical mask drawn on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from maskwatch.errors import OperatorError
from maskwatch.images import read_image
from maskwatch.types import Image

PORTRAIT = Path("mpl-data/sample_data/grace_hopper.jpg")
"""Rear Admiral Grace Hopper: a United States Navy photograph, in the public domain."""

_SIZE_PX = (600, 512)
_TOP_PX, _LEFT_PX, _HEIGHT_PX, _WIDTH_PX = 180, 145, 190, 245  # the part that the mask and its shadow change

# Hand-placed on that portrait, in its pixels: a mask from the bridge of the nose to under the chin.
_OUTLINE = (
    *((188, 239), (214, 234), (238, 221), (255, 208), (266, 204), (278, 208), (297, 220), (321, 230), (347, 235)),
    *((345, 262), (339, 296), (325, 321), (301, 339), (268, 345), (237, 339), (214, 322), (199, 298), (191, 265)),
)
_EAR_LOOPS = (
    ((189, 242), (176, 226), (166, 209), (161, 200)),
    ((199, 297), (188, 286), (180, 275), (176, 266)),
    ((346, 238), (357, 222), (366, 207), (371, 197)),
    ((340, 294), (350, 281), (357, 270), (360, 258)),
)
_PLEATS_Y_PX = (250, 274, 298)
_CENTRE_X_PX, _HALF_WIDTH_PX = 267.0, 79.0
_CLOTH_RGB = np.array([177, 207, 219], np.float32)
_LOOP_RGB = np.array([212, 216, 216], np.float32)
_LOOP_WIDTH_PX = 3
_OVERSAMPLING = 4  # edges are drawn this much bigger, then averaged down

_Plane = npt.NDArray[np.float32]


def find_portrait() -> Path:
    """Where matplotlib's sample portrait lies. matplotlib itself is not imported: that would take a second.

    Raises:
        OperatorError: matplotlib, or the picture in it, is not installed.
    """
    spec = importlib.util.find_spec("matplotlib")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / PORTRAIT
        if path.is_file():
            return path
    raise OperatorError('the demo\'s portrait is not installed: pip install "maskwatch[demo]"')


def load_portraits() -> tuple[Image, Image]:
    """The portrait bare and masked, 600×512×3 uint8 RGB each.

    Raises:
        OperatorError: the portrait is not installed, or is not the picture that the mask was placed on.
    """
    path = find_portrait()
    bare = read_image(path)
    if bare.shape[:2] != _SIZE_PX:
        raise OperatorError(f'{path} is not the demo\'s portrait: pip install --force-reinstall "maskwatch[demo]"')
    return bare, with_mask(bare)


def with_mask(portrait: Image) -> Image:
    """A copy of the portrait (600×512×3) that wears a pleated, light-blue surgical mask over nose, mouth and chin."""
    cloth_cover, loop_cover = _covers()
    worn = portrait.copy()
    region = worn[_TOP_PX : _TOP_PX + _HEIGHT_PX, _LEFT_PX : _LEFT_PX + _WIDTH_PX]
    picture = region.astype(np.float32)
    shadow = cv2.GaussianBlur(np.maximum(cloth_cover, 0.6 * loop_cover), (0, 0), 3.5)
    picture *= 1 - 0.45 * np.roll(shadow, 3, axis=0)[..., None]
    light = _light_on(region)[..., None]
    picture += loop_cover[..., None] * (_LOOP_RGB * light - picture)
    cloth = _CLOTH_RGB * light * _folds(cloth_cover)[..., None] + _grain()[..., None]
    picture += cloth_cover[..., None] * (cloth - picture)
    region[:] = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return worn


def _covers() -> tuple[_Plane, _Plane]:
    """How much of each pixel of the region cloth and ear loops cover, 0 to 1; corners rounded, edges smooth."""
    size = (_HEIGHT_PX * _OVERSAMPLING, _WIDTH_PX * _OVERSAMPLING)
    cloth, loops = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    cv2.fillPoly(cloth, [_points(_OUTLINE)], (255,))
    rounded = cv2.GaussianBlur(cloth, (0, 0), 3.0 * _OVERSAMPLING) > 127
    for loop in _EAR_LOOPS:
        cv2.polylines(loops, [_points(loop)], False, (255,), _LOOP_WIDTH_PX * _OVERSAMPLING)
    return _shrink(rounded.astype(np.float32)), _shrink((loops / 255).astype(np.float32))


def _points(places: tuple[tuple[int, int], ...]) -> npt.NDArray[np.int32]:
    return (np.array(places, np.int32) - (_LEFT_PX, _TOP_PX)) * _OVERSAMPLING


def _shrink(plane: _Plane) -> _Plane:
    shrunk = cv2.resize(plane, (_WIDTH_PX, _HEIGHT_PX), interpolation=cv2.INTER_AREA)
    return shrunk.astype(np.float32, copy=False)


def _light_on(region: Image) -> _Plane:
    """The photograph's own light, softened, near 1: so that the mask sits in the scene rather than on it."""
    grey = cv2.cvtColor(region, cv2.COLOR_RGB2GRAY).astype(np.float32)
    softened = cv2.GaussianBlur(grey, (0, 0), 12.0)
    return (0.86 + 0.14 * np.clip(softened / 150, 0.4, 1.3)).astype(np.float32)


def _folds(cover: _Plane) -> _Plane:
    """Light and dark of the cloth, near 1: a face's roundness, the nose beneath, pleats, and the welded rim."""
    y, x = np.mgrid[_TOP_PX : _TOP_PX + _HEIGHT_PX, _LEFT_PX : _LEFT_PX + _WIDTH_PX].astype(np.float32)
    across = (x - _CENTRE_X_PX) / _HALF_WIDTH_PX
    light = 1.03 - 0.26 * across**2 - 0.06 * across - 0.16 * np.clip((y - 285) / 60, 0, 1) ** 2
    light += 0.06 * np.exp(-(((x - _CENTRE_X_PX) / 15) ** 2) - ((y - 230) / 20) ** 2)
    for pleat_y in _PLEATS_Y_PX:
        below = y - (pleat_y + 8 * (1 - across**2))  # pleats sag in the middle
        light += 0.05 * np.exp(-(((below + 3.5) / 2.5) ** 2)) - 0.16 * np.exp(-((below / 1.5) ** 2))
        light -= np.where(below > 0, 0.07 * np.exp(-np.maximum(below, 0) / 5), 0)
    from_rim = cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    light += 0.05 * (from_rim < 6) - 0.09 * np.exp(-(((from_rim - 6.5) / 0.9) ** 2)) - 0.12 * np.exp(-from_rim / 1.2)
    folded: _Plane = light.astype(np.float32)
    return folded


def _grain() -> _Plane:
    """The fine noise of a photograph; the same at every call."""
    noise = np.random.default_rng(7).normal(0, 4.0, (_HEIGHT_PX, _WIDTH_PX)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 0.7).astype(np.float32, copy=False)
