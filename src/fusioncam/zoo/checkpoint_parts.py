"""Find the weights of a network among everything that a training checkpoint contains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from fusioncam.errors import cut

_DEPTH = 4  # of dictionaries in a checkpoint, such as a trainer's in a framework's


class Choice(NamedTuple):
    """A dictionary of tensors at ``location`` in a file, and how the network's names become its names."""

    location: str
    tensors: Mapping[str, Tensor]
    removed: str = ""
    added: str = ""

    def key(self, name: str) -> str | None:
        """Return the file's name of one of the network's tensors, None if it cannot have one."""
        return self.added + name.removeprefix(self.removed) if name.startswith(self.removed) else None

    def found(self, own: Mapping[str, Tensor]) -> tuple[int, int]:
        """Return how many of the network's tensors it has, in their shape and in any shape."""
        pairs = [(tensor, self.tensors.get(self.key(name) or "")) for name, tensor in own.items()]
        present = [(tensor, other) for tensor, other in pairs if other is not None]
        return sum(tensor.shape == shape_of(other) for tensor, other in present), len(present)

    def describe(self) -> str:
        """Return where the tensors are, for messages."""
        return f"'{self.location}.{self.added}*'".replace("'.", "'") if self.location else f"'{self.added}*'"

    def renamed(self, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors under the network's names, and those that it does not have under the file's."""
        keys = {name: key for name in own if (key := self.key(name)) is not None}
        used = {name: self.tensors[key] for name, key in keys.items() if key in self.tensors}
        return {name: one for name, one in self.tensors.items() if name not in keys.values()} | used


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape of a tensor; that of a nested tensor, which has none, is empty."""
    return () if tensor.is_nested else tuple(tensor.shape)


def parts(
    stored: Any, location: str = "", depth: int = _DEPTH, seen: set[int] | None = None
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the named tensors of each dictionary in a checkpoint, with its location, such as ``model.ema``.

    A dictionary that is there several times, such as one that contains itself, counts once.
    """
    seen = set() if seen is None else seen
    if not isinstance(stored, Mapping) or depth < 0 or id(stored) in seen:
        return
    seen.add(id(stored))
    tensors = {key: value for key, value in stored.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        yield location, tensors
    for key, value in stored.items():
        yield from parts(value, f"{location}.{cut(key)}".lstrip("."), depth - 1, seen)


def choices(stored: Any, own: Mapping[str, Tensor]) -> list[Choice]:
    """Return the parts and prefixes that have the most of the network's tensors; the largest part if none has any."""
    found = [choice for location, tensors in parts(stored) for choice in _prefixes(location, tensors, own)]
    if not found:
        return []
    counts = [choice.found(own) for choice in found]
    if max(counts) == (0, 0):
        return [max(found, key=lambda choice: len(choice.tensors))]
    best = [choice for choice, count in zip(found, counts, strict=True) if count == max(counts)]
    # two prefixes may lead to the same names
    return list({(choice.location, *map(choice.key, own)): choice for choice in reversed(best)}.values())[::-1]


def _prefixes(location: str, tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterator[Choice]:
    """Yield the part with every prefix by which names of both sides become equal."""
    yield Choice(location, tensors)  # also if no name fits, for the error
    names = list(own)
    samples = {*names[:3], *names[-3:]}  # the head may have another name
    for removed in ("", *{f"{name.partition('.')[0]}." for name in samples if "." in name}):
        bare = {name.removeprefix(removed) for name in samples if name.startswith(removed)}
        added = dict.fromkeys(key.removesuffix(name) for key in tensors for name in bare if _ends_with(key, name))
        yield from (Choice(location, tensors, removed, prefix) for prefix in added)


def _ends_with(key: str, name: str) -> bool:
    return key == name or key.endswith(f".{name}")
