"""Run what a model does once, so that its cost is not added to that of the first image."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from torch import Tensor

from fusioncam.methods.base import Method, layers_of
from fusioncam.methods.costs import cost_of
from fusioncam.model.explained_model import ExplainedModel


class _Unchanged:
    """An ablation that leaves the feature maps as they are."""

    shape = (1, 1)

    def __call__(self, maps: Tensor, which: Tensor) -> Tensor:
        return maps[None].expand(len(which), *maps.shape)


def warm_up(model: ExplainedModel, methods: Iterable[Method], x: Tensor) -> None:
    """Run the one-time searches of a model for inputs of the shape of ``x`` ``(N, C, H, W)``.

    These are the search of layers with feature maps, and the test whether passes can start at the methods' layers.
    Errors are left to the methods, which raise them again.
    """
    partial = [method for method in methods if cost_of(method).has_partial]
    with suppress(Exception):
        model.layers.candidates(x)
        model.layers.default(x)
        for layer in set().union(*map(layers_of, partial)):
            model.ablated_scores(x[:1], _Unchanged(), 0, readout="logit", layer=layer)
