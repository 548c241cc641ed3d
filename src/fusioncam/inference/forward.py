"""Run a network: check its input, count its passes, and read its scores, alone or in many parallel passes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from fusioncam.errors import FusionCamWarning, InputTypeError, ShapeError
from fusioncam.inference.allocator import keep_freed, release_freed
from fusioncam.inference.batching import ChunkSizeTuner, Scorer
from fusioncam.inference.batchnorm_folding import BatchNormFolding
from fusioncam.inference.cache import memoize_pass
from fusioncam.inference.calling import Calling
from fusioncam.inference.capabilities import fixed_shape_error
from fusioncam.inference.costs import record_passes
from fusioncam.inference.engines.selection import EngineSelection
from fusioncam.inference.eval_mode import exclusive_eval
from fusioncam.inference.input_check import dtype_of, input_channels, spatial_dims
from fusioncam.inference.output_reading import OutputReader
from fusioncam.inference.random_state import ADVICE, Randomness, kept_random_state
from fusioncam.inference.replicas import CompiledNetwork, can_copy, replicate
from fusioncam.inference.settings import Speed
from fusioncam.utils.recent import Recent

T = TypeVar("T")

# shapes of the input for which batch sizes and compiled networks are kept
_TUNED, _COMPILED = 64, 8


class NetworkRunner:
    """Runs a network: checks the input and converts it, counts the passes, and checks that the output is logits.

    ``calling`` is how the network is called. ``reader`` is that of a runner of the same network, which has decided
    how its outputs are read. ``fixed_rows`` is the only batch size on which the network runs, None for any size.

    Raises :class:`InputTypeError` if the network is not a ``torch.nn.Module``.
    """

    def __init__(
        self,
        network: nn.Module,
        speed: Speed,
        calling: Calling | None = None,
        reader: OutputReader | None = None,
        *,
        fixed_rows: int | None = None,
    ) -> None:
        if not isinstance(network, nn.Module):
            raise InputTypeError(f"expected a network (an instance of torch.nn.Module), got {network!r}")
        self.network = network
        self.speed = speed
        self.calling = calling or Calling()
        self.fixed_rows = fixed_rows
        self._channels_last = True
        self._taken = Recent[torch.Size, bool](_TUNED)
        self._tuners = Recent[tuple[torch.Size, torch.device], ChunkSizeTuner](_TUNED)
        self._compiled = Recent[tuple[torch.Size, torch.device], CompiledNetwork](_COMPILED)
        self._folding: BatchNormFolding | None = None
        self.reader = reader or OutputReader()
        self.engines = EngineSelection(network, speed, self._outputs, self._read, self.calling.engine_key)
        self._randomness: Randomness | None = None
        # whether a pass with gradients has failed with frozen parameters only
        self.needs_trained = False

    def exclusive_eval(self, *, grad: bool, frozen: bool = False) -> AbstractContextManager[None]:
        """Lock the network for this thread, in evaluation mode, with or without gradients, or frozen parameters."""
        return exclusive_eval(self.network, grad=grad, frozen=frozen)

    def validate_input(self, x: Tensor) -> Tensor:
        """Return the input, detached, with the device and dtype of the network.

        Raises :class:`InputTypeError` if it is not a tensor, and :class:`ShapeError` if it is not ``(N, C, *s)`` or
        the network does not take it.
        """
        if not isinstance(x, Tensor):
            raise InputTypeError(f"expected a tensor x (N, C, H, W), got {type(x).__name__}")
        x = x if type(x) is Tensor else x.as_subclass(Tensor)
        # autograd cannot save tensors that were made under inference mode
        converted = x.detach().clone() if x.is_inference() else x.detach()
        converted = converted.to(next(self.network.parameters(), x).device, dtype_of(self.network, x))
        sides = spatial_dims(self.network)
        if len(x) == 0 or (x.dim() != sides + 2 and not self._takes(converted)):
            expected = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}[sides]
            hint = ": use x[None]" if x.dim() == sides + 1 else ""
            raise ShapeError(f"expected x {expected} with N > 0, got {tuple(x.shape)}{hint}")
        channels = input_channels(self.network)
        if channels not in (None, x.shape[1]) and not self._takes(converted):
            raise ShapeError(
                f"the network takes {channels} channels, got x {tuple(x.shape)} with {x.shape[1]}: pass a "
                f"preprocessing with {channels} numbers in mean and std, Preprocessing(mean=(...), std=(...))"
            )
        return converted

    def _takes(self, x: Tensor) -> bool:
        """Return whether the network has scores for inputs that do not fit its first convolution; tried once."""
        if x.dim() < 3:
            return False
        return self._taken.get(x.shape[1:], lambda: self._try(x), bool)  # another try, if it did not

    def _try(self, x: Tensor) -> bool:
        try:
            with self.exclusive_eval(grad=False):
                self._outputs(self.network, x[:1])
        except Exception:  # a network may raise anything for a wrong shape
            return False
        return True

    def _outputs(self, network: Callable[[Tensor], object], x: Tensor) -> Tensor:
        """Return the outputs ``(B, classes)`` of the network or a replica."""
        return self.calling.outputs(network, x, len(x))

    def _logits(self, network: Callable[[Tensor], object], x: Tensor, rows: int) -> Tensor:
        """Return the logits ``(rows, classes)`` of the network or a replica."""
        try:
            return self.reader.logits(lambda: self.calling.outputs(network, x, rows), x)
        except (AssertionError, RuntimeError) as error:
            if refused := fixed_shape_error(error, x):
                raise refused from None
            raise

    def _read(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Return the logits of outputs that a copy of the network computed; the network's own pass decides how."""
        self._decide_reading(x)
        return self.reader.logits(lambda: outputs, x)

    def _decide_reading(self, x: Tensor) -> None:
        if self.reader.reading is None:
            self._logits(self.network, x[:1], 1)

    def __call__(self, x: Tensor, *, counted: bool = True, rows: int | None = None) -> Tensor:
        """Return logits ``(N, classes)``; ``rows`` is the number of rows where a hook changes the batch size."""
        logits = self._logits(self.network, x, rows or len(x))
        if counted:
            record_passes(passes=len(x), planned=len(x))
        return logits

    def output(self, x: Tensor) -> object:
        """Return what the network itself returns for ``x``, without gradients."""
        with self.exclusive_eval(grad=False):
            x = self.validate_input(x)
            record_passes(passes=len(x), planned=len(x))
            return self.calling(self.network, x)

    def randomness(self, x: Tensor) -> Randomness:
        """Return what two passes of ``x`` show; measured once per network. The caller's random state is kept."""
        if self._randomness is None:
            with self.exclusive_eval(grad=False), kept_random_state(x.device) as used:
                x = self.validate_input(x)
                first, second = (self(x, counted=False).double() for _ in range(2))
                generators = used()
            scale = first.abs().max().clamp_min(1e-12)
            self._randomness = Randomness(generators, ((first - second).abs().max() / scale).nan_to_num(0).item())
        return self._randomness

    def warn_if_random(self, x: Tensor) -> None:
        """Warn once per network that is random in evaluation mode."""
        if self._randomness is None and self.randomness(x).is_random:
            warnings.warn(f"{self._randomness}: {ADVICE}", FusionCamWarning, stacklevel=2)

    def with_fast_buffers(self, x: Tensor, compute: Callable[[Tensor], T]) -> T:
        """Return ``compute(x)``; on a CPU with channels last, if the network can, and with buffers that are kept.

        A GPU is set up again for every batch size with channels last, which takes longer than some passes.
        """
        if x.device.type != "cpu":
            return compute(x)
        keep_freed()
        return self._with_order(x, compute)

    # -- many passes --------------------------------------------------------------------------------------

    def replica_calls(self, x: Tensor, jobs: int) -> tuple[Sequence[Scorer], ChunkSizeTuner]:
        """Return functions from inputs like ``x`` to logits, one per worker, and the tuner of the batch size.

        Each function has its own replica of the network, since a forward pass may keep state in its modules. Their
        passes are not counted.
        """
        if self.fixed_rows is not None:
            return [partial(self._run, self.network)], ChunkSizeTuner((self.fixed_rows,))
        tuner = self._tuners.get((x.shape[1:], x.device), lambda: self._new_tuner(x.device))
        converted = self.engines.openvino_calls(x, jobs, self.speed.worker_count(x.device))
        if converted is not None:
            self._decide_reading(x)  # before several threads do
            each = max(1, -(-jobs // len(converted)))  # so that all workers have a part of few jobs
            return [partial(self._run_converted, call) for call in converted], tuner.at_most(each)
        workers = min(self.speed.worker_count(x.device), max(1, -(-jobs // tuner.size)))
        if self.speed.should_compile(x.device, jobs * (tuner.best or 0)):
            compiled = self._compiled_for(x, tuner.size, max(1, torch.get_num_threads() // workers))
            if compiled.ready:
                self._decide_reading(x)  # the operations of compiled code cannot be followed
                call = partial(self._run_padded, compiled, lambda jobs: compiled.size)
                return [call] * workers, ChunkSizeTuner((compiled.size,))
        if x.device.type != "cpu" and jobs < min(tuner.sizes):
            # too few jobs to set up the GPU for another batch size with channels last
            return [partial(self._run, self.network)], tuner
        folds = self.speed.should_fold(x.device, jobs) and self._can_fold(x)
        network = self._folded() if folds else self.network
        padded_size = partial(_padded_size, tuner, x.device)
        return [
            partial(self._run_padded, replica, padded_size) for replica in self._replicas(network, workers)
        ], tuner

    def _new_tuner(self, device: torch.device) -> ChunkSizeTuner:
        if device.type == "cpu":
            keep_freed()
            release_freed()  # layer search holds the output of every layer for a moment, which no later pass does
        return ChunkSizeTuner(self.speed.batch_sizes(device))

    @contextmanager
    def exclusive_replicas(self, x: Tensor, jobs: int) -> Iterator[tuple[Sequence[Scorer], int]]:
        """Yield what :meth:`replica_calls` returns for so many inputs like ``x``, and the batch size, to be timed."""
        with self.exclusive_eval(grad=False):
            calls, tuner = self.replica_calls(self.validate_input(x), jobs)
            yield calls, tuner.size

    def _can_fold(self, x: Tensor) -> bool:
        """Return whether the network has BatchNorms that can be folded; tested once per network."""
        if not can_copy(self.network):
            return False
        if self._folding is None or not self._folding.modules.matches(self.network):
            example = self._ordered(x[:1])
            self._folding = BatchNormFolding(self.network, lambda network: self._outputs(network, example))
        return bool(self._folding.pairs)

    @memoize_pass
    def _folded(self) -> nn.Module:
        """Fold the network for each call of a method, because its weights may have changed in between."""
        return self.network if self._folding is None else self._folding(self.network)

    @memoize_pass
    def _replicas(self, network: nn.Module, count: int) -> Sequence[nn.Module]:
        return replicate(network, count)

    def _compiled_for(self, x: Tensor, size: int, threads: int) -> CompiledNetwork:
        def compiled() -> CompiledNetwork:
            like = self._ordered(x[:1].expand(size, *x.shape[1:]))
            with self._reduced_precision(x.device):
                return CompiledNetwork(self.network, like, threads, self.calling)

        def is_current(known: CompiledNetwork) -> bool:
            return known.modules.matches(self.network)

        return self._compiled.get((x.shape[1:], x.device), compiled, is_current)

    def _ordered(self, x: Tensor) -> Tensor:
        """Return the input with channels last, which is faster, unless the network has failed with that."""
        channels_last = self._channels_last and x.dim() == 4
        return x.contiguous(memory_format=torch.channels_last) if channels_last else x.contiguous()

    def _run(self, network: Callable[[Tensor], object], x: Tensor) -> Tensor:
        with self._reduced_precision(x.device):
            return self._logits(network, x, len(x))

    def _run_padded(
        self, network: Callable[[Tensor], object], padded_size: Callable[[int], int], x: Tensor
    ) -> Tensor:
        """Return the logits of ``x``, with the last input repeated to fill up a batch of ``padded_size(len(x))``."""
        padded = _padded(x, padded_size(len(x)))
        with self._reduced_precision(x.device):
            return self._with_order(padded, lambda x: self._logits(network, x, len(x)))[: len(x)]

    def _with_order(self, x: Tensor, compute: Callable[[Tensor], T]) -> T:
        """Return ``compute(x)``, with channels last if the network can."""
        try:
            return compute(self._ordered(x))
        except RuntimeError as error:
            if not self._channels_last or "view size is not compatible" not in str(error):
                raise
        self._channels_last = False
        return compute(self._ordered(x))

    def _run_converted(self, call: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Return the logits of inputs from a converted copy of the network."""
        return self._read(call(x), x)

    def _reduced_precision(self, device: torch.device) -> AbstractContextManager[object]:
        dtype = self.speed.dtype(device)
        return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def _padded_size(tuner: ChunkSizeTuner, device: torch.device, jobs: int) -> int:
    """Return the size of the padded batch: a full one on a GPU, which is set up again for every other size."""
    return jobs if device.type == "cpu" else min((size for size in tuner.sizes if size >= jobs), default=jobs)


def _padded(x: Tensor, size: int) -> Tensor:
    """Return ``size`` inputs: those of ``x``, and the last one repeated."""
    missing = size - len(x)
    return torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) if missing > 0 else x
