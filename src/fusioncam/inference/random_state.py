"""Keep the random state of the caller, and describe networks that change it or return other scores each time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

# the least difference of the logits, as a share of the largest, that is no rounding
_TOLERANCE = 1e-2

ADVICE = (
    "remove what is random in evaluation: call F.dropout with training=self.training, and leave out noise, random "
    "crops and stochastic depth unless self.training"
)


@dataclass(frozen=True)
class Randomness:
    """What two passes of the same images show.

    ``generators`` are the global random generators that a pass uses. ``difference`` is the largest difference between
    the logits of the two passes, as a share of the largest logit.
    """

    generators: tuple[str, ...]
    difference: float

    @property
    def is_random(self) -> bool:
        """Whether the network draws random numbers, or returns other scores for the same image."""
        return bool(self.generators) or self.difference > _TOLERANCE

    def __str__(self) -> str:
        source = f"draws random numbers ({', '.join(self.generators)})" if self.generators else "is random"
        return (
            f"the network {source} in evaluation mode: two passes of the same image differ by up to "
            f"{self.difference:.1%} of the largest logit, and heatmaps differ from run to run"
        )


class _Generator(NamedTuple):
    """A global random generator: how its state is read, written and turned into bytes or numbers to compare."""

    get: Callable[[], Any]
    set: Callable[[Any], object]
    key: Callable[[Any], object]


def _tensor_key(state: torch.Tensor) -> bytes:
    return state.numpy().tobytes()


def _generators(device: torch.device) -> dict[str, _Generator]:
    found = {
        "torch": _Generator(torch.get_rng_state, torch.set_rng_state, _tensor_key),
        "Python's random": _Generator(random.getstate, random.setstate, lambda state: state),
        "NumPy": _Generator(np.random.get_state, np.random.set_state, lambda state: (state[1].tobytes(), *state[2:])),
    }
    if device.type == "cuda":
        get, set_ = partial(torch.cuda.get_rng_state, device), partial(torch.cuda.set_rng_state, device=device)
        found["torch on CUDA"] = _Generator(get, set_, _tensor_key)
    return found


@contextmanager
def kept_random_state(device: torch.device) -> Iterator[Callable[[], tuple[str, ...]]]:
    """Restore the global random generators at the end of the block.

    Yields a function that returns the names of those that were used since the block began.
    """
    generators = _generators(device)
    states = {name: generator.get() for name, generator in generators.items()}

    def used() -> tuple[str, ...]:
        return tuple(name for name, (get, _, key) in generators.items() if key(get()) != key(states[name]))

    try:
        yield used
    finally:
        for name, generator in generators.items():
            generator.set(states[name])


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the CPU's and the device's random numbers in this block; restore the caller's state afterwards."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
