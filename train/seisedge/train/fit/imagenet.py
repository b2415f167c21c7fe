"""Initial weights from ImageNet, by torchvision's names: `seisedge train image-resnet18-full --weights resnet18.pth`.

The layers of the picture networks have torchvision's names. The last layer, which has other classes, and what the
network of torchvision does not have (attention, shrinkage) keep their initial values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from seisedge.runtime.errors import InputError
from seisedge.runtime.text import shortened
from seisedge.train.fit.request import weights_from
from seisedge.train.models import describe_model
from seisedge.train.recipes.recipe import Recipe

NETWORKS = {
    "alexnet_image": "alexnet",
    "resnet18_cbam_image": "resnet18",
    "resnet18_image": "resnet18",
    "resnet34_image": "resnet34",
    "resnet50_image": "resnet50",
    "vgg16_image": "vgg16",
}
ADDED = ("shrink", "attend", "shrinks", "attentions")  # parts of our layers that torchvision's networks do not have


def require_imagenet(path: Path, recipe: Recipe) -> None:
    """Raises InputError unless the file has the weights of the recipe's network under the names of torchvision."""
    network = NETWORKS.get(recipe.model)
    if network is None:
        raise InputError(
            f"--weights {path}: model '{recipe.model}' of recipe '{recipe.name}' is no network of torchvision; models "
            f"with one: {', '.join(NETWORKS)}; for the weights of a run, use --from RUN"
        )
    given = weights_from(path, "--weights")
    wanted = _backbone(recipe)
    advice = f"--weights must be a state_dict of torchvision's {network}"
    for name, value in wanted.items():
        if name not in given:
            raise InputError(f"--weights {path}: tensor '{name}' is missing; {advice}")
        if given[name].shape != value.shape:
            raise InputError(
                f"--weights {path}: tensor '{name}' has shape {tuple(given[name].shape)}, the network of recipe "
                f"'{recipe.name}' has {tuple(value.shape)}; {advice}"
            )
    last = {name.rpartition(".")[0] for name in _last_layer(recipe)}
    unknown = [n for n in given if n not in wanted and n.rpartition(".")[0] not in last and not n.endswith("_tracked")]
    if unknown:
        raise InputError(
            f"--weights {path}: tensor '{shortened(unknown[0])}' is not in the network of recipe '{recipe.name}'; "
            f"{advice}"
        )


def _last_layer(recipe: Recipe) -> list[str]:
    """Names of the parameters of the last layer."""
    model = describe_model(recipe.model, **recipe.arguments)
    last = {id(p) for p in model.last_layer().parameters()}
    return [name for name, p in model.named_parameters() if id(p) in last]


def _backbone(recipe: Recipe) -> Mapping[str, Tensor]:
    """The tensors that torchvision's network has too, without its last layer."""
    model = describe_model(recipe.model, **recipe.arguments)
    last = set(_last_layer(recipe))
    return {
        name: value
        for name, value in model.state_dict().items()
        if name not in last and name != "temperature" and not name.endswith("_tracked")
        and not set(name.split(".")) & set(ADDED)
    }  # fmt: skip
