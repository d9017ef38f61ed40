"""A trained network as a Pi runs it: the same function for one size of input, in the form that is quickest in int8."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maskwatch.manifest import FinderSpec
from maskwatch_train import networks
from maskwatch_train.keras_network import WHOLE_PICTURE_CNN
from maskwatch_train.runs import TrainedNetwork

if TYPE_CHECKING:
    import keras


def serving_finder(trained: TrainedNetwork, spec: FinderSpec) -> keras.Model:
    """The finder at the size that serves, with bounded outputs."""
    recipe = trained.recipe
    network = networks.finder(spec.height_px, spec.width_px, recipe["widths"], recipe["neck"], serving=True)
    network.set_weights(networks.serving_weights(trained.network))
    return network


def serving_classifier(trained: TrainedNetwork) -> keras.Model:
    """The classifier; the original method's CNN has one form only."""
    recipe = trained.recipe
    if recipe["architecture"] == WHOLE_PICTURE_CNN:
        return trained.network
    network = networks.masknet(recipe["size_px"], recipe["widths"], serving=True)
    network.set_weights(networks.serving_weights(trained.network))
    return network
