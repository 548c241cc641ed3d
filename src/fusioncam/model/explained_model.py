"""The object through which methods and metrics use a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from fusioncam.data.labels import labels_of_config
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import SettingError
from fusioncam.functional.masks import Fill, MaskSource
from fusioncam.inference.cache import memoize_pass, prefetched_layers
from fusioncam.inference.calling import Calling, Extra
from fusioncam.inference.forward import NetworkRunner
from fusioncam.inference.input_check import input_channels
from fusioncam.inference.layer_names import layer_name
from fusioncam.inference.outputs import Read
from fusioncam.inference.reachable import with_reachable_layers
from fusioncam.inference.reshape import Reshape, ReshapeFunction
from fusioncam.inference.settings import Speed
from fusioncam.model import masked_passes
from fusioncam.model.candidates import Candidate
from fusioncam.model.description import Description, describe
from fusioncam.model.layer_ablation import Changes, LayerAblation
from fusioncam.model.layer_search import LayerSearch
from fusioncam.model.layouts import TokenHint
from fusioncam.model.recording import Record, record_layers
from fusioncam.model.scores import Target, as_targets, score_from_logits
from fusioncam.utils.old_names import alias

# the name or position of the image among the inputs, or those of several images
Vary = str | int | Sequence[str] | Sequence[int] | None


class ExplainedModel:
    """A network, its target layer, and how an image becomes its input. Nothing else calls the network.

    A call leaves the network as it was, also after an error: no hook, no ``.grad``, no changed ``requires_grad``,
    train/eval flag or grad mode. Calls from several threads on one network run one after the other. While a call
    runs, the network is in evaluation mode and its parameters may need no gradients for other threads too: where one
    of them trains it, explain a copy, ``ExplainedModel(copy.deepcopy(network))``.

    ``runner`` calls the network and ``layers`` is a :class:`fusioncam.model.layer_search.LayerSearch`. What only one
    method needs is a function of another module of this package, such as
    :func:`fusioncam.model.hessian_product.record_with_hessian_product`.

    Args:
        network: any module that returns class scores ``(N, classes)``, or a wrapper of :mod:`fusioncam.tasks`.
        layer: a dotted module name, also with indices as in ``layer4[-1]``, or a module of the network; None selects
            the last layer with feature maps, see ``layers``.
        grid: the ``(rows, columns)`` of a transformer's tokens where the network does not determine it.
        prefix: number of class, register or detection tokens before these.
        suffix: number of such tokens after these.
        reshape: a function from the output of ``layer`` to its feature maps ``(N, K, h, w)``, for layers that are not
            read by themselves.
        preprocessing: how an image becomes an input; the default is ImageNet's.
        labels: class names in order; by default those that a wrapper of :mod:`fusioncam.tasks` knows, or those of a
            network's ``config.id2label``.
        name: of the model in results; by default that of its class.
        speed: how masked images are batched.
        extra: the network's inputs beside the image, by name or in order. Inputs with one row go along with every
            image, inputs with N rows with N images, and a callable is called with the number of rows. A network that
            takes one dict or tuple gets one.
        vary: name or position of the image among the inputs; by default the first. Methods also take all inputs at
            once, ``method(model, (left, right), target)``; several names then yield a heatmap each.
        read: the part of the output that holds the scores: a key, a position, or a function from the output to
            ``(N, classes)``.

    Examples:
        ```python
        model = fc.ExplainedModel(network, labels=["cat", "dog"], preprocessing=fc.Preprocessing((64, 64), 64))
        heatmaps = fc.METHODS["grad-cam"](model, x, target)  # x (N, C, H, W), target (N,) -> (N, H, W)
        ```
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str | nn.Module | Sequence[str | nn.Module] | None = None,
        *,
        grid: Sequence[int] | None = None,
        prefix: int | None = None,
        suffix: int | None = None,
        reshape: ReshapeFunction | None = None,
        preprocessing: Preprocessing | None = None,
        labels: Sequence[str] | None = None,
        name: str | None = None,
        speed: Speed | None = None,
        extra: Extra | None = None,
        vary: Vary = None,
        read: Read = None,
        _runner: NetworkRunner | None = None,
        _layers: LayerSearch | None = None,
    ) -> None:
        network = with_reachable_layers(network)
        varied = tuple(vary) if isinstance(vary, (tuple, list)) else (vary,)
        self.vary = varied
        self.runner = _runner or NetworkRunner(network, speed or Speed(), Calling(extra, varied[0], read))
        self.network = network
        self.layer = None if layer is None else layer_name(network, layer)
        self.grid = None if grid is None else tuple(grid)
        self.prefix, self.suffix, self.reshape = prefix, suffix, reshape
        self.preprocessing = preprocessing or Preprocessing.for_channels(input_channels(network))
        if labels is None:
            labels = getattr(network, "row_labels", None) or labels_of_config(network)
        self.labels = None if labels is None else tuple(labels)
        self.name = name or type(network).__name__
        self.speed = speed or Speed()
        if reshape is not None and layer is None:
            raise SettingError("reshape reads the output of one layer: pass layer=... too")
        reading = None if reshape is None else Reshape(reshape)
        hint = TokenHint(self.grid, prefix, suffix)
        self.layers = _layers or LayerSearch(self.runner, self.layer, hint, reading)
        self._ablation = LayerAblation(self.runner, self.layers)

    def __repr__(self) -> str:
        layer = "" if self.layer is None else f", layer='{self.layer}'"
        return f"ExplainedModel({self.name}{layer})"

    def with_layer(self, layer: str | nn.Module) -> ExplainedModel:
        """Return the same network with another target layer."""
        return self._with(self.network, layer)

    def with_network(self, network: nn.Module) -> ExplainedModel:
        """Return another network with the same settings."""
        return self._with(network, self.layer)

    def called(self, calling: Calling, layers: LayerSearch | None = None) -> ExplainedModel:
        """Return the same network called in another way; ``layers`` is the search of one called with other inputs."""
        reader = self.runner.reader if calling.read == self.runner.calling.read else None
        runner = NetworkRunner(self.network, self.speed, calling, reader)
        return self._with(self.network, self.layer, runner, layers)

    def with_fixed_rows(self, rows: int) -> ExplainedModel:
        """Return the same network, which runs only on batches of so many images, in their order."""
        runner = NetworkRunner(self.network, self.speed, self.runner.calling, self.runner.reader, fixed_rows=rows)
        return self._with(self.network, self.layer, runner)

    def _with(
        self,
        network: nn.Module,
        layer: str | nn.Module | None,
        runner: NetworkRunner | None = None,
        layers: LayerSearch | None = None,
    ) -> ExplainedModel:
        calling = self.runner.calling
        return ExplainedModel(
            network,
            layer,
            extra=calling.extra,
            vary=self.vary,
            read=calling.read,
            _layers=layers,
            grid=self.grid,
            prefix=self.prefix,
            suffix=self.suffix,
            reshape=self.reshape,
            preprocessing=self.preprocessing,
            labels=self.labels,
            name=self.name,
            speed=self.speed,
            # a runner keeps what it found out about its network
            _runner=runner or (self.runner if network is self.network else None),
        )

    @property
    def device(self) -> torch.device:
        """The device of the network's parameters."""
        parameter = next(self.network.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device

    def layer_for(self, x: Tensor) -> str:
        """Return the target layer for ``x``: short for ``layers.default(x)``."""
        return self.layers.default(x)

    def candidates(self, x: Tensor) -> list[Candidate]:
        """Return the layers with feature maps for ``x``: short for ``layers.candidates(x)``."""
        return self.layers.candidates(x)

    def describe(self, x: Tensor, size: tuple[int, int] | None = None) -> Description:
        """Return what the network does with the first image of ``x``.

        The description says what the outputs are, whether they are random, whether hooks and gradients work, which
        layer is explained and how it is read, and what to change. ``size`` is the (width, height) of the image before
        the preprocessing, to describe how much of it is cropped away. It takes about ten passes, and raises no error
        for the network.

        >>> from torch import nn
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1))
        >>> print(ExplainedModel(network).describe(torch.ones(1, 3, 8, 8)).reading)
        probabilities that sum to 1
        """
        return describe(self.runner, self.layers, x, self.preprocessing, self.name, size)

    @memoize_pass
    def logits(self, x: Tensor) -> Tensor:
        """Return the network's raw outputs ``(N, classes)`` for ``x`` ``(N, C, *s)``."""
        with self.runner.exclusive_eval(grad=False):
            return self.runner(self.runner.validate_input(x))

    def scores(self, x: Tensor, target: Target, readout: str) -> Tensor:
        """Return the target's logit or probability ``(N,)``; ``readout`` is "logit" or "probability"."""
        return score_from_logits(self.logits(x), target, readout)

    def record(self, x: Tensor, target: Target, layer: str | nn.Module | None = None) -> Record:
        """Return the layer's activations and the gradients of the target's logit, from one pass.

        A floating ``target`` ``(N, classes)`` weights a sum of logits. Raises :class:`LayerError` if the layer is
        missing, does not run exactly once, does not output feature maps, or does not influence the target's logit.
        """
        return self.records(x, target, [layer])[0]

    def records(
        self, x: Tensor, target: Target, layers: Iterable[str | nn.Module | None], *, skip_unused: bool = False
    ) -> list[Record]:
        """Return the records of several layers, from one pass; None is the target layer.

        ``skip_unused`` leaves out the layers that the target's logit does not depend on, if it depends on others.
        """
        names = [self._layer_name(x, layer) for layer in layers]
        prefetched = (layer or self.layers.default(x) for layer in prefetched_layers(x))
        records = self._record_layers(x, target, frozenset([*names, *prefetched]), skip_unused)
        return [records[name] for name in names if name in records]

    def _layer_name(self, x: Tensor, layer: str | nn.Module | None) -> str:
        return self.layers.default(x) if layer is None else layer_name(self.network, layer)

    @memoize_pass
    def _record_layers(
        self, x: Tensor, target: Target, layers: frozenset[str], skip_unused: bool
    ) -> dict[str, Record]:
        return record_layers(self.runner, x, target, layers, self.layers, skip_unused=skip_unused)

    def masked_scores(
        self, x: Tensor, masks: MaskSource, target: Target, *, readout: str, fill: Fill = "mean"
    ) -> Tensor:
        """Return the target's score of every image under every mask, ``(M, N)``.

        ``masks`` ``(M, N, *s)`` is a tensor or any source of :mod:`fusioncam.functional.masks`; one batch of masked
        images is in memory at a time. A mask that its source marks as not active costs no pass, and its score is NaN.
        ``fill`` is shown where a mask is 0: a name of ``FILLS``, pixels ``(N, C, *s)``, or a callable that returns
        pixels for images ``(B, C, *s)`` and their masks ``(B, *s)``.

        Raises :class:`ShapeError` for masks that do not fit ``x``.
        """
        return masked_passes.masked_scores(self.runner, x, masks, target, readout, fill, self.preprocessing)

    def ablated_scores(
        self, x: Tensor, changes: Changes, target: Target, *, readout: str, layer: str | nn.Module | None = None
    ) -> Tensor:
        """Return the target's score ``(M, N)`` after each of the changes of the layer's feature maps.

        The passes start at the layer: the part of the network before it runs once per image and batch. Where that is
        impossible, for example on a branch that is joined with others, whole passes run.
        """
        layer = self._layer_name(x, layer)
        with self.runner.exclusive_eval(grad=False):
            x = self.runner.validate_input(x)
            return self._ablation.scores(x, changes, as_targets(target, x), readout, layer)

    def fill_pixels(self, x: Tensor, fill: str | Tensor) -> Tensor:
        """Return what is shown where a mask is 0, ``(N, C, *s)``: a name of ``FILLS``, or pixels."""
        return masked_passes.fill_pixels(x, fill, self.preprocessing)

    at, background, finer = alias("with_layer"), alias("fill_pixels"), alias("layers.higher_resolution")
