"""The object that answers what methods and metrics ask of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import LayerError, MethodError, NonFiniteError, ShapeError, require_known
from fusioncam.functional.heatmaps import precise
from fusioncam.functional.masks import FILLS, Fill, MaskSource, active_pairs, at, blend
from fusioncam.inference import hooks
from fusioncam.inference.batching import score_in_batches
from fusioncam.inference.cache import memoize_pass, prefetched_layers
from fusioncam.inference.forward import NetworkRunner
from fusioncam.inference.settings import Speed
from fusioncam.model.attention_gradients import attention_gradients
from fusioncam.model.layer_ablation import Ablation, Changes
from fusioncam.model.layer_search import Candidate, candidates, finer, last_maps
from fusioncam.model.layouts import named_layout
from fusioncam.model.parameters import added_bias, linear_head
from fusioncam.model.scores import Target, as_targets, read


@dataclass(frozen=True)
class Record:
    """What one recorded pass saw: ``activations`` and ``gradients`` ``(N, K, *s)`` of ``layer``, ``logits``."""

    layer: str
    activations: Tensor
    gradients: Tensor
    logits: Tensor


class ExplainedModel:
    """A network, where its maps are, and how pixels become its inputs. It alone calls the network.

    ``layer`` is a dotted module name; None finds the last maps on the way to the scores. ``grid`` gives the
    ``(rows, columns)`` of a transformer's tokens where their number does not tell. ``labels`` are the class
    names in order. ``speed`` says how masked images go through: see :class:`Speed`.

    No call leaves a trace: no hook, no ``.grad``, no changed train/eval flag, no changed grad mode, also after
    an error. Calls from several threads on one network take turns.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str | None = None,
        *,
        grid: Sequence[int] | None = None,
        preprocessing: Preprocessing | None = None,
        labels: Sequence[str] | None = None,
        name: str | None = None,
        speed: Speed | None = None,
    ) -> None:
        self._call = NetworkRunner(network, speed or Speed())
        if layer is not None:
            hooks.find(network, layer)
        self.network = network
        self.layer = layer
        self.grid = None if grid is None else tuple(grid)
        self.preprocessing = preprocessing or Preprocessing()
        self.labels = None if labels is None else tuple(labels)
        self.name = name or type(network).__name__
        self.speed = speed or Speed()
        self._found: dict[torch.Size, str] = {}
        self._traces: dict[torch.Size, list[hooks.ModuleCall]] = {}
        self._ablation = Ablation(self._call, self.grid)

    def with_layer(self, layer: str) -> ExplainedModel:
        """Give the same network, explained at another layer."""
        return ExplainedModel(
            self.network,
            layer,
            grid=self.grid,
            preprocessing=self.preprocessing,
            labels=self.labels,
            name=self.name,
            speed=self.speed,
        )

    @property
    def device(self) -> torch.device:
        """Where the network's parameters are."""
        parameter = next(self.network.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device

    # -- the questions ------------------------------------------------------------------------------------

    @memoize_pass
    def logits(self, x: Tensor) -> Tensor:
        """Give the network's raw scores ``(N, classes)`` for ``x`` ``(N, C, *s)``."""
        with self._call.exclusive_eval(grad=False):
            return self._call(self._call.validate_input(x))

    def scores(self, x: Tensor, target: Target, readout: str) -> Tensor:
        """Give the target's logit or probability ``(N,)``."""
        return self.score_from_logits(self.logits(x), target, readout)

    def score_from_logits(self, logits: Tensor, target: Target, readout: str) -> Tensor:
        """Read the target's score ``(N,)`` from logits that a record holds."""
        return read(logits, as_targets(target, logits), readout)

    def record(self, x: Tensor, target: Target, layer: str | None = None) -> Record:
        """Give the activations of the layer and the gradients of the target's logit, in one pass.

        A floating ``target`` ``(N, classes)`` weighs a sum of logits. Raises :class:`LayerError` if the layer is
        missing, does not run exactly once, gives no maps, or the target's logit does not depend on it.
        """
        return self.records(x, target, [layer])[0]

    def records(self, x: Tensor, target: Target, layers: Iterable[str | None]) -> list[Record]:
        """Give the records of several layers, in one pass; None is the model's layer."""
        named = [layer or self.layer_for(x) for layer in layers]
        others = (layer or self.layer_for(x) for layer in prefetched_layers(x))
        recorded = self._recorded(x, target, frozenset([*named, *others]))
        return [recorded[layer] for layer in named]

    def record_with_hessian_product(
        self, x: Tensor, target: Target, layer: str | None = None, readout: str = "logit"
    ) -> tuple[Record, Tensor]:
        """Give a record, and the Hessian of the score by the activations times these, ``(N, K, *s)``.

        ``readout`` may be "rest" beside those of every score: see :mod:`fusioncam.model.scores`.
        """
        layer = layer or self.layer_for(x)
        # of the attentions only the plain one has a second derivative
        with self._call.exclusive_eval(grad=True), sdpa_kernel(SDPBackend.MATH):
            logits, outputs = self._forward(self._call.validate_input(x), [layer])
            score = read(logits, as_targets(target, logits), readout).sum()
            (gradients,) = self._gradients(score, outputs, graph=True)
            layout = named_layout(layer, outputs[layer].shape, x.shape, self.grid)
            activations = layout.maps(outputs[layer]).detach()
            along = (layout.maps(gradients) * activations).sum()
            product = None
            if along.requires_grad:  # where the score is linear in the layer there is no graph, and no curvature
                (product,) = torch.autograd.grad(along, outputs[layer], allow_unused=True)
        parts = (activations, layout.maps(gradients), logits)
        record = Record(layer, *(precise(one.detach()) for one in parts))
        curvature = torch.zeros_like(activations) if product is None else layout.maps(product)
        return record, precise(curvature.detach())

    def attention_gradients(self, x: Tensor, target: Target) -> Tensor:
        """Give how each place moves each block's own score through its attention, ``(L, N, *s)``: see LeGrad."""
        with self._call.exclusive_eval(grad=True):
            x = self._call.validate_input(x)
            return precise(attention_gradients(self._call, x, as_targets(target, x), self.grid))

    def input_gradients(self, x: Tensor, target: Target) -> Tensor:
        """Give the gradient of the target's logit by every pixel ``(N, C, *s)``."""
        with self._call.exclusive_eval(grad=True):
            pixels = self._call.validate_input(x).requires_grad_()
            score = read(self._call(pixels), as_targets(target, pixels), "logit").sum()
            return precise(torch.autograd.grad(score, pixels)[0])

    def masked_scores(
        self, x: Tensor, masks: MaskSource, target: Target, *, readout: str, fill: Fill = "mean"
    ) -> Tensor:
        """Give the target's score of every image under every mask, ``(M, N)``.

        ``masks`` is ``(M, N, *s)``, a tensor or any source of :mod:`fusioncam.functional.masks`; one chunk of masked
        images is in memory at a time. Where the source says that a mask is not active the score is NaN, and
        no pass is spent. ``fill`` shows where a mask is 0: a name of ``FILLS``, pixels ``(N, C, *s)``, or a
        callable that makes them from images ``(B, C, *s)`` and the masks ``(B, *s)`` in front of them.
        """
        with self._call.exclusive_eval(grad=False):
            x = self._call.validate_input(x)
            if tuple(masks.shape[1:]) != (len(x), *x.shape[2:]):
                want = f"(M, {len(x)}, {', '.join(map(str, x.shape[2:]))})"
                raise ShapeError(f"masks for x {tuple(x.shape)} are {want}, got {tuple(masks.shape)}")
            if isinstance(masks, Tensor):
                masks = masks.to(x.device)
            targets = as_targets(target, x)
            behind = self._behind(x, fill)

            def score(call: Callable[[Tensor], Tensor], pairs: Tensor) -> Tensor:
                which, image = pairs.unbind(1)
                mask = masks[which, image].to(x.device)
                shown = blend(at(x, image), mask, behind(image, mask))
                return read(call(shown), targets[image], readout)

            pairs = active_pairs(masks).to(x.device)
            calls, pace = self._call.replica_calls(x, len(pairs))
            values = score_in_batches([partial(score, call) for call in calls], pairs, pace)
        scores = torch.full(tuple(masks.shape[:2]), torch.nan, dtype=precise(x).dtype, device=x.device)
        scores[pairs[:, 0], pairs[:, 1]] = values.to(scores)
        return scores

    @contextmanager
    def replica_calls(self, x: Tensor, jobs: int) -> Iterator[tuple[Sequence[Callable[[Tensor], Tensor]], int]]:
        """Lend what so many masked inputs like ``x`` would go through, a callable a worker, and how many at once.

        It is there to be timed, in the block: its passes are not counted.
        """
        with self._call.exclusive_eval(grad=False):
            calls, pace = self._call.replica_calls(self._call.validate_input(x), jobs)
            yield calls, pace.size

    def mask_gradients(
        self, x: Tensor, masks: Tensor, target: Target, *, readout: str, fill: Fill = "mean"
    ) -> tuple[Tensor, Tensor]:
        """Give the scores ``(N,)`` of images under one mask each, and their gradients by the masks ``(N, *s)``."""
        with self._call.exclusive_eval(grad=True):
            x = self._call.validate_input(x)
            masks = masks.detach().to(x).requires_grad_()
            every = torch.arange(len(x), device=x.device)
            shown = blend(x, masks, self._behind(x, fill)(every, masks))
            scores = read(self._call(shown), as_targets(target, x), readout)
            (gradients,) = torch.autograd.grad(scores.sum(), masks)
            return scores.detach(), precise(gradients)

    def ablated_scores(
        self, x: Tensor, changes: Changes, target: Target, *, readout: str, layer: str | None = None
    ) -> Tensor:
        """Give the target's score ``(M, N)`` after each of the changes of the layer's maps.

        The passes start at the layer: the part before it sees each image once a chunk. Where that cannot be,
        as on a branch that is joined with others, whole passes are made.
        """
        layer = layer or self.layer_for(x)
        with self._call.exclusive_eval(grad=False):
            x = self._call.validate_input(x)
            return self._ablation.scores(x, changes, as_targets(target, x), readout, layer)

    def head_weights(self, record: Record, target: Target) -> Tensor:
        """Give the target's row ``(N, K)`` of the linear layer that makes the logits of the maps' averages.

        Raises :class:`MethodError` if no layer of the network does.
        """
        rows = linear_head(self.network, record.activations.flatten(2).mean(2), record.logits)
        if rows is None:
            raise MethodError(
                f"cam needs one linear layer behind the average of layer '{record.layer}': this network has none; "
                "hires-cam and grad-cam give the same where it has, and serve every network"
            )
        return rows[as_targets(target, record.logits)]

    # -- where the maps are -------------------------------------------------------------------------------

    def candidates(self, x: Tensor) -> list[Candidate]:
        """List the layers that give maps for ``x``, in the order in which they end."""
        return candidates(self._trace(x), (2, *x.shape[1:]), self.grid)

    def layer_for(self, x: Tensor) -> str:
        """Give the layer that was named, else the last that gives maps for inputs of this shape.

        Of layers that give tokens it is the last whose places the scores depend on: behind the last
        attention a class token goes on alone. Raises :class:`LayerError` if no layer gives maps.
        """
        if self.layer is not None:
            return self.layer
        if x.shape[1:] not in self._found:
            found = last_maps(self._trace(x), (2, *x.shape[1:]), self.grid)
            self._found[x.shape[1:]] = found[0].name if found[0].layout.channels_first else self._on_the_way(x, found)
        return self._found[x.shape[1:]]

    def higher_resolution_layers(self, x: Tensor, layer: str | None = None) -> list[str]:
        """List the last layers before ``layer`` whose maps have 2, 4, 8... times its sides, coarse to fine."""
        return finer(self._trace(x), (2, *x.shape[1:]), layer or self.layer_for(x), self.grid)

    def channel_biases(self, x: Tensor) -> dict[str, Tensor]:
        """Give what convolutions and BatchNorms add to each channel ``(K, 1...)``, by the layer where it is added."""
        added = {}
        for one in self.candidates(x):
            name, bias = added_bias(one.name, hooks.find(self.network, one.name))
            if bias is not None:
                added[name] = precise(bias.detach()).reshape(-1, *[1] * (x.dim() - 2))
        return added

    def _trace(self, x: Tensor) -> list[hooks.ModuleCall]:
        """Give what every layer gave for inputs of this shape, traced once."""
        if x.shape[1:] not in self._traces:
            # two images, for what has no side for images to be told from what has
            with self._call.exclusive_eval(grad=False), hooks.trace(self.network) as ran:
                self._call(self._call.validate_input(x)[:1].expand(2, *x.shape[1:]))
            self._traces[x.shape[1:]] = ran
        return self._traces[x.shape[1:]]

    def _on_the_way(self, x: Tensor, found: Sequence[Candidate]) -> str:
        """Name the first candidate whose maps, without the tokens in front, move the highest logit."""
        with self._call.exclusive_eval(grad=True):
            x = self._call.validate_input(x)[:1]
            with hooks.capture(self.network, [one.name for one in found]) as outputs:
                logits = self._call(x)
            maps = [outputs[one.name][0] for one in found]
            gradients = torch.autograd.grad(logits.max(), maps, allow_unused=True)
        moved = (
            one.name
            for one, gradient in zip(found, gradients, strict=True)
            if gradient is not None and one.layout.maps(gradient).any()
        )
        return next(moved, found[0].name)  # a head that is still all zeros moves nothing

    # -- inside -------------------------------------------------------------------------------------------

    @memoize_pass
    def _recorded(self, x: Tensor, target: Target, layers: frozenset[str]) -> dict[str, Record]:
        with self._call.exclusive_eval(grad=True):
            logits, maps = self._forward(self._call.validate_input(x), layers)
            score = read(logits, as_targets(target, logits), "logit").sum()
            gradients = self._gradients(score, maps)
        recorded = {}
        for (layer, one), gradient in zip(maps.items(), gradients, strict=True):
            layout = named_layout(layer, one.shape, x.shape, self.grid)
            activations, gradient = (precise(layout.maps(part.detach())) for part in (one, gradient))
            recorded[layer] = Record(layer, activations, gradient, precise(logits.detach()))
        return recorded

    def _forward(self, x: Tensor, layers: Iterable[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the logits, and what each layer gave, which must be one tensor of maps."""
        with hooks.capture(self.network, layers) as outputs:
            logits = self._call(x)
        for layer, given in outputs.items():
            hooks.require_once(layer, len(given))
            named_layout(layer, given[0].shape, x.shape, self.grid)
        return logits, {layer: given[0] for layer, given in outputs.items()}

    def _gradients(self, score: Tensor, maps: dict[str, Tensor], *, graph: bool = False) -> Sequence[Tensor]:
        gradients: Sequence[Tensor | None] = [None] * len(maps)
        if score.requires_grad:
            gradients = torch.autograd.grad(score, list(maps.values()), allow_unused=True, create_graph=graph)
        for (layer, one), gradient in zip(maps.items(), gradients, strict=True):
            if gradient is None:
                raise LayerError(f"the scores do not depend on layer '{layer}': name one on the way to them")
            if not (gradient.isfinite().all() and one.isfinite().all()):
                raise NonFiniteError(f"layer '{layer}' has NaN or infinity in its activations or gradients")
        return [gradient for gradient in gradients if gradient is not None]

    def _behind(self, x: Tensor, fill: Fill) -> Callable[[Tensor, Tensor], Tensor]:
        """Give what says, of indices of images and the masks ``(B, *s)`` before them, what shows behind."""
        if callable(fill):
            return lambda image, masks: fill(at(x, image), masks)
        background = self.fill_pixels(x, fill)
        return lambda image, masks: at(background, image)

    def fill_pixels(self, x: Tensor, fill: str | Tensor) -> Tensor:
        """Give what shows where a mask is 0, ``(N, C, *s)``: a name of ``FILLS``, or pixels."""
        if isinstance(fill, Tensor):
            return fill.to(x).expand_as(x)
        require_known("fill", fill, FILLS)
        shape = (1, -1) + (1,) * (x.dim() - 2)
        mean, std = self.preprocessing.mean, self.preprocessing.std
        return FILLS[fill](x, x.new_tensor(mean).reshape(shape), x.new_tensor(std).reshape(shape))
