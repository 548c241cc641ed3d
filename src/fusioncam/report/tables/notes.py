"""What is said below tables: what marks mean, protocols, how many images, what failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fusioncam.report.results import Column, Results, parsed

SHARES = "† This method chooses by what the metric measures: its value is by construction, no evidence of its own."
BOLD = (
    "Bold: the best mean above the line, where it is better than every other method there (paired tests over "
    "images, Holm-corrected, p < 0.05). Italic: no method is so; the best mean and those that do not differ "
    "from it. Methods of the very same values count as one."
)
INTERVALS = (
    "Cells: mean over images [95 % bootstrap interval, BCa, 9,999 resamples]; no interval where all images have "
    "one value or there is but one."
)
PAIRED = (
    "Difference: method minus reference, mean over the images where both have a value [95 % bootstrap interval]. "
    "p: Wilcoxon's signed-rank test (zeros as Pratt has it), or McNemar's exact test where values are 0 or 1; "
    "Holm-corrected over the methods of the table. Effect: matched-pairs rank-biserial correlation, above 0 where "
    "the method is better than the reference. Bold: p < 0.05."
)
RANKS = (
    "Mean rank over the images where all methods have a value, 1 the best; baselines are not ranked. Ranks that "
    "differ by less than the critical difference (CD; Nemenyi, 5 %) do not differ. Friedman's p says whether any do."
)


def protocols(columns: Iterable[Column]) -> list[str]:
    """Say under which protocol each metric was measured, once."""
    told = {}
    for column in columns:
        if column.protocol:
            told[column.metric] = f"Protocol of {column.metric}: {protocol_text(column.protocol)}."
    return list(told.values())


def protocol_text(protocol: dict[str, Any]) -> str:
    """Write a protocol as a call.

    >>> protocol_text({"metric": "Insertion", "steps": 224, "fill": "blur"})
    'Insertion(steps=224, fill=blur)'
    """
    if not protocol:
        return ""
    facts = ", ".join(f"{name}={plain(value)}" for name, value in protocol.items() if name != "metric")
    return f"{protocol.get('metric', '')}({facts})"


def plain(value: Any) -> str:
    """Write a value as a SPEC does."""
    if isinstance(value, list):
        return f"[{', '.join(map(plain, value))}]"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def counted(results: Results, model: str, columns: Sequence[Column]) -> list[str]:
    """Say how many images there are, how many failed and where values are undefined or missing."""
    failures = results.failures[results.failures["model"] == model]
    own = failures[failures["method"].fillna("") == ""].drop_duplicates("image")
    counts = {column.metric: len(column.values) for column in columns}
    told = f"Images: {listed(counts)}" if len(set(counts.values())) > 1 else f"{max(counts.values())} images"
    notes = [f"{told}; {len(own)} more failed, the first: {first_error(own)}." if len(own) else f"{told}."]
    lost = results.lost(model)
    if len(lost):
        methods = lost.drop_duplicates(["image", "method"])["method"].value_counts(sort=False).to_dict()
        notes.append(f"Methods or their metrics failed on images: {listed(methods)}; the first: {first_error(lost)}.")
    for column in columns:
        if column.undefined:
            told = listed(column.undefined, column.methods)
            notes.append(f"{column.metric} is undefined, and left out, on images: {told}.")
        if column.missing:
            notes.append(f"{column.metric}: {column.missing} values are in no row.")
    return notes


def first_error(rows: Any) -> str:
    """Write the first line of the first row's error, with the image's name if it lacks it."""
    name, error = rows["image"].iloc[0], str(rows["error"].iloc[0]).splitlines()[0].rstrip(".")
    return error if str(name) in error else f"{name}: {error}"


def versions(results: Results) -> list[str]:
    """Say which versions the rows were made with."""
    found = results.rows["versions"].dropna().unique()
    told = [", ".join(f"{name} {plain(one)}" for name, one in parsed(text, "versions").items()) for text in found]
    return [f"Made with {'; and with '.join(told)}."] if told else []


def listed(counts: dict[str, int], methods: Sequence[str] = ()) -> str:
    """Write counts by name, shorter if all methods have the same one.

    >>> listed({"ones": 3, "grad-cam": 1}), listed({"ones": 3, "grad-cam": 3}, ["grad-cam", "ones"])
    ('ones 3, grad-cam 1', '3 for every method')
    """
    values = set(counts.values())
    if len(values) == 1 and len(methods) > 1 and set(methods) <= counts.keys():
        return f"{values.pop()} for every method"
    return ", ".join(f"{name} {count}" for name, count in counts.items())
