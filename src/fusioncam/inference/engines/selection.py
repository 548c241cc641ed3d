"""Choose the engine of repeated passes, and keep converted networks for as long as their networks exist."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from fusioncam.errors import EngineError
from fusioncam.inference.agreement import scores_agree
from fusioncam.inference.allocator import release_freed
from fusioncam.inference.cache import memoize_pass
from fusioncam.inference.context import current_context
from fusioncam.inference.engines import model_cache
from fusioncam.inference.engines.conversion import Forward, conversion_failure, convert
from fusioncam.inference.engines.fingerprint import file_key, fingerprint
from fusioncam.inference.engines.fixed_graph import watched_pass
from fusioncam.inference.engines.openvino_import import installed, openvino
from fusioncam.inference.engines.openvino_network import OpenVinoNetwork
from fusioncam.inference.hooks import has_hooks
from fusioncam.inference.replicas import can_copy
from fusioncam.inference.settings import Speed, computes_bfloat16

# "auto" does not look at fewer passes: reading the parameters would take as long as some of them
_MIN_JOBS = 64
# the frames of a clip make few passes each, but many together, and read the parameters once a frame
_MIN_JOBS_OF_FRAME = 8
# seconds that passes in PyTorch have to take before a conversion is worth it: it takes 3 to 5 seconds, a stored copy
# one, and passes in OpenVINO take 0.4 to 0.9 of the time
_WORTH_CONVERTING, _WORTH_LOADING = 5.0, 2.0
# largest difference from PyTorch's scores, in errors of rounding of the largest score; measured: up to 15, and
# 147 for a MobileNetV2 with 8-bit weights on an image of zeros
_ROUNDINGS = 1000
# compiled copies that are kept of one network, for several input sizes or precisions
_MAX_COPIES = 2

# hash of the network, input shape (1, C, *s), number of requests and of threads, precision
_Key = tuple[str, torch.Size, int, int, torch.dtype]


@dataclass
class _Copies:
    """The compiled copies of one network, and what is known about it."""

    compiled: dict[_Key, OpenVinoNetwork] = field(default_factory=dict)
    # by the network's hash and the input shape: why there is no copy, and the seconds of its passes in PyTorch
    failures: dict[tuple[str, torch.Size], str] = field(default_factory=dict)
    spent: dict[tuple[str, torch.Size], float] = field(default_factory=dict)
    # by the input shape: the seconds of one pass, and of all passes so far
    seconds: dict[torch.Size, float] = field(default_factory=dict)
    total: dict[torch.Size, float] = field(default_factory=dict)


# by network, since several models may wrap the same one
_copies: WeakKeyDictionary[nn.Module, _Copies] = WeakKeyDictionary()


class EngineSelection:
    """The engine of one network's repeated passes.

    ``forward`` runs the network on inputs, and ``read`` returns the logits of its outputs for inputs. ``call_key``
    is what the outputs depend on beside the network and the inputs; None means that it cannot be converted.
    ``name`` is the engine of the last call, None before the first one, and ``reason`` says why that was PyTorch.
    """

    def __init__(
        self,
        network: nn.Module,
        speed: Speed,
        forward: Forward,
        read: Callable[[Tensor, Tensor], Tensor],
        call_key: str | None = "",
    ) -> None:
        self._network, self._speed, self._forward, self._read = network, speed, forward, read
        self._call_key = call_key
        self.name: str | None = None
        self.reason: str | None = None

    def openvino_calls(self, x: Tensor, jobs: int, workers: int) -> Sequence[Callable[[Tensor], Tensor]] | None:
        """Return functions from inputs like ``x`` to logits, one per worker; None if PyTorch runs.

        Raises :class:`EngineError` if OpenVINO is requested by name and cannot run the network.
        """
        try:
            calls = self._calls(x, jobs, workers)
            self.name, self.reason = "openvino", None
        except EngineError as error:
            if self._speed.engine == "openvino":
                raise
            calls, self.name, self.reason = None, "torch", str(error)
        return calls

    def _calls(self, x: Tensor, jobs: int, workers: int) -> Sequence[Callable[[Tensor], Tensor]]:
        """Return the functions; raise :class:`EngineError` with the reason if PyTorch is to run."""
        self._require_suitable(x, jobs)
        shape, copies = x[:1].shape, _copies.setdefault(self._network, _Copies())
        planned = self._planned_seconds(copies, x, jobs, shape) if self._speed.engine == "auto" else 0.0
        state = self._state()
        key = (state, shape, workers, torch.get_num_threads(), self._speed.dtype(x.device) or torch.float32)
        if key not in copies.compiled:
            if (state, shape) in copies.failures:
                raise EngineError(copies.failures[state, shape])
            if self._speed.engine == "auto":
                self._require_worth(copies, planned, key)
            try:
                copies.compiled[key] = self._compile(x, key)
            except EngineError as error:
                copies.failures[state, shape] = str(error)
                raise
            for old in list(copies.compiled)[:-_MAX_COPIES]:
                del copies.compiled[old]
        return copies.compiled[key].calls

    def _require_suitable(self, x: Tensor, jobs: int) -> None:
        """Raise :class:`EngineError` if OpenVINO is not to run this network, device and number of passes."""
        if self._speed.engine == "torch":
            raise EngineError("PyTorch was chosen")
        reason = self._reason_against(x)
        if reason is not None:
            raise EngineError(f"{reason}: choose the engine 'torch' or 'auto'")
        if self._speed.engine == "openvino":
            openvino()  # raises MissingExtraError with the command that installs it
            return
        if self._speed.compile is True:
            raise EngineError("PyTorch compiles the network")
        if not installed():
            raise EngineError('OpenVINO is not installed: pip install "fusioncam[openvino]"')
        if jobs < (_MIN_JOBS if current_context().last_scores is None else _MIN_JOBS_OF_FRAME):
            raise EngineError(f"{jobs} passes do not repay a conversion")

    def _reason_against(self, x: Tensor) -> str | None:
        dtypes = {tensor.dtype for tensor in self._network.parameters()} | {x.dtype}
        reduced = self._speed.dtype(x.device)
        if self._call_key is None:
            return "the engine 'openvino' needs a network of one input, whose output no function reads"
        if x.device.type != "cpu":
            return f"the engine 'openvino' needs the network on a CPU, and it is on {x.device}"
        if dtypes != {torch.float32}:
            names = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
            return f"the engine 'openvino' needs a float32 network, and this one has {names}"
        if reduced not in (None, torch.bfloat16) or (reduced is not None and not computes_bfloat16(x.device)):
            return f"the engine 'openvino' does not compute in {self._speed.precision} on this processor"
        if has_hooks(self._network):
            return "the engine 'openvino' does not run the hooks of this network"
        if not can_copy(self._network):
            return "the engine 'openvino' needs a network of Python modules, and this one is compiled"
        return None

    @memoize_pass
    def _state(self) -> str:
        """Return a hash of the network for each call of a method, because it may have changed in between."""
        try:
            return fingerprint(self._network) + str(self._call_key)
        except Exception as error:  # a foreign tensor type may have no values to read
            raise EngineError(f"the parameters cannot be read: {error}") from None

    def _planned_seconds(self, copies: _Copies, x: Tensor, jobs: int, shape: torch.Size) -> float:
        """Return how long the passes take in PyTorch; raise :class:`EngineError` if that is always too short."""
        if shape not in copies.seconds:
            copies.seconds[shape] = self._seconds_per_pass(x)
        planned = jobs * copies.seconds[shape]
        copies.total[shape] = copies.total.get(shape, 0) + planned
        _require_seconds(copies.total[shape], _WORTH_LOADING)
        return planned

    def _require_worth(self, copies: _Copies, planned: float, key: _Key) -> None:
        """Raise :class:`EngineError` unless the passes so far and the planned ones take longer than a conversion."""
        state, shape = key[:2]
        spent = copies.spent[state, shape] = copies.spent.get((state, shape), 0) + planned
        if spent < _WORTH_CONVERTING:
            stored = model_cache.contains(file_key(state, self._network, shape))
            _require_seconds(spent, _WORTH_LOADING if stored else _WORTH_CONVERTING)

    def _seconds_per_pass(self, x: Tensor) -> float:
        self._forward(self._network, x[:1])
        start = time.perf_counter()
        self._forward(self._network, x[:1])
        return time.perf_counter() - start

    def _compile(self, x: Tensor, key: _Key) -> OpenVinoNetwork:
        """Return a compiled copy that returns the network's scores; raise :class:`EngineError` if there is none."""
        state, shape, requests, threads, dtype = key
        examples = _examples(x)
        # an earlier pass decides how outputs are read, also in wrappers inside the network
        self._read(self._forward(self._network, x[:1]), x[:1])
        checked = partial(self._checked, requests, threads, examples)
        name = file_key(state, self._network, shape)
        model, compiled = model_cache.load(name, self._network), None
        if model is not None:
            with suppress(EngineError):  # convert again
                compiled = checked(self._forward_each(examples), model)
        if compiled is None:
            model_cache.discard(name)
            scores = self._watched_scores(examples)
            # recorded on other values than those compared: what left PyTorch, as in NumPy, is recorded as a constant
            model = convert(self._network, self._forward, examples[:1] / 3)
            compiled = checked(scores, model)
            model_cache.store(name, model, self._network)
        return compiled if dtype == torch.float32 else OpenVinoNetwork(model, requests, threads, dtype)

    def _watched_scores(self, examples: Tensor) -> Tensor:
        """Return the scores; raise :class:`EngineError` if no recorded graph can represent the network."""
        scores, reason = watched_pass(self._network, lambda: self._forward_each(examples))
        if reason is not None:
            raise EngineError(f"OpenVINO cannot run {type(self._network).__name__}: {reason}")
        return scores

    def _forward_each(self, examples: Tensor) -> Tensor:
        return torch.cat([self._forward(self._network, one) for one in torch.split(examples, 1)])

    def _checked(
        self, requests: int, threads: int, examples: Tensor, scores: Tensor, model: object
    ) -> OpenVinoNetwork:
        """Compile a model; raise :class:`EngineError` unless its scores are those of PyTorch."""
        name = type(self._network).__name__
        release_freed()
        try:
            compiled = OpenVinoNetwork(model, requests, threads)
            copied = compiled.calls[-1](examples)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot compile {name}: {conversion_failure(error)}") from None
        if not scores_agree(self._read(copied, examples), self._read(scores, examples), _ROUNDINGS):
            raise EngineError(f"OpenVINO returns other scores than PyTorch for {name}")
        return compiled


def _require_seconds(seconds: float, needed: float) -> None:
    if seconds < needed:
        raise EngineError(f"{seconds:.2g} seconds of passes do not repay a conversion")


def _examples(x: Tensor) -> Tensor:
    """Return four different inputs: the first of ``x`` as it is, mirrored, with less contrast, and zeros."""
    first = x[:1]
    return torch.cat([first, first.flip(-1), first / 2, torch.zeros_like(first)])
