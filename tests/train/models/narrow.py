"""Arguments that make the largest networks narrow, so that the tests of all models take seconds."""

from __future__ import annotations

from typing import Any

NARROW: dict[str, dict[str, Any]] = {
    "cnn_barama": {"hidden": 8},
    "googlenet_jia": {"width": 16},
    "resnet_jia": {"width": 8},
    "alexnet_image": {"width": 4, "attention": "eca", "shrinkage": True},
    "cnn_image": {"width": 4, "attention": "se"},
    "resnet18_image": {"width": 4},
    "resnet34_image": {"width": 4, "attention": "se", "shrinkage": True},
    "resnet50_image": {"width": 4, "attention": "eca"},
    "vgg16_image": {"width": 4, "attention": "cbam", "shrinkage": True},
}
