"""What masknet learns from: keras' own cross-entropy of what is known, nothing of what is not."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from maskwatch_train.classifier_loss import FACE_WEIGHT, UNKNOWN, KnownAccuracy, MaskAndFaceLoss

SHAPES = st.integers(1, 6).map(lambda batch: (batch, 2))
SMOOTHINGS = st.sampled_from([0.0, 0.05, 0.2])


@st.composite
def answers(draw):
    """Targets B×2, 1, 0 or UNKNOWN, and logits B×2."""
    shape = draw(SHAPES)
    targets = draw(hnp.arrays(np.int32, shape, elements=st.sampled_from([0, 1, UNKNOWN])))
    return targets, draw(hnp.arrays(np.float32, shape, elements=st.floats(-30, 30, width=32, allow_subnormal=False)))


def losses(targets, logits, smoothing: float = 0.0):
    """Of each crop, shape B."""
    return np.asarray(MaskAndFaceLoss(smoothing).call(tf.constant(targets), tf.constant(logits)))


@settings(max_examples=60, deadline=None)
@given(answers(), SMOOTHINGS)
def test_each_known_column_counts_as_keras_own_cross_entropy(answers, smoothing):
    targets, logits = answers
    own = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing, reduction=None)
    expected = np.zeros(len(targets))
    for column, weight in ((0, 1.0), (1, FACE_WEIGHT)):
        for crop in np.flatnonzero(targets[:, column] != UNKNOWN):
            expected[crop] += weight * float(own(targets[crop, [column]][None], logits[crop, [column]][None])[0])
    assert losses(targets, logits, smoothing) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    whole = MaskAndFaceLoss(smoothing)(targets, logits)  # as training calls it: one number
    assert float(whole) == pytest.approx(expected.mean(), rel=1e-4, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(answers(), SMOOTHINGS, st.floats(-1e6, 1e6, width=32))
def test_what_is_unknown_moves_neither_loss_nor_gradient(answers, smoothing, another):
    targets, logits = answers
    unknown = targets == UNKNOWN
    changed = np.where(unknown, np.float32(another), logits)
    assert losses(targets, changed, smoothing).tolist() == losses(targets, logits, smoothing).tolist()
    watched = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = MaskAndFaceLoss(smoothing)(targets, watched)
    gradient = np.asarray(tape.gradient(loss, watched))
    assert (gradient[unknown] == 0).all()
    surely = np.abs(logits) < 2  # further out a gradient may be nothing
    assert smoothing or (gradient[~unknown & surely] != 0).all()


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(np.int32, (3, 2), elements=st.sampled_from([0, 1, UNKNOWN])),
    hnp.arrays(np.float32, (3, 2), elements=st.sampled_from([-1e30, -1e6, -100.0, 0.0, 100.0, 1e6, 1e30])),
    SMOOTHINGS,
)
def test_huge_logits_stay_finite(targets, logits, smoothing):
    watched = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = MaskAndFaceLoss(smoothing)(targets, watched)
    assert np.isfinite(float(loss))
    assert np.isfinite(tape.gradient(loss, watched)).all()
    assert (losses(targets, logits) >= 0).all()


def naive(pairs, column: int) -> float:
    """The share of right answers, told one by one; 0 where nothing is known."""
    right = [
        (logit[column] > 0) == bool(target[column])
        for targets, logits in pairs
        for target, logit in zip(targets, logits, strict=True)
        if target[column] != UNKNOWN
    ]
    return sum(right) / len(right) if right else 0.0


@settings(max_examples=40, deadline=None)
@given(st.lists(answers(), min_size=1, max_size=3))
def test_accuracy_counts_what_is_known_over_all_batches(batches):
    for column in (0, 1):
        metric = KnownAccuracy(column, "accuracy")
        for targets, logits in batches:
            metric.update_state(tf.constant(targets), tf.constant(logits))
        assert float(metric.result()) == pytest.approx(naive(batches, column), abs=1e-6)
        metric.reset_state()
        assert float(metric.result()) == 0


def test_a_model_tells_both_accuracies_apart():
    """Through compile and evaluate, where Keras casts and batches as it likes."""
    picture = keras.Input((2,))
    model = keras.Model(picture, keras.layers.Rescaling(1.0)(picture))
    model.compile(loss=MaskAndFaceLoss(), metrics=[KnownAccuracy(0, "accuracy"), KnownAccuracy(1, "face_accuracy")])
    targets = np.array([[1, 1], [0, 1], [UNKNOWN, 0], [UNKNOWN, 0], [1, UNKNOWN]], np.int32)
    logits = np.array([[2, 2], [-1, 3], [9, -2], [-9, 5], [-1, -9]], np.float32)
    told = model.evaluate(logits, targets, batch_size=2, return_dict=True, verbose=0)
    assert told["accuracy"] == pytest.approx(2 / 3)
    assert told["face_accuracy"] == pytest.approx(3 / 4)
    assert told["loss"] == pytest.approx(losses(targets, logits).mean(), rel=1e-5)
