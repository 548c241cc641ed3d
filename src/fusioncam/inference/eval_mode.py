"""Exclusive use of a network in evaluation mode, which restores every flag."""

from __future__ import annotations

import threading
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

# one lock for all networks with the same first parameter: several wrappers may share modules, and so their flags
_locks: MutableMapping[object, threading.RLock] = WeakIdKeyDictionary()
_locks_guard = threading.Lock()


@contextmanager
def exclusive_eval(network: nn.Module, *, grad: bool) -> Iterator[None]:
    """Lock the network for this thread, in evaluation mode, with or without gradients."""
    with _locks_guard:
        lock = _locks.setdefault(next(network.parameters(), network), threading.RLock())
    cudnn = _without_cudnn(network) if grad else nullcontext()
    with lock, torch.inference_mode(False), torch.set_grad_enabled(grad), _evaluating(network), cudnn:
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
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
