"""Class names: where they come from, and which class a name means."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from timm.data import ImageNetInfo

from fusioncam.errors import TargetError, suggestion


@cache
def imagenet_labels() -> tuple[str, ...]:
    """Give the 1,000 ImageNet class names in the usual order, synonyms after commas."""
    return of_subset("imagenet-1k")


def of_subset(subset: str) -> tuple[str, ...]:
    """Give the class names of one of timm's ImageNet subsets."""
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(index) for index in range(info.num_classes()))


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names from a text file, one a line, in the order of the network's outputs."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(f"cannot read the class names in {path}: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())


def find_class(name: str, labels: Sequence[str]) -> int:
    """Give the index of the class of that name or synonym, upper and lower case alike.

    >>> find_class("tabby", ["tiger cat", "tabby, tabby cat"])
    1
    """
    wanted = name.strip().casefold()
    synonyms = [[part.strip().casefold() for part in label.split(",")] for label in labels]
    found = [index for index, label in enumerate(labels) if wanted in (label.casefold(), *synonyms[index])]
    if len(found) == 1:
        return found[0]
    if found:
        those = "; ".join(f"{index} ({labels[index]})" for index in found)
        raise TargetError(f"'{name}' names {len(found)} classes: {those}: give the index")
    every = [synonym for parts in synonyms for synonym in parts]
    kinds = [synonym for synonym in every if synonym.endswith(f" {wanted}")]  # a tiger cat is a cat, a crate is not
    raise TargetError(f"the network has no class '{name}'; {suggestion(wanted, kinds or every, limit=8)}")
