"""Networks: one module for each architecture, registered by a decorated function; modules of building blocks.

>>> from seisedge.train.models import create_model
>>> create_model("ganet_small").task
'event_type'
"""

from seisedge.train.models import (  # noqa: F401  importing registers them
    alexnet_image,
    amplitude_duration,
    capsnet_saad,
    cnn_barama,
    cnn_image,
    cnn_liu,
    cnn_zhu,
    ganet,
    googlenet_jia,
    onset,
    resnet,
    resnet_image,
    resnet_jia,
    vgg_image,
    vgg_jia,
)
from seisedge.train.models._registry import (
    create_model,
    describe_model,
    model_names,
    parameter_count,
    register_model,
)

__all__ = ["create_model", "describe_model", "model_names", "parameter_count", "register_model"]
