"""Everything that decides a training run, as frozen values: the same recipe, data and seed give the same run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

DEFAULT_SEED = 2020
"""Of the split, the weights, the augmentation and the pictures that int8's ranges are measured on."""


@dataclass(frozen=True, slots=True)
class SceneRecipe:
    """How scenes are drawn. Shares are probabilities; heights are in pixels of the network's input."""

    height_px: int = 320
    width_px: int = 512
    letterboxed_share: float = 0.35
    mosaic_share: float = 0.3
    lowest_face_px: float = 9.0
    tallest_face_px: float = 290.0
    background_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of the finder's training at one size of input; the learning rate falls as a cosine to its last share.

    `background_share` of the photographs are face-free windows: they teach what only looks like a face.
    """

    height_px: int
    width_px: int
    batch_size: int
    epochs: int
    learning_rate: float
    last_share: float = 0.01
    background_share: float = 0.0


@dataclass(frozen=True, slots=True)
class FinderRecipe:
    """How the face finder is trained: small scenes first, where an epoch is cheap, then the size that serves.

    Backgrounds without faces come along, most of all at the end: sleeves, badges and ceilings are what a finder takes
    for faces. `int8_epochs` of quantisation-aware training follow; 0 in sizes that are only compared.
    """

    widths: tuple[int, ...] = (32, 64, 96, 128)
    neck: int = 64
    scenes_per_epoch: int = 4096
    stages: tuple[Stage, ...] = (
        Stage(160, 192, 32, epochs=20, learning_rate=4e-3, last_share=0.4),
        Stage(320, 416, 16, epochs=30, learning_rate=2e-3, background_share=0.1),
        Stage(320, 512, 16, epochs=10, learning_rate=8e-4, background_share=0.3),
    )
    weight_decay: float = 1e-3
    int8_epochs: int = 4
    int8_learning_rate: float = 2e-4
    most_faces: int = 48
    detection_share: float = 0.6
    scene: SceneRecipe = field(default_factory=SceneRecipe)

    @property
    def int8_stage(self) -> Stage:
        """The last float stage again, gently: an int8 form is for one size of input, the one that serves."""
        return replace(self.stages[-1], epochs=self.int8_epochs, learning_rate=self.int8_learning_rate)


@dataclass(frozen=True, slots=True)
class ClassifierRecipe:
    """How a mask classifier is trained. `whole_picture_share` 1 is the original method, which knows no faces.

    `decoy_share` of the crops are what a finder took for faces, so that the classifier learns to say no. `int8_epochs`
    of quantisation-aware training follow; 0 in the original method, which has no int8 form, and in sizes that are only
    compared.
    """

    architecture: str = "masknet"
    size_px: int = 112
    widths: tuple[int, ...] = (48, 96, 128, 160)
    margin_ratio: float = 0.4
    batch_size: int = 64
    crops_per_epoch: int = 8192
    epochs: int = 60
    learning_rate: float = 3e-3
    int8_epochs: int = 8
    int8_learning_rate: float = 3e-4
    weight_decay: float = 1e-3
    label_smoothing: float = 0.02
    faces: bool = True
    dressed: bool = True
    whole_picture_share: float = 0.15
    decoy_share: float = 0.25
    smallest_face_px: float = 14.0


BASELINE = ClassifierRecipe(
    architecture="baseline_cnn",
    size_px=128,
    widths=(),
    crops_per_epoch=4096,
    epochs=20,
    learning_rate=1e-3,
    int8_epochs=0,
    weight_decay=0.0,
    label_smoothing=0.0,
    faces=False,
    dressed=False,
    whole_picture_share=1.0,
    decoy_share=0.0,
)
"""The original method, as every report's baseline: the whole picture, Adam, sparse categorical cross-entropy."""

CLASSIFIERS = {"masknet": ClassifierRecipe(), "baseline_cnn": BASELINE}
CLASSIFIER_NAMES = tuple(CLASSIFIERS)
