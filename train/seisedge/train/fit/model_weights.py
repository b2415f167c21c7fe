"""Initial weights from a model file of a station, bundled or exported: `seisedge train RECIPE --from event-type`.

An exported graph contains batch norm as the bias of the convolution before it, and a pruned model has other widths
than its recipe. Here the widths are read from the weights, and batch norm becomes the identity with that bias, so that
the network computes the same as the file. Batch norm must stay frozen in a training from these weights.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from seisedge.runtime.card import ModelCard
from seisedge.runtime.engines._model_file import read_model
from seisedge.runtime.errors import InputError
from seisedge.runtime.machine import install_command
from seisedge.train.archive.provenance import Provenance
from seisedge.train.models import create_model
from seisedge.train.models.ganet import GANetSmall
from seisedge.train.recipes.recipe import Recipe

SUFFIX = ".onnx"
FOLDED = ".weight_bias"  # name of a bias that contains a batch norm
DOWN = "trunk.bottlenecks.{}.down.0.weight"


def recipe_for(recipe: Recipe, path: Path) -> Recipe:
    """The recipe with the widths of the model file and frozen batch norm. Raises InputError."""
    arrays, card = _read(path)
    if card.task != "event_type" or "trunk.classify.weight" not in arrays or recipe.model != "ganet_small":
        raise InputError(
            f"--from {path}: weights of a model file can be taken from event type models of the recipe event-type, for "
            "recipes of the model ganet_small; give a run (--from RUN) instead"
        )
    arguments = {k: v for k, v in recipe.arguments.items() if k != "width"}
    arguments |= {"n_bands": (arrays["stem.0.weight"].shape[1] - 2) // 2, "shape": _shape_of(arrays)}
    optimisation = msgspec.structs.replace(recipe.optimisation, batch_norm="frozen")
    return msgspec.structs.replace(recipe, arguments=arguments, optimisation=optimisation)


def weights_of_model_file(path: Path, recipe: Recipe) -> dict[str, Tensor]:
    """The weights for the model of `recipe_for`, which then computes what the file computes. Raises InputError."""
    arrays, _ = _read(path)
    model = create_model(recipe.model, **recipe.arguments)
    assert isinstance(model, GANetSmall)
    out: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            before, _, place = name.rpartition(".")
            bias = torch.from_numpy(arrays[f"{before}.{int(place) - 1}{FOLDED}"])
            one = torch.ones_like(bias)
            out |= {f"{name}.running_mean": 0 * one, f"{name}.running_var": one, f"{name}.bias": bias}
            out |= {f"{name}.weight": math.sqrt(1 + module.eps) * one, f"{name}.num_batches_tracked": torch.tensor(0)}
    own = model.state_dict()
    out |= {key: torch.from_numpy(x) for key, x in arrays.items() if key in own}
    for key in ("trunk.classify.weight", "trunk.classify.bias"):
        out[key] = out[key][: len(own[key])]  # without the class noise, which is the last one
    missing = [key for key in own if key not in out and key != "temperature"]
    if missing:
        raise InputError(f"--from {path}: the graph does not contain {missing[0]}; give a run (--from RUN) instead")
    return out


def provenance_of_model_file(path: Path) -> Provenance | None:
    """The training data that the card states; None if it does not name the training events."""
    stated = read_model(path)[1].training
    if stated.event_hashes is None:
        return None
    return Provenance(
        data=stated.data, magnitude_types={}, not_for=[], event_hashes=stated.event_hashes,
        n_unnamed_records=stated.n_unnamed_records,
    )  # fmt: skip


def _shape_of(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The widths of the network, as in `ganet.GhostShape`."""
    count = sum(f"trunk.bottlenecks.{i}.expand.primary.0.weight" in arrays for i in range(100))
    block = "trunk.bottlenecks.{}.{}.primary.0.weight"
    return {
        "stem": len(arrays["stem.0.weight"]),
        "widths": [2 * len(arrays[block.format(i, "reduce")]) for i in range(count)],
        "expanded": [2 * len(arrays[block.format(i, "expand")]) for i in range(count)],
        "strides": [2 if DOWN.format(i) in arrays else 1 for i in range(count)],
        "last": len(arrays["trunk.last.0.weight"]),
    }


def _read(path: Path) -> tuple[dict[str, np.ndarray], ModelCard]:
    try:
        import onnx
    except ModuleNotFoundError:
        raise InputError(f"--from {path}: reading a model file needs onnx; {install_command('export')}") from None
    data, card = read_model(path)
    try:
        graph = onnx.load_from_string(data).graph
        return {i.name: np.array(onnx.numpy_helper.to_array(i)) for i in graph.initializer}, card
    except Exception as error:  # protobuf and onnx raise classes that share only this base
        raise InputError(f"--from {path}: not a readable ONNX file ({type(error).__name__})") from error
