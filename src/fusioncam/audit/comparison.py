"""Two networks on the same images: which decisions change, and for which classes the heat moves most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fusioncam.audit.classes import mean_of
from fusioncam.audit.heat import Grid, similarity
from fusioncam.audit.records import Record, by_class, grids_of, rounded
from fusioncam.errors import SettingError
from fusioncam.model.explained_model import ExplainedModel

Pair = tuple[Record, Record]


def require_same_classes(model: ExplainedModel, other: ExplainedModel, counts: tuple[int | None, int | None]) -> None:
    """Raise :class:`SettingError` unless two networks have the same classes."""
    if counts[0] != counts[1]:
        raise SettingError(
            f"{model.name} has {counts[0]} classes and the other network {counts[1]}: compare networks of the same "
            "classes"
        )
    names = [set(map(str.casefold, one.labels)) for one in (model, other) if one.labels is not None]
    if len(names) == len(counts) and names[0] != names[1]:
        raise SettingError(f"{model.name} and {other.name} have classes of other names: compare networks of the same")


def compare(records: Sequence[Record], others: Sequence[Record]) -> dict[str, Any]:
    """Return a row for each class of the first network, and one for each image whose decision changed.

    The heat is compared for images with the same decision: for others the two heatmaps explain different classes.
    Classes are in the order of the similarity of their heatmaps, the least similar first.
    """
    second = {one.image: one for one in others}
    pairs = [(one, second[one.image]) for one in records if one.image in second]
    classes = [_class_row(members, second) for members in by_class([one for one, _ in pairs]).values()]
    changed = [_changed_row(one, other) for one, other in pairs if one.target != other.target]
    classes.sort(key=lambda row: (row["similarity"] is None, row["similarity"]))
    return {"images": len(pairs), "classes": classes, "changed": changed}


def _class_row(members: Sequence[Record], second: dict[str, Record]) -> dict[str, Any]:
    own = [(one, second[one.image]) for one in members]
    same = [(one, other) for one, other in own if one.target == other.target]
    alike = [one for one in same if one[0].grid.shape == one[1].grid.shape]
    facts = {
        "target": members[0].target,
        "label": members[0].label,
        "images": len(own),
        "changed": len(own) - len(same),
        "mended": sum(one.right is False and other.right is True for one, other in own),
        "broken": sum(one.right is True and other.right is False for one, other in own),
        "similarity": mean_of(similarity(one.grid, other.grid) for one, other in alike),
        "on_object": mean_of(one.on_object for one, _ in same),
        "on_object_other": mean_of(other.on_object for _, other in same),
        "difference": _difference(alike),
        "examples": [one.image for one, other in sorted(alike, key=_alike)[:3]],
    }
    return {name: rounded(value) for name, value in facts.items()}


def _difference(pairs: Sequence[Pair]) -> Grid | None:
    """Return where the second network has more heat on average, and where less; None without pairs."""
    if not pairs:
        return None
    difference: Grid = grids_of([other for _, other in pairs]).mean(0) - grids_of([one for one, _ in pairs]).mean(0)
    return difference


def _alike(pair: Pair) -> float:
    return similarity(pair[0].grid, pair[1].grid)


def _changed_row(one: Record, other: Record) -> dict[str, Any]:
    facts: dict[str, Any] = {"image": one.image, "target": one.target, "label": one.label}
    facts |= {"probability": one.probability, "right": one.right, "target_other": other.target}
    facts |= {"label_other": other.label, "probability_other": other.probability, "right_other": other.right}
    facts["similarity"] = similarity(one.grid, other.grid) if one.grid.shape == other.grid.shape else None
    return {name: rounded(value) for name, value in facts.items()}
