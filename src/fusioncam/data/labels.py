"""Class labels: where they are read from, and which class a name stands for."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from timm.data import ImageNetInfo

from fusioncam.data.label_files import parse_labels
from fusioncam.errors import TargetError, suggestion


@cache
def imagenet_labels() -> tuple[str, ...]:
    """Return the 1,000 ImageNet class names in the usual order; synonyms are separated by commas."""
    return of_subset("imagenet-1k")


def of_subset(subset: str) -> tuple[str, ...]:
    """Return the class names of one of timm's ImageNet subsets."""
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(index) for index in range(info.num_classes()))


def labels_of_config(network: object) -> tuple[str, ...] | None:
    """Return the class names in a network's ``config.id2label``, as transformers has it; None if there are none.

    Its default names, LABEL_0 and so on, say nothing and are no class names.

    >>> from types import SimpleNamespace
    >>> labels_of_config(SimpleNamespace(config=SimpleNamespace(id2label={1: "dog", 0: "cat"})))
    ('cat', 'dog')
    """
    names = getattr(getattr(network, "config", None), "id2label", None)
    if not isinstance(names, Mapping) or set(names) != set(range(len(names))):
        return None
    ordered = tuple(str(names[index]) for index in range(len(names)))
    return None if all(name == f"LABEL_{index}" for index, name in enumerate(ordered)) else ordered


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names from a file, in the order of the network's outputs.

    It has one name per line, optionally with indices from 0 or WordNet ids, or is a CSV with a header or JSON. Raises
    :class:`TargetError` for a file that cannot be read, is not UTF-8 or has another form.
    """
    try:
        return parse_labels(path.read_text(encoding="utf-8-sig"), path.suffix.lower())
    except (OSError, ValueError, csv.Error) as error:
        raise TargetError(f"cannot read the class names in {path}: {error}") from error


def find_class(name: str, labels: Sequence[str]) -> int:
    """Return the index of the class with this name or synonym; case does not matter.

    Raises :class:`TargetError` for a name of no class or of several.

    >>> find_class("tabby", ["tiger cat", "tabby, tabby cat"])
    1
    """
    wanted = name.strip().casefold()
    synonyms = [[part.strip().casefold() for part in label.split(",")] for label in labels]
    found = [index for index, label in enumerate(labels) if wanted in (label.casefold(), *synonyms[index])]
    if len(found) == 1:
        return found[0]
    if found:
        matches = "; ".join(f"{index} ({labels[index]})" for index in found)
        raise TargetError(f"'{name}' is the name of {len(found)} classes: {matches}: give the index")
    names = [synonym for parts in synonyms for synonym in parts]
    # whole words only: "tiger cat" is suggested for "cat", "crate" is not suggested for "rate"
    kinds = [synonym for synonym in names if synonym.endswith(f" {wanted}")]
    raise TargetError(f"the network has no class '{name}'; {suggestion(wanted, kinds or names, limit=8)}")
