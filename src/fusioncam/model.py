"""The only code that calls the network."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from . import hooks
from .errors import LayerError, NonFiniteError, ShapeError, TargetError, require_known
from .layers import Candidate, candidates, last_map
from .masks import FILLS, MaskSource, alive_pairs, blend
from .preprocessing import Preprocessing
from .sharing import once
from .sweep import count, default_chunk, sweep

READOUTS = ("logit", "probability")
Target = int | Sequence[int] | Tensor

# one lock a network, whoever wraps it: train flags and hooks are the network's, not the wrapper's
_locks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_locks_guard = threading.Lock()


@dataclass(frozen=True)
class Record:
    """What one recorded pass saw: ``activations`` and ``gradients`` ``(N, K, *s)`` of ``layer``, ``logits``."""

    layer: str
    activations: Tensor
    gradients: Tensor
    logits: Tensor


class ExplainedModel:
    """A network, where its maps are, and how pixels become its inputs. It alone calls the network.

    ``layer`` is a dotted module name; None finds the last spatial map before pooling. ``labels`` are the class
    names in order. ``chunk`` is how many masked pictures go through at once; None lets the device decide.

    No call leaves a trace: no hook, no ``.grad``, no changed train/eval flag, no changed grad mode, also after
    an error. Calls from several threads on one network take turns.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str | None = None,
        *,
        preprocessing: Preprocessing | None = None,
        labels: Sequence[str] | None = None,
        name: str | None = None,
        chunk: int | None = None,
    ) -> None:
        if not isinstance(network, nn.Module):
            raise ShapeError(f"expected a network (an instance of torch.nn.Module), got {network!r}")
        if layer is not None:
            hooks.find(network, layer)
        self.network = network
        self.layer = layer
        self.preprocessing = preprocessing or Preprocessing()
        self.labels = None if labels is None else tuple(labels)
        self.name = name or type(network).__name__
        self.chunk = chunk
        self._found: dict[torch.Size, str] = {}
        self._channels_last = True

    def at(self, layer: str) -> ExplainedModel:
        """Give the same network, explained at another layer."""
        return ExplainedModel(
            self.network,
            layer,
            preprocessing=self.preprocessing,
            labels=self.labels,
            name=self.name,
            chunk=self.chunk,
        )

    @property
    def device(self) -> torch.device:
        """Where the network's parameters are."""
        parameter = next(self.network.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device

    # -- the questions ------------------------------------------------------------------------------------

    @once
    def logits(self, x: Tensor) -> Tensor:
        """Give the network's raw scores ``(N, classes)`` for ``x`` ``(N, C, *s)``."""
        with self._quiet(grad=False):
            return self._logits(self._door(x))

    @once
    def record(self, x: Tensor, target: Target, layer: str | None = None) -> Record:
        """Give the activations of the layer and the gradients of the target's logit, in one pass.

        Raises :class:`LayerError` if the layer is missing, does not run exactly once, gives no maps, or the
        target's logit does not depend on it.
        """
        with self._quiet(grad=True):
            x = self._door(x)
            layer = layer or self.layer_for(x)
            with hooks.capture(self.network, layer) as outputs:
                logits = self._logits(x)
            maps = self._only(outputs, layer, x)
            score = read(logits, self._targets(target, x), "logit").sum()
            gradients = self._gradient(score, maps, layer)
        return Record(layer, *(precise(one.detach()) for one in (maps, gradients, logits)))

    def scores(self, x: Tensor, target: Target, readout: str) -> Tensor:
        """Give the target's logit or probability ``(N,)``."""
        return read(self.logits(x), self._targets(target, x), readout)

    def masked_scores(
        self, x: Tensor, masks: MaskSource, target: Target, *, readout: str, fill: str = "mean"
    ) -> Tensor:
        """Give the target's score of every picture under every mask, ``(M, N)``.

        ``masks`` is ``(M, N, *s)``, a tensor or any source of :mod:`fusioncam.masks`; one chunk of masked
        pictures is in memory at a time. Where the source says that a mask is not alive the score is NaN, and
        no pass is spent.
        """
        require_known("fill", fill, FILLS)
        with self._quiet(grad=False):
            x = self._door(x)
            if tuple(masks.shape[1:]) != (len(x), *x.shape[2:]):
                want = f"(M, {len(x)}, {', '.join(map(str, x.shape[2:]))})"
                raise ShapeError(f"masks for x {tuple(x.shape)} are {want}, got {tuple(masks.shape)}")
            targets = self._targets(target, x)
            background = FILLS[fill](x, *self._normalisation(x))

            def score(pairs: Tensor) -> Tensor:
                mask, picture = pairs.unbind(1)
                shown = blend(x[picture], masks[mask, picture], background[picture])
                return read(self._fast_logits(shown), targets[picture], readout)

            pairs = alive_pairs(masks).to(x.device)
            values = sweep(score, pairs, self.chunk or default_chunk(x.device))
        scores = values.new_full(tuple(masks.shape[:2]), torch.nan)
        scores[pairs[:, 0], pairs[:, 1]] = values
        return scores

    # -- where the maps are -------------------------------------------------------------------------------

    def candidates(self, x: Tensor) -> list[Candidate]:
        """List the layers that give maps for ``x``, in the order in which they end."""
        return candidates(self._trace(x), (1, *x.shape[1:]))

    def layer_for(self, x: Tensor) -> str:
        """Give the layer that was named, else the last that gives maps for inputs of this shape.

        Raises :class:`LayerError` if no layer does, or if tokens follow it.
        """
        if self.layer is not None:
            return self.layer
        if x.shape[1:] not in self._found:
            self._found[x.shape[1:]] = last_map(self._trace(x), (1, *x.shape[1:]))
        return self._found[x.shape[1:]]

    def _trace(self, x: Tensor) -> list[hooks.Ran]:
        with self._quiet(grad=False), hooks.trace(self.network) as ran:
            self._logits(self._door(x)[:1])
        return ran

    # -- inside -------------------------------------------------------------------------------------------

    @contextmanager
    def _quiet(self, *, grad: bool) -> Iterator[None]:
        with _locks_guard:
            lock = _locks.setdefault(self.network, threading.RLock())
        with lock, torch.inference_mode(False), torch.set_grad_enabled(grad), _evaluating(self.network):
            yield

    def _door(self, x: Tensor) -> Tensor:
        """Check the input and bring it to where and what the network computes in."""
        if not isinstance(x, Tensor):
            raise ShapeError(f"expected a tensor x (N, C, H, W), got {type(x).__name__}")
        sides = self._sides()
        if x.dim() != sides + 2 or len(x) == 0:
            want = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}[sides]
            hint = ": add x[None]" if x.dim() == sides + 1 else ""
            raise ShapeError(f"expected x {want} with N > 0, got {tuple(x.shape)}{hint}")
        parameter = next(self.network.parameters(), x)
        # autograd cannot save tensors that were made under inference mode
        x = x.detach().clone() if x.is_inference() else x.detach()
        return x.to(parameter.device, parameter.dtype)

    def _sides(self) -> int:
        """Tell how many spatial sides the network's inputs have, by its first convolution."""
        kinds = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}
        modules = list(self.network.modules())
        return next((sides for module in modules for kind, sides in kinds.items() if isinstance(module, kind)), 2)

    def _logits(self, x: Tensor, *, counted: bool = True) -> Tensor:
        logits = self.network(x)
        if not (isinstance(logits, Tensor) and logits.dim() == 2 and len(logits) == len(x)):
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ShapeError(
                f"expected the network to give scores ({len(x)}, classes), got {got}: "
                "wrap it so that a row of scores comes out"
            )
        if counted:
            count(passes=len(x), planned=len(x))
        return logits

    def _fast_logits(self, x: Tensor) -> Tensor:
        """Order the pixels as CPUs convolve fastest, unless the network turns out not to bear it."""
        if self._channels_last and x.dim() == 4 and x.device.type == "cpu":
            try:
                return self._logits(x.contiguous(memory_format=torch.channels_last), counted=False)
            except RuntimeError as error:
                if "view size is not compatible" not in str(error):
                    raise
                self._channels_last = False
        return self._logits(x, counted=False)

    def _targets(self, target: Target, x: Tensor) -> Tensor:
        try:
            targets = torch.as_tensor(target, device=x.device)
        except (TypeError, ValueError, RuntimeError):
            raise TargetError(f"targets are class indices, got {target!r}") from None
        if targets.is_floating_point() or targets.dtype == torch.bool:
            raise TargetError(f"targets are class indices, got {targets.dtype}: {targets.tolist()}")
        if targets.dim() > 1 or (targets.dim() == 1 and len(targets) != len(x)):
            raise TargetError(f"expected one target for each of {len(x)} pictures, got {tuple(targets.shape)}")
        return targets.long().expand(len(x))

    def _only(self, outputs: list[Tensor], layer: str, x: Tensor) -> Tensor:
        if len(outputs) != 1:
            raise LayerError(f"layer '{layer}' ran {len(outputs)} times in one pass: name one that runs once")
        maps = outputs[0]
        if maps.dim() != x.dim() or maps.shape[2:].numel() < 2 or len(maps) != len(x):
            raise LayerError(
                f"layer '{layer}' gives {tuple(maps.shape)}, which are no maps (N, K, h, w): "
                "`fusioncam list layers` shows those that do"
            )
        return maps

    def _gradient(self, score: Tensor, maps: Tensor, layer: str) -> Tensor:
        gradients = None
        if score.requires_grad:
            (gradients,) = torch.autograd.grad(score, maps, allow_unused=True)
        if gradients is None:
            raise LayerError(f"the scores do not depend on layer '{layer}': name one on the way to them")
        if not (gradients.isfinite().all() and maps.isfinite().all()):
            raise NonFiniteError(f"layer '{layer}' has NaN or infinity in its activations or gradients")
        return gradients

    def _normalisation(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shape = (1, -1) + (1,) * (x.dim() - 2)
        mean, std = self.preprocessing.mean, self.preprocessing.std
        return x.new_tensor(mean).reshape(shape), x.new_tensor(std).reshape(shape)


def precise(values: Tensor) -> Tensor:
    """Give float32 in place of half precision, so that sums and softmaxes over many channels hold."""
    return values if values.dtype == torch.float64 else values.float()


def read(logits: Tensor, targets: Tensor, readout: str) -> Tensor:
    """Read the targets' ``(N,)`` scores from logits ``(N, classes)``."""
    require_known("readout", readout, READOUTS)
    classes = logits.shape[1]
    wrong = targets[(targets < 0) | (targets >= classes)]
    if len(wrong):
        raise TargetError(f"class {int(wrong[0])} of {classes} classes: give an index from 0 to {classes - 1}")
    values = precise(logits).softmax(dim=1) if readout == "probability" else precise(logits)
    scores = values.gather(1, targets[:, None])[:, 0]
    if not scores.isfinite().all():
        raise NonFiniteError(f"the network gave {scores[~scores.isfinite()][0].item()} for class {int(targets[0])}")
    return scores


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Set every module to evaluation, by its flag alone, and give the flags back."""
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
