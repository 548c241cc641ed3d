"""Choose what runs by default and what runs with the slow tests, and how long the longest of these are."""

from __future__ import annotations

import os

import pytest

from fusioncam import METHODS

# methods that need a vision transformer
OF_TRANSFORMERS = ("legrad", "grad-eclip", "attention-rollout", "attention-relevance")
# methods that draw random numbers, whose heatmaps do not mirror with the image
WITH_NOISE = (
    "smooth-grad-cam++",
    "expected-grad-cam",
    "expected-gradients",
    "ss-cam",
    "rise",
    "hsic",
    "sobol",
    "d-rise",
    "augmented",
    "random",
)
# the first method of each family, and those with network requirements of their own
REPRESENTATIVES = {
    "cam",
    *OF_TRANSFORMERS,
    *{method.family: name for name, method in reversed(METHODS.items())}.values(),
}
# one method for each way to use a network: one recorded pass, a linear head, attention maps, masked images, biases of
# all layers, second derivatives, several layers, and changed feature maps
WAYS = {
    "grad-cam",
    "cam",
    "legrad",
    "grad-eclip",
    "union-cam",
    "fullgrad",
    "shapley-cam",
    "refine-cam",
    "ablation-cam",
}


def slow_unless(default: bool, *values: object, id: str | None = None):
    """Return a test parameter that is marked slow unless it belongs to the default selection."""
    return pytest.param(*values, marks=[] if default else [pytest.mark.slow], id=id)


def number_of(variable: str, default: int) -> int:
    """Return how often, or for how many seconds, a test repeats something: a variable of the environment."""
    return int(os.environ.get(variable, default))
