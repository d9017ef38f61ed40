"""Fits a network and survives being cut off: every epoch is checkpointed, and the same command goes on from there."""

from __future__ import annotations

import importlib.util
import logging
import math
from pathlib import Path

import keras
from keras import ops
from maskwatch.errors import FindingError

logger = logging.getLogger(__name__)


@keras.saving.register_keras_serializable("maskwatch")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Rises in a straight line over `warmup_steps`, then falls as a cosine from `peak` to `peak × last_share`."""

    def __init__(self, peak: float, steps: int, warmup_steps: int, last_share: float) -> None:
        self.peak, self.steps, self.warmup_steps, self.last_share = peak, steps, warmup_steps, last_share

    def __call__(self, step):
        """Learning rate at this step."""
        step = ops.cast(step, "float32")
        rising = (step + 1) / max(1, self.warmup_steps)
        done = ops.clip((step - self.warmup_steps) / max(1, self.steps - self.warmup_steps), 0.0, 1.0)
        falling = self.last_share + (1 - self.last_share) * 0.5 * (1 + ops.cos(math.pi * done))
        return self.peak * ops.minimum(rising, falling)

    def get_config(self) -> dict[str, float]:
        """The constructor's arguments."""
        return {
            "peak": self.peak,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "last_share": self.last_share,
        }


class _RefuseNaN(keras.callbacks.Callback):
    """Breaks training off before a checkpoint is written over with weights that are no numbers."""

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise FindingError(
                f"the loss is not a number after batch {batch + 1}: the learning rate is too high or the data are "
                "damaged; the same command goes on from the last sound epoch"
            )


class _TellEpoch(keras.callbacks.Callback):
    """Tells a data set which epoch it draws, also after a resumption."""

    def __init__(self, batches: keras.utils.PyDataset) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._batches.epoch = epoch


def _tensorboard(folder: Path) -> list[keras.callbacks.Callback]:
    """Curves for TensorBoard, where it and TensorFlow are there to write them, whatever backend trains."""
    if not all(map(importlib.util.find_spec, ("tensorflow", "tensorboard"))):
        return []
    return [keras.callbacks.TensorBoard(folder, write_graph=False)]


def adam(learning_rate: float, steps: int, weight_decay: float, last_share: float = 0.01) -> keras.optimizers.Optimizer:
    """AdamW (Loshchilov & Hutter 2019), warmed up over the first 3 % of the steps; norms and biases do not decay."""
    schedule = WarmupCosine(learning_rate, steps, max(1, steps // 33), last_share)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=weight_decay, clipnorm=10.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def fit(
    model: keras.Model,
    batches: keras.utils.PyDataset,
    validation: keras.utils.PyDataset | None,
    folder: Path,
    *,
    epochs: int,
    verbose: int = 1,
) -> None:
    """Train a compiled model to its last epoch, going on from the checkpoint in `folder` where there is one.

    Leaves `weights.weights.h5` (the finished weights; training is not repeated while it exists), `log.csv` and, where
    TensorBoard is installed, `tensorboard/` there.

    Raises:
        FindingError: the loss became NaN or infinite.
    """
    finished = folder / "weights.weights.h5"
    if finished.exists():
        logger.info("%s is there: nothing left to train", finished)
        model.optimizer.build(model.trainable_variables)  # the file holds its state too
        model.load_weights(finished)
        return
    folder.mkdir(parents=True, exist_ok=True)
    model.fit(
        batches,
        validation_data=validation,
        epochs=epochs,
        verbose=verbose,
        shuffle=False,  # batches are random already, and their order must outlive a resumption
        callbacks=[
            _TellEpoch(batches),
            _RefuseNaN(),
            keras.callbacks.BackupAndRestore(folder / "checkpoint", double_checkpoint=True, delete_checkpoint=False),
            keras.callbacks.CSVLogger(folder / "log.csv", append=True),
            *_tensorboard(folder / "tensorboard"),
        ],
    )
    unfinished = folder / "unfinished.weights.h5"
    model.save_weights(unfinished)
    unfinished.replace(finished)
