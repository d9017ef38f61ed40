"""Badges drawn into scenes: they leave faces alone, and are there."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch_train.decoys import draw_badge, with_decoys


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(8, 200),
    width=st.integers(8, 200),
    edges=st.lists(st.integers(-20, 220), min_size=0, max_size=12).map(lambda given: given[: len(given) // 4 * 4]),
)
def test_no_pixel_of_a_face_changes(seed, height, width, edges):
    scene = np.full((height, width, 3), 128, np.uint8)
    corners = np.array(edges, np.float32).reshape(-1, 2, 2)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    drawn = with_decoys(scene, boxes, np.random.default_rng(seed))
    assert (drawn.shape, drawn.dtype) == (scene.shape, np.uint8)
    assert (scene == 128).all(), "the scene handed in is left as it was"
    for xmin, ymin, xmax, ymax in boxes.clip(0).astype(int):
        assert (drawn[ymin:ymax, xmin:xmax] == 128).all()


def test_an_empty_scene_gets_one_to_three():
    scene = np.full((320, 416, 3), 128, np.uint8)
    none = np.empty((0, 4), np.float32)
    changed = [(with_decoys(scene, none, np.random.default_rng(seed)) != 128).any(axis=2).mean() for seed in range(30)]
    assert min(changed) > 0
    assert max(changed) < 0.3


def test_a_seed_gives_the_same_again():
    scene, none = np.full((160, 192, 3), 128, np.uint8), np.empty((0, 4), np.float32)
    one, other, another = (with_decoys(scene, none, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, another)


def test_a_badge_is_covered_in_the_middle_and_not_at_its_corners():
    badge, cover = draw_badge(60, np.random.default_rng(2))
    assert (badge.shape, cover.shape) == ((60, 60, 3), (60, 60, 1))
    assert cover[30, 30, 0] >= 0.8
    assert cover[0, 0, 0] == cover[-1, -1, 0] == 0
    assert badge.min() >= 0
    assert badge.max() <= 255
