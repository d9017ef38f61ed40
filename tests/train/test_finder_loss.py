"""The finder's loss: overlaps against plain arithmetic, assignment on hand-made cases, and learning itself."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.finder import cell_grid
from maskwatch.types import Box
from maskwatch_train.finder_loss import CELLS_PER_FACE, FinderTrainer, assign, overlaps
from maskwatch_train.networks import FINDER_STRIDES

HEIGHT_PX, WIDTH_PX = 64, 96
CENTRES, STRIDES = cell_grid(HEIGHT_PX, WIDTH_PX, FINDER_STRIDES)
CELLS = len(CENTRES)

edges = st.tuples(st.floats(-50, 200), st.floats(-50, 200), st.floats(1, 120), st.floats(1, 120)).map(
    lambda parts: Box(parts[0], parts[1], parts[0] + parts[2], parts[1] + parts[3])
)


def numbers(box: Box) -> list[float]:
    return [box.xmin, box.ymin, box.xmax, box.ymax]


def plain_giou(one: Box, other: Box) -> float:
    hull = (max(one.xmax, other.xmax) - min(one.xmin, other.xmin)) * (
        max(one.ymax, other.ymax) - min(one.ymin, other.ymin)
    )
    union = (one.area + other.area) / (1 + one.iou(other))
    return one.iou(other) - (hull - union) / hull


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(edges, edges), min_size=1, max_size=5))
def test_overlaps_agree_with_plain_arithmetic(pairs):
    first = np.array([numbers(one) for one, _ in pairs], np.float32)
    second = np.array([numbers(other) for _, other in pairs], np.float32)
    iou, giou = overlaps(first, second)
    assert np.allclose(iou, [one.iou(other) for one, other in pairs], atol=1e-3)
    assert np.allclose(giou, [plain_giou(one, other) for one, other in pairs], atol=2e-3)


def test_overlaps_broadcast():
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    iou, giou = overlaps(boxes[:, None], boxes[None])
    assert np.allclose(iou, np.eye(2), atol=1e-5)
    assert giou[0, 1] < -0.7


def assigned(*faces: Box, scores=None, predicted=None, room: int = 4):
    """Owner and target of every cell for one scene, with padding up to `room` faces.

    Unless told otherwise every cell is half sure of a box twice its stride wide, as before any training.
    """
    padded = np.tile(np.array([0, 0, 50, 40], np.float32), (1, room, 1))  # padding must not count, whatever it holds
    valid = np.zeros((1, room), np.float32)
    for place, face in enumerate(faces):
        padded[0, place], valid[0, place] = numbers(face), 1
    if predicted is None:
        predicted = np.concatenate([CENTRES - STRIDES[:, None], CENTRES + STRIDES[:, None]], axis=1)
    if scores is None:
        scores = np.full(CELLS, 0.5, np.float32)
    owner, target = assign(scores[None], predicted[None], padded, valid, CENTRES, STRIDES)
    return np.asarray(owner)[0], np.asarray(target)[0]


def inside(face: Box, room_px=0.0):
    x, y = CENTRES.T
    return (x > face.xmin - room_px) & (x < face.xmax + room_px) & (y > face.ymin - room_px) & (y < face.ymax + room_px)


def test_a_face_gets_cells_inside_it_and_the_rest_is_background():
    face = Box(8, 4, 72, 60)
    _, target = assigned(face, scores=np.random.default_rng(1).uniform(0.4, 0.6, CELLS).astype(np.float32))
    assert 1 <= (target > 0).sum() <= CELLS_PER_FACE
    assert inside(face)[target > 0].all()
    assert target.max() <= 1


def test_nothing_is_assigned_where_no_face_is():
    _, target = assigned()
    assert not target.any()


def test_padding_never_gets_a_cell():
    owner, target = assigned(Box(60, 30, 90, 60))
    assert set(owner[target > 0]) == {0}
    assert not target[inside(Box(0, 0, 50, 20))].any()


def test_the_best_cell_gets_the_overlap_it_reaches():
    face = Box(16, 8, 56, 56)
    predicted = np.concatenate([CENTRES - 1, CENTRES + 1], axis=1)
    best = int(np.flatnonzero(inside(face))[3])
    predicted[best] = [16, 8, 56, 44]  # three quarters of the face
    owner, target = assigned(face, predicted=predicted)
    assert target.argmax() == best
    assert target[best] == pytest.approx(0.75, abs=1e-3)
    assert owner[best] == 0
    assert target[np.arange(CELLS) != best].max() < 0.01


@settings(max_examples=60, deadline=None)
@given(x=st.floats(2, WIDTH_PX - 3), y=st.floats(2, HEIGHT_PX - 3), side_px=st.floats(1.5, 7.5))
def test_a_face_smaller_than_any_cell_still_gets_one(x, y, side_px):
    face = Box(x - side_px / 2, y - side_px / 2, x + side_px / 2, y + side_px / 2)
    _, target = assigned(face)
    assert (target > 0).any()
    assert inside(face, 24)[target > 0].all()


@settings(max_examples=60, deadline=None)
@given(st.lists(edges, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_every_assigned_cell_belongs_to_one_real_face_near_it(faces, seed):
    rng = np.random.default_rng(seed)
    reach = rng.uniform(2, 40, (CELLS, 4)).astype(np.float32)
    predicted = np.concatenate([CENTRES - reach[:, :2], CENTRES + reach[:, 2:]], axis=1)
    scores = rng.uniform(0.01, 0.99, CELLS).astype(np.float32)
    owner, target = assigned(*faces, scores=scores, predicted=predicted, room=6)
    assert np.isfinite(target).all()
    assert (target >= 0).all()
    assert (target <= 1 + 1e-4).all()
    for cell in np.flatnonzero(target > 0):
        assert owner[cell] < len(faces)
        assert inside(faces[owner[cell]], 0.75 * STRIDES[cell] + 1e-3)[cell]
    for place in range(len(faces)):
        assert ((owner == place) & (target > 0)).sum() <= CELLS_PER_FACE


def test_two_faces_side_by_side_each_get_their_own_cells():
    owner, target = assigned(Box(4, 10, 40, 54), Box(56, 10, 92, 54))
    for place, side in enumerate((CENTRES[:, 0] < 48, CENTRES[:, 0] > 48)):
        mine = (owner == place) & (target > 0)
        assert mine.any()
        assert side[mine].all()


def test_a_cell_that_two_faces_want_goes_to_the_one_it_overlaps_more():
    behind, before = Box(0, 0, 80, 60), Box(20, 10, 50, 50)
    cell = int(np.flatnonzero(inside(Box(30, 25, 40, 35)))[0])
    predicted = np.concatenate([CENTRES - 1, CENTRES + 1], axis=1)
    predicted[cell] = numbers(before)
    owner, target = assigned(behind, before, predicted=predicted)
    assert owner[cell] == 1
    assert target[cell] == pytest.approx(1, abs=1e-3)


def perfect(face: Box, sure: float, shift_px: float = 0.0):
    """Outputs of a network that gives `face`, shifted, from the cells inside it with logit `sure`, −`sure` else."""
    logits = np.where(inside(face), sure, -sure).astype(np.float32)
    distances = np.concatenate([CENTRES - [face.xmin, face.ymin], [face.xmax, face.ymax] - CENTRES], axis=1)
    distances = np.maximum(distances + shift_px * np.array([-1, -1, 1, 1]), 0.5) / STRIDES[:, None]
    return {"scores": logits[None, :, None], "boxes": np.log(distances)[None].astype(np.float32)}


def trainer(network=None) -> FinderTrainer:
    return FinderTrainer(network or keras.Sequential([keras.layers.Identity()]), HEIGHT_PX, WIDTH_PX)


def loss_of(outputs, *faces: Box) -> float:
    boxes = np.zeros((1, 3, 4), np.float32)
    valid = np.zeros((1, 3), np.float32)
    for place, face in enumerate(faces):
        boxes[0, place], valid[0, place] = numbers(face), 1
    outputs = {name: keras.ops.convert_to_tensor(value) for name, value in outputs.items()}
    return float(trainer().compute_loss(y={"boxes": boxes, "valid": valid}, y_pred=outputs))


def test_the_loss_falls_as_boxes_move_to_the_face():
    face = Box(20, 12, 60, 52)
    losses = [loss_of(perfect(face, 2.0, shift_px), face) for shift_px in (16, 8, 4, 1, 0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[0]


def test_the_loss_falls_as_scores_grow_sure_and_right():
    face = Box(20, 12, 60, 52)
    losses = [loss_of(perfect(face, sure), face) for sure in (-3.0, 0.0, 3.0)]
    assert losses == sorted(losses, reverse=True)


def test_seeing_a_face_where_none_is_costs():
    face = Box(20, 12, 60, 52)
    quiet = perfect(face, 4.0) | {"scores": np.full((1, CELLS, 1), -4.0, np.float32)}
    assert loss_of(perfect(face, 4.0)) > 5 * loss_of(quiet)


def test_wild_outputs_give_a_finite_loss():
    wild = {"scores": np.full((1, CELLS, 1), 90, np.float32), "boxes": np.full((1, CELLS, 4), 90, np.float32)}
    assert np.isfinite(loss_of(wild, Box(10, 10, 30, 30)))
    assert np.isfinite(loss_of({name: -value for name, value in wild.items()}, Box(10, 10, 30, 30)))


def heads() -> keras.Model:
    """The smallest network with the finder's outputs: one convolution a stride."""
    picture = keras.Input((HEIGHT_PX, WIDTH_PX, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(picture)
    scores, boxes = [], []
    for stride in FINDER_STRIDES:
        features = keras.layers.Conv2D(8, stride, strides=stride, activation="relu")(x)
        scores.append(keras.layers.Reshape((-1, 1))(keras.layers.Conv2D(1, 1)(features)))
        boxes.append(keras.layers.Reshape((-1, 4))(keras.layers.Conv2D(4, 1)(features)))
    join = keras.layers.Concatenate(axis=1)
    return keras.Model(picture, {"scores": join(scores), "boxes": join(boxes)})


def test_a_network_learns_to_find_bright_squares():
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    images = np.full((32, HEIGHT_PX, WIDTH_PX, 3), 60, np.uint8)
    boxes, valid = np.zeros((32, 2, 4), np.float32), np.zeros((32, 2), np.float32)
    for image, box, flag in zip(images, boxes, valid, strict=True):
        x, y, side = int(rng.integers(0, 64)), int(rng.integers(0, 32)), int(rng.integers(16, 32))
        image[y : y + side, x : x + side] = 250
        box[0], flag[0] = (x, y, x + side, y + side), 1
    learner = trainer(heads())
    learner.build((None, HEIGHT_PX, WIDTH_PX, 3))
    learner.compile(optimizer=keras.optimizers.Adam(1e-2), jit_compile=False)
    history = learner.fit(
        images, {"boxes": boxes, "valid": valid}, batch_size=16, epochs=25, verbose=0, shuffle=False
    ).history
    assert set(history) == {"loss", "score_loss", "box_loss"}
    assert np.mean(history["loss"][-3:]) < 0.7 * history["loss"][0]
    assert np.mean(history["box_loss"][-3:]) < 0.7 * history["box_loss"][0]
    assert history["loss"][0] == pytest.approx(history["score_loss"][0] + 2 * history["box_loss"][0], rel=0.02)
