"""Comparison of two plans: what differs, and whether one only adds to the other."""

from __future__ import annotations

from typing import Any

from fusioncam.benchmark.plan import KEY_OF_SETTING, LISTS, Plan


def differences(before: Plan, after: Plan) -> list[str]:
    """Return one line per setting that differs, as ``key: before -> after``, or with + and - for lists of names.

    >>> differences(Plan("photos", seed=1), Plan("photos", seed=2, metrics=("increase", "road")))[:2]
    ['metric: + road, - average-drop, - deletion, - insertion', 'seed: 1 -> 2']
    """
    lines = []
    for name, key in KEY_OF_SETTING.items():
        old, new = _setting(before, name), _setting(after, name)
        if name in LISTS and {*old} != {*new}:
            changes = [f"+ {added}" for added in sorted({*new} - {*old})]
            changes += [f"- {removed}" for removed in sorted({*old} - {*new})]
            lines.append(f"{key}: {', '.join(changes)}")
        elif name not in LISTS and old != new:
            lines.append(f"{key}: {_as_yaml(old)} -> {_as_yaml(new)}")
    return lines


def only_adds(before: Plan, after: Plan) -> bool:
    """Return whether the second plan has everything that the first has."""
    adds = all({*getattr(before, name)} <= {*getattr(after, name)} for name in LISTS)
    as_many = after.limit is None or (before.limit is not None and before.limit <= after.limit)
    others = (name for name in KEY_OF_SETTING if name not in (*LISTS, "limit"))
    return adds and as_many and all(_setting(before, name) == _setting(after, name) for name in others)


def only_adds_metrics(before: Plan, after: Plan) -> bool:
    """Return whether the second plan has all metrics of the first, maybe more, and is otherwise the same."""
    same = all({*getattr(before, name)} == {*getattr(after, name)} for name in ("models", "methods"))
    return only_adds(before, after) and same and before.limit == after.limit


def _setting(plan: Plan, name: str) -> Any:
    """Return a setting; earlier versions kept no heatmaps by default, and stored that as false."""
    value = getattr(plan, name)
    return bool(value) if name == "keep_heatmaps" else value


def _as_yaml(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
