"""A network is left as it was found: nobody else on it meanwhile, every flag given back."""

from __future__ import annotations

import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

# one lock for all that share a first parameter: train flags and hooks are the network's, whatever wraps it
_locks: MutableMapping[object, threading.RLock] = WeakIdKeyDictionary()
_locks_guard = threading.Lock()


@contextmanager
def exclusive_eval(network: nn.Module, *, grad: bool) -> Iterator[None]:
    """Have the network for oneself, in evaluation, with or without gradients."""
    with _locks_guard:
        lock = _locks.setdefault(next(network.parameters(), network), threading.RLock())
    with lock, torch.inference_mode(False), torch.set_grad_enabled(grad), _evaluating(network):
        yield


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
