"""Exclusive use of a network in evaluation mode, which restores every flag, and computations without a graph."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from fusioncam.utils.forks import new_in_child


def _no_locks() -> MutableMapping[object, threading.RLock]:
    return WeakIdKeyDictionary()


# one lock for all networks with the same first parameter: several wrappers may share modules, and so their flags
_locks = new_in_child(_no_locks)
_locks_guard = new_in_child(threading.Lock)
# the modules whose training flags are cleared at this moment, each list with the thread that restores them
_cleared: list[tuple[int, list[nn.Module]]] = []


@contextmanager
def exclusive_eval(network: nn.Module, *, grad: bool) -> Iterator[None]:
    """Lock the network for this thread, in evaluation mode, with or without gradients."""
    with _locks_guard():
        lock = _locks().setdefault(next(network.parameters(), network), threading.RLock())
    cudnn = _without_cudnn(network) if grad else nullcontext()
    with lock, torch.inference_mode(False), torch.set_grad_enabled(grad), _evaluating(network), cudnn:
        yield


@contextmanager
def without_graph() -> Iterator[None]:
    """Compute tensors that need no gradient; they are ordinary ones also inside ``torch.inference_mode()``.

    Autograd cannot save tensors of inference mode, so that methods which need gradients would fail on them.
    """
    with torch.inference_mode(False), torch.no_grad():
        yield


def _without_cudnn(network: nn.Module) -> AbstractContextManager[object]:
    """Return a context without cuDNN if the network has an RNN: cuDNN's RNNs have no backward pass in evaluation."""
    names = {"RNN", "LSTM", "GRU"}
    recurrent = any(
        isinstance(module, nn.RNNBase) or getattr(module, "original_name", None) in names
        for module in network.modules()
    )
    return torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Clear the training flag of every module, without calling ``eval``, and restore the flags."""
    # frozen TorchScript has no flags
    training = [module for module in network.modules() if getattr(module, "training", False)]
    entry = (threading.get_ident(), training)
    _cleared.append(entry)
    for module in training:
        module.training = False
    try:
        yield
    finally:
        _restore(training)
        _cleared.remove(entry)


def _restore(training: list[nn.Module]) -> None:
    for module in training:
        module.training = True


def _restore_for_other_threads() -> None:
    """Restore the flags that threads cleared which a fork did not copy."""
    for thread, training in _cleared:
        if thread != threading.get_ident():
            _restore(training)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_restore_for_other_threads)
