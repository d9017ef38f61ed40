"""Training that is cut off goes on where it was: the same epochs, steps and weights as if nothing had happened."""

from __future__ import annotations

import csv
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskwatch.errors import FindingError
from maskwatch_train.fit import WarmupCosine, adam, fit

STEPS = 3


class Numbers(keras.utils.PyDataset):
    """Three batches an epoch that depend on the epoch; remembers which were asked for, and can break off."""

    def __init__(self, breaks_in_epoch: int | None = None, poison: bool = False) -> None:
        super().__init__(workers=2, max_queue_size=2)
        self.epoch = 0
        self.drawn: set[tuple[int, int]] = set()
        self._breaks_in_epoch, self._poison = breaks_in_epoch, poison

    @property
    def num_batches(self) -> int:
        return STEPS

    def __getitem__(self, index: int):
        self.drawn.add((self.epoch, index))
        broken = self.epoch == self._breaks_in_epoch and index == 1
        if broken and not self._poison:
            raise RuntimeError("the power is gone")
        rng = np.random.default_rng((self.epoch, index))
        x = rng.normal(size=(8, 4)).astype(np.float32)
        return (x * np.nan if broken else x), x.sum(axis=1, keepdims=True)


def new_model(epochs: int) -> keras.Model:
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    )
    model.compile(optimizer=adam(0.02, STEPS * epochs, 1e-3), loss="mse", jit_compile=False)
    return model


def epochs_in(log: Path) -> list[str]:
    with log.open(newline="") as stream:
        return [row["epoch"] for row in csv.DictReader(stream)]


def train(folder: Path, epochs: int, batches: Numbers | None = None) -> tuple[keras.Model, Numbers]:
    batches = batches or Numbers()
    model = new_model(epochs)
    fit(model, batches, Numbers(), folder, epochs=epochs, verbose=0)
    return model, batches


def test_a_whole_run_leaves_its_weights_and_its_log(tmp_path):
    model, batches = train(tmp_path / "run", 2)
    assert {(0, 0), (1, 2)} <= batches.drawn
    assert epochs_in(tmp_path / "run" / "log.csv") == ["0", "1"]
    assert "val_loss" in (tmp_path / "run" / "log.csv").read_text().splitlines()[0]
    assert list((tmp_path / "run" / "tensorboard").rglob("events.out.tfevents.*"))
    assert not (tmp_path / "run" / "unfinished.weights.h5").exists()
    again = new_model(2)
    again.load_weights(tmp_path / "run" / "weights.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))


def test_a_run_that_was_cut_off_goes_on_to_the_same_end(tmp_path):
    whole, _ = train(tmp_path / "whole", 4)
    with pytest.raises(Exception, match="the power is gone"):
        train(tmp_path / "cut", 4, Numbers(breaks_in_epoch=2))
    assert epochs_in(tmp_path / "cut" / "log.csv") == ["0", "1"]
    assert not (tmp_path / "cut" / "weights.weights.h5").exists()

    resumed, batches = train(tmp_path / "cut", 4)
    assert {(epoch, index) for epoch in (2, 3) for index in range(STEPS)} <= batches.drawn
    assert not {epoch for epoch, _ in batches.drawn} & {1}  # epoch 0 is looked at once, for the shapes of a batch
    assert epochs_in(tmp_path / "cut" / "log.csv") == ["0", "1", "2", "3"]
    assert int(resumed.optimizer.iterations) == int(whole.optimizer.iterations) == 4 * STEPS
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        assert np.allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_run_cut_off_again_and_again_still_ends(tmp_path):
    for epoch in (0, 1, 1, 3):
        with pytest.raises(Exception, match="the power is gone"):
            train(tmp_path, 4, Numbers(breaks_in_epoch=epoch))
    train(tmp_path, 4)
    assert epochs_in(tmp_path / "log.csv") == ["0", "1", "2", "3"]


@pytest.mark.filterwarnings("error:Skipping variable loading")
def test_a_finished_run_is_not_trained_again(tmp_path):
    model, _ = train(tmp_path, 2)
    written = (tmp_path / "log.csv").read_bytes()
    again, batches = train(tmp_path, 2)
    assert batches.drawn == set()
    assert (tmp_path / "log.csv").read_bytes() == written
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))


def test_a_checkpoint_half_written_falls_back_to_the_one_before(tmp_path):
    with pytest.raises(Exception, match="the power is gone"):
        train(tmp_path, 3, Numbers(breaks_in_epoch=2))
    latest = tmp_path / "checkpoint" / "latest.weights.h5"
    latest.write_bytes(latest.read_bytes()[: latest.stat().st_size // 2])
    _, batches = train(tmp_path, 3)
    assert {epoch for epoch, _ in batches.drawn} == {0, 1, 2}
    assert (tmp_path / "weights.weights.h5").exists()


def test_a_loss_that_is_not_a_number_never_becomes_the_finished_network(tmp_path):
    """Training stopped early, and weights full of NaN were kept as finished and as the checkpoint to go on from."""
    with pytest.raises(FindingError, match="not a number"):
        train(tmp_path, 3, Numbers(breaks_in_epoch=1, poison=True))
    assert not (tmp_path / "weights.weights.h5").exists()
    model, batches = train(tmp_path, 3)  # with better data it goes on from the last sound epoch
    assert (1, 0) in batches.drawn
    assert all(np.isfinite(weights).all() for weights in model.get_weights())
    assert epochs_in(tmp_path / "log.csv") == ["0", "1", "2"]


def rate(schedule: WarmupCosine, step: int) -> float:
    return float(schedule(step))


@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(4, 5000),
    warmup_share=st.floats(0.01, 0.5),
    peak=st.floats(1e-5, 1.0),
    last_share=st.floats(0, 0.9),
)
def test_the_learning_rate_rises_then_falls_to_its_last_share(steps, warmup_share, peak, last_share):
    warmup = max(1, int(steps * warmup_share))
    schedule = WarmupCosine(peak, steps, warmup, last_share)
    rates = [
        rate(schedule, step) for step in sorted({0, warmup // 2, warmup - 1, warmup, (warmup + steps) // 2, steps})
    ]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert all(later <= earlier * 1.0001 for earlier, later in zip(rates[top:], rates[top + 1 :], strict=False))
    assert rate(schedule, warmup - 1) == pytest.approx(peak, rel=1e-4)
    assert rate(schedule, 0) == pytest.approx(peak / warmup, rel=1e-4)
    assert rate(schedule, steps) == pytest.approx(peak * last_share, rel=1e-3, abs=1e-7)
    assert rate(schedule, 2 * steps) == pytest.approx(peak * last_share, rel=1e-3, abs=1e-7)


def test_the_learning_rate_half_way_down_is_the_mean_of_both_ends():
    assert rate(WarmupCosine(1.0, 110, 10, 0.2), 60) == pytest.approx(0.6)


def test_a_schedule_survives_being_saved():
    schedule = WarmupCosine(0.3, 100, 10, 0.1)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert [rate(again, step) for step in (0, 9, 50, 100)] == [rate(schedule, step) for step in (0, 9, 50, 100)]


def test_biases_and_norms_do_not_decay():
    """With no gradient at all, decay alone moves weights."""
    model = new_model(1)
    model.optimizer = adam(0.1, 10, weight_decay=0.5)
    model.optimizer.build(model.trainable_variables)
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    model.optimizer.apply([keras.ops.zeros_like(variable) for variable in model.trainable_variables])
    moved = {variable.path.rsplit("/")[-1] for variable in model.trainable_variables if np.min(variable) < 1}
    assert moved == {"kernel"}
