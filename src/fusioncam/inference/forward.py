"""The only code that calls the network, and leaves it as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from fusioncam.errors import ShapeError
from fusioncam.inference.allocator import keep_freed
from fusioncam.inference.batching import ChunkSizeTuner
from fusioncam.inference.batchnorm_folding import Folding
from fusioncam.inference.cache import memoize_pass
from fusioncam.inference.costs import record_passes
from fusioncam.inference.eval_mode import exclusive_eval
from fusioncam.inference.replicas import Compiled, copies, may_be_copied
from fusioncam.inference.settings import Speed


class NetworkRunner:
    """A network behind a door: what goes in is checked and brought to it, a row of scores comes out."""

    def __init__(self, network: nn.Module, speed: Speed) -> None:
        if not isinstance(network, nn.Module):
            raise ShapeError(f"expected a network (an instance of torch.nn.Module), got {network!r}")
        self.network = network
        self.speed = speed
        self._channels_last = True
        self._paces: dict[tuple[torch.Size, torch.device], ChunkSizeTuner] = {}
        self._compiled: dict[tuple[torch.Size, torch.device], Compiled] = {}
        self._folding: Folding | None = None

    def exclusive_eval(self, *, grad: bool) -> AbstractContextManager[None]:
        """Have the network for oneself, in evaluation, with or without gradients."""
        return exclusive_eval(self.network, grad=grad)

    def validate_input(self, x: Tensor) -> Tensor:
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

    def __call__(self, x: Tensor, *, counted: bool = True, rows: int | None = None) -> Tensor:
        """Give logits ``(N, classes)``; ``rows`` says how many come out where a hook hands on more than went in."""
        logits = _rows(self.network(x), rows or len(x))
        if counted:
            record_passes(passes=len(x), planned=len(x))
        return logits

    # -- many passes --------------------------------------------------------------------------------------

    def replica_calls(self, x: Tensor, jobs: int) -> tuple[Sequence[Callable[[Tensor], Tensor]], ChunkSizeTuner]:
        """Give what calls the network for so many inputs like ``x``, side by side and uncounted, and at what pace.

        Each has a network of its own, with the same parameters: a forward pass may keep things in its modules.
        """
        if x.device.type == "cpu":
            keep_freed()
        pace = self._paces.setdefault((x.shape[1:], x.device), ChunkSizeTuner(self.speed.sizes(x.device)))
        wanted = min(self.speed.side_by_side(x.device), max(1, -(-jobs // pace.size)))
        if self.speed.compiles(x.device, jobs * (pace.best or 0)):
            compiled = self._compiled_for(x, pace.size, max(1, torch.get_num_threads() // wanted))
            if compiled.ready:
                return [partial(self._fast, compiled, lambda jobs: compiled.size)] * wanted, ChunkSizeTuner(
                    (compiled.size,)
                )
        if x.device.type != "cpu" and jobs < min(pace.sizes):
            # too few to be worth setting the GPU up for another size with its channels last
            return [partial(self._plain, self.network)], pace
        folds = self.speed.folds(x.device, jobs) and self._can_fold(x)
        network = self._folded() if folds else self.network
        size = partial(_full, pace, x.device)
        return [partial(self._fast, one, size) for one in self._copies(network, wanted)], pace

    @contextmanager
    def exclusive_replicas(self, x: Tensor, jobs: int) -> Iterator[tuple[Sequence[Callable[[Tensor], Tensor]], int]]:
        """Yield what :meth:`replica_calls` returns for so many inputs like ``x``, and the batch size, to be timed."""
        with self.exclusive_eval(grad=False):
            replicas, tuner = self.replica_calls(self.validate_input(x), jobs)
            yield replicas, tuner.size

    def _can_fold(self, x: Tensor) -> bool:
        """Look, once for a network, for BatchNorms that can be put into the convolution before them."""
        if not may_be_copied(self.network):
            return False
        if self._folding is None or not self._folding.made_for.are_of(self.network):
            one = self._ordered(x[:1])
            self._folding = Folding(self.network, lambda network: _rows(network(one), 1))
        return bool(self._folding.pairs)

    @memoize_pass
    def _folded(self) -> nn.Module:
        """Fold the network anew for each call of a method: its weights may have changed since the last."""
        return self.network if self._folding is None else self._folding(self.network)

    @memoize_pass
    def _copies(self, network: nn.Module, wanted: int) -> Sequence[nn.Module]:
        return copies(network, wanted)

    def _compiled_for(self, x: Tensor, size: int, threads: int) -> Compiled:
        key = (x.shape[1:], x.device)
        if key not in self._compiled or not self._compiled[key].made_for.are_of(self.network):
            like = self._ordered(x[:1].expand(size, *x.shape[1:]))
            with self._reduced(x.device):
                self._compiled[key] = Compiled(self.network, like, threads)
        return self._compiled[key]

    def _ordered(self, x: Tensor) -> Tensor:
        """Order the pixels as they are convolved fastest, unless the network turned out not to bear it."""
        last = self._channels_last and x.dim() == 4
        return x.contiguous(memory_format=torch.channels_last) if last else x.contiguous()

    def _plain(self, network: Callable[[Tensor], object], x: Tensor) -> Tensor:
        with self._reduced(x.device):
            return _rows(network(x), len(x))

    def _fast(self, network: Callable[[Tensor], object], size: Callable[[int], int], x: Tensor) -> Tensor:
        """Give the logits of ``x``, whose last input is repeated to make up the ``size`` of so many."""
        missing = size(len(x)) - len(x)
        filled = torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) if missing else x
        try:
            with self._reduced(x.device):
                return _rows(network(self._ordered(filled)), len(filled))[: len(x)]
        except RuntimeError as error:
            if not self._channels_last or "view size is not compatible" not in str(error):
                raise
        self._channels_last = False
        return self._fast(network, size, x)

    def _reduced(self, device: torch.device) -> AbstractContextManager[object]:
        dtype = self.speed.dtype(device)
        return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def _full(pace: ChunkSizeTuner, device: torch.device, jobs: int) -> int:
    """Give to how many inputs jobs are filled up: a full chunk on a GPU, which is set up anew for every size."""
    return jobs if device.type == "cpu" else min((size for size in pace.sizes if size >= jobs), default=jobs)


def _rows(output: object, rows: int) -> Tensor:
    """Give the logits ``(rows, classes)``, which a network gives itself or as ``.logits`` (Hugging Face)."""
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", output)
    if not (isinstance(logits, Tensor) and logits.dim() == 2 and len(logits) == rows):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ShapeError(
            f"expected the network to give scores ({rows}, classes), got {got}: "
            "wrap it so that a row of scores comes out"
        )
    return logits[:rows]
