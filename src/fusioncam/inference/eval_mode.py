"""Exclusive use of a network in evaluation mode, which restores every flag, and computations without a graph."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from fusioncam.inference.compiled_parts import CompiledPart, run_compiled, run_eagerly
from fusioncam.inference.modules import all_modules
from fusioncam.inference.whole_kernels import use_convolutions, use_products
from fusioncam.utils.forks import new_in_child


@dataclass(frozen=True, eq=False)
class _Changes:
    """The modules whose training flags are cleared, the frozen parameters, and the modules that run otherwise."""

    training: list[nn.Module]
    trained: list[Tensor]
    compiled: list[CompiledPart]
    convolutions: list[nn.Module]

    def undo(self) -> None:
        for module in self.training:
            module.training = True
        for parameter in self.trained:
            parameter.requires_grad = True
        use_convolutions(self.convolutions)
        run_compiled(self.compiled)


def _no_locks() -> MutableMapping[object, threading.RLock]:
    return WeakIdKeyDictionary()


_RNNS = {"RNN", "LSTM", "GRU"}
# one lock for all networks with the same first parameter: several wrappers may share modules, and so their flags
_locks = new_in_child(_no_locks)
_locks_guard = new_in_child(threading.Lock)
# what is changed at this moment, with the thread that restores it
_changed: list[tuple[int, _Changes]] = []


@contextmanager
def exclusive_eval(network: nn.Module, *, grad: bool, frozen: bool = False) -> Iterator[None]:
    """Lock the network for this thread, in evaluation mode and not compiled, with or without gradients.

    With ``frozen`` no parameter requires a gradient, so that what is computed before a tensor that does has no graph.
    """
    with _locks_guard():
        lock = _locks().setdefault(next(network.parameters(), network), threading.RLock())
    with lock:
        modules = all_modules(network)
        cudnn = _without_cudnn(modules) if grad else nullcontext()
        with torch.inference_mode(False), torch.set_grad_enabled(grad), _evaluating(modules, frozen), cudnn:
            yield


@contextmanager
def without_graph() -> Iterator[None]:
    """Compute tensors that need no gradient; they are ordinary ones also inside ``torch.inference_mode()``.

    Autograd cannot save tensors of inference mode, so that methods which need gradients would fail on them.
    """
    with torch.inference_mode(False), torch.no_grad():
        yield


def _without_cudnn(modules: Sequence[nn.Module]) -> AbstractContextManager[object]:
    """Return a context without cuDNN if there is an RNN: cuDNN's RNNs have no backward pass in evaluation."""
    recurrent = any(
        isinstance(module, nn.RNNBase)
        or (isinstance(module, torch.jit.ScriptModule) and getattr(module, "original_name", None) in _RNNS)
        for module in modules
    )
    return torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()


@contextmanager
def _evaluating(modules: Sequence[nn.Module], frozen: bool) -> Iterator[None]:
    """Clear the training flag of every module, without calling ``eval``; undo that, and other changes, at the end."""
    # frozen TorchScript has no flags
    training = [module for module in modules if getattr(module, "training", False)]
    changes = _Changes(training, _trained(modules) if frozen else [], [], [])
    entry = (threading.get_ident(), changes)
    _changed.append(entry)
    try:
        for module in training:
            module.training = False
        for parameter in changes.trained:
            parameter.requires_grad = False
        changes.compiled.extend(run_eagerly(modules))
        changes.convolutions.extend(use_products(modules))
        yield
    finally:
        changes.undo()
        _changed.remove(entry)


def _trained(modules: Sequence[nn.Module]) -> list[Tensor]:
    """Return the parameters that require a gradient, apart from those whose flag cannot be set back."""
    parameters = (one for module in modules for one in module._parameters.values() if one is not None)
    return [one for one in parameters if one.requires_grad and one.is_leaf and not one.is_inference()]


def _restore_for_other_threads() -> None:
    """Undo the changes of threads that a fork did not copy."""
    for thread, changes in _changed:
        if thread != threading.get_ident():
            changes.undo()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_restore_for_other_threads)
