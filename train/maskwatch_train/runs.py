"""A run folder: one training run's networks, each with its recipe, seed, data and code identity beside it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwatch.errors import DataError, OperatorError

if TYPE_CHECKING:
    import keras

FINDER = "finder"
NETWORK_FILE = "network.keras"
FLOAT_FILE = "float.keras"
"""The network before it was fine-tuned in int8 form, which NETWORK_FILE has then."""

IDENTITY_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network as its run folder keeps it."""

    network: keras.Model
    identity: dict[str, Any]

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe's fields as plain JSON values."""
        recipe: dict[str, Any] = self.identity["recipe"]
        return recipe

    @property
    def weights_sha256(self) -> str:
        """SHA-256 (hex) over all weights: whether two networks are the very same."""
        digest = hashlib.sha256()
        for weights in self.network.get_weights():
            digest.update(f"{weights.dtype}{weights.shape}".encode())
            digest.update(weights.tobytes())
        return digest.hexdigest()


def code_identity() -> dict[str, str]:
    """Which code trains: the package's version, and the commit where this is a checkout ("+" where it was changed)."""
    here = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--match="]
    try:
        described = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10)
        commit = described.stdout.strip() if described.returncode == 0 else ""
    except OSError:
        commit = ""
    return {"version": version("maskwatch"), "commit": commit or "unknown", "python": platform.python_version()}


def save_network(
    folder: Path,
    network: keras.Model,
    recipe: Any,
    *,
    seed: int,
    data: dict[str, Any],
    code: dict[str, str],
    as_float: keras.Model | None = None,
) -> None:
    """Write a trained network and what it was trained from; `code` is the `code_identity` when training began.

    `as_float` is the network that `network` is the fine-tuned int8 form of.
    """
    import keras

    identity = {
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "data": data,
        "code": code | {"keras": keras.__version__, "backend": keras.backend.backend()},
    }
    if as_float is not None:
        unfinished = folder / f"unfinished.{FLOAT_FILE}"
        as_float.save(unfinished)
        unfinished.replace(folder / FLOAT_FILE)
    unfinished = folder / f"unfinished.{NETWORK_FILE}"
    network.save(unfinished)
    (folder / IDENTITY_FILE).write_text(json.dumps(identity, indent=1, sort_keys=True) + "\n")
    unfinished.replace(folder / NETWORK_FILE)


def check_same_run(folder: Path, recipe: Any, *, seed: int, data: dict[str, Any]) -> None:
    """Make sure that a network finished in this folder, if there is one, was trained from just these.

    Raises:
        OperatorError: it was trained from others, so that training would keep it under a false identity.
    """
    path = folder / IDENTITY_FILE
    if not path.exists():
        return
    trained = json.loads(path.read_text())
    asked = json.loads(json.dumps({"recipe": dataclasses.asdict(recipe), "seed": seed, "data": data}))
    other = [name for name, value in asked.items() if trained.get(name) != value]
    if other:
        raise OperatorError(
            f"{folder} holds a network that was trained with another {' and '.join(other)}: name another folder with "
            "--run, or delete this one"
        )


def load_network(folder: Path, *, as_float: bool = False) -> TrainedNetwork:
    """Read a trained network, or what it was before it took its int8 form.

    Raises:
        DataError: nothing was trained there, or not to its end, or a file is damaged.
    """
    import keras

    import maskwatch_train.forms  # noqa: F401  # registers the layers that networks are made of

    path, identity = folder / NETWORK_FILE, folder / IDENTITY_FILE
    if not path.exists() or not identity.exists():
        verb = "finder" if folder.name == FINDER else "classifier"
        raise DataError(f"{folder} holds no finished network; run `maskwatch train {verb}` with --run {folder.parent}")
    if as_float and (folder / FLOAT_FILE).exists():
        path = folder / FLOAT_FILE
    try:
        return TrainedNetwork(keras.saving.load_model(path, compile=False), json.loads(identity.read_text()))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} holds a damaged network: delete {path.name} and {IDENTITY_FILE} there and run "
            "`maskwatch train` again"
        ) from error


def load_int8_network(folder: Path) -> TrainedNetwork:
    """Read a trained network in its int8 form.

    Raises:
        DataError: as `load_network`, or the network is of an older version and has only its float form.
    """
    from maskwatch_train.forms import is_int8_form

    trained = load_network(folder)
    if not is_int8_form(trained.network):
        raise DataError(f"{folder} was trained before networks learnt int8's rounding: train again with another --run")
    return trained
