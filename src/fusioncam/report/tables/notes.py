"""The notes below tables: what marks mean, protocols, how many images there are, and what failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fusioncam.report.results import Column, Results, parse_json

OPTIMISED = (
    "† This method optimises what the metric measures, so its value follows by construction and is not independent "
    "evidence."
)
BOLD = (
    "Bold: the best mean above the line, if it is significantly better than every other method there (paired tests "
    "over images, Holm-corrected, p < 0.05). Italic: if no method is, the best mean and all means that do not differ "
    "significantly from it. Methods with identical values count as one."
)
INTERVALS = (
    "Cells: mean over images [95 % bootstrap interval, BCa, 9,999 resamples]; no interval if all images have the "
    "same value or only one image has a value."
)
ALONE = "Seconds and passes are per image, for a method that runs alone."
PAIRED = (
    "Difference: method minus reference, mean over the images where both have a value [95 % bootstrap interval]. "
    "p: Wilcoxon's signed-rank test (zeros treated after Pratt), or McNemar's exact test where values are 0 or 1; "
    "Holm-corrected over the methods of the table. Effect: matched-pairs rank-biserial correlation, above 0 where "
    "the method is better than the reference. Bold: p < 0.05."
)
RANKS = (
    "Mean rank over the images where all methods have a value; 1 is the best, and baselines are not ranked. Ranks "
    "that differ by less than the critical difference (CD; Nemenyi, 5 %) do not differ significantly. Friedman's p "
    "tests whether any methods differ."
)


def optimised_note(columns: Iterable[Column]) -> tuple[str, ...]:
    """Return the note that explains the dagger, if any column has one."""
    return (OPTIMISED,) if any(column.optimised_by for column in columns) else ()


def protocol_notes(columns: Iterable[Column]) -> list[str]:
    """Return one note for each metric with the protocol it was measured under."""
    notes = {}
    for column in columns:
        if column.protocol:
            notes[column.metric] = f"Protocol of {column.metric}: {format_protocol(column.protocol)}."
    return list(notes.values())


def format_protocol(protocol: dict[str, Any]) -> str:
    """Write a protocol as a call.

    >>> format_protocol({"metric": "Insertion", "steps": 224, "fill": "blur"})
    'Insertion(steps=224, fill=blur)'
    """
    if not protocol:
        return ""
    settings = ", ".join(f"{name}={format_value(value)}" for name, value in protocol.items() if name != "metric")
    return f"{protocol.get('metric', '')}({settings})"


def format_value(value: Any) -> str:
    """Write a value as in a SPEC.

    >>> format_value([1, None, True])
    '[1, none, true]'
    """
    if isinstance(value, list):
        return f"[{', '.join(map(format_value, value))}]"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def image_notes(results: Results, model: str, columns: Sequence[Column]) -> list[str]:
    """Return notes on how many images there are, how many failed, and where values are undefined or missing."""
    notes = [_image_count(results, model, columns)]
    failures = results.method_failures(model)
    if len(failures):
        counts = failures.drop_duplicates(["image", "method"])["method"].value_counts(sort=False).to_dict()
        notes.append(
            f"Images on which a method or its metric failed: {format_counts(counts)}; "
            f"first error: {first_error(failures)}."
        )
    for column in columns:
        if column.undefined:
            counts = format_counts(column.undefined, column.methods)
            notes.append(f"Images on which {column.metric} is undefined, which are left out: {counts}.")
        if column.missing:
            notes.append(f"{column.metric}: {column.missing} values are missing from the stored rows.")
    return notes


def _image_count(results: Results, model: str, columns: Sequence[Column]) -> str:
    counts = {column.metric: len(column.values) for column in columns}
    text = f"Images: {format_counts(counts)}" if len(set(counts.values())) > 1 else f"{max(counts.values())} images"
    failures = results.failures[results.failures["model"] == model]
    whole = failures[failures["method"].fillna("") == ""].drop_duplicates("image")
    return f"{text}; {len(whole)} more failed, first error: {first_error(whole)}." if len(whole) else f"{text}."


def first_error(rows: Any) -> str:
    """Return the first line of the first row's error, with the name of the image if the error does not contain it."""
    name, error = rows["image"].iloc[0], str(rows["error"].iloc[0]).splitlines()[0].rstrip(".")
    return error if str(name) in error else f"{name}: {error}"


def version_notes(results: Results) -> list[str]:
    """Return a note with the versions that computed the rows."""
    found = results.rows["versions"].dropna().unique()
    versions = [
        ", ".join(f"{name} {format_value(version)}" for name, version in parse_json(text, "versions").items())
        for text in found
    ]
    return [f"Made with {'; and with '.join(versions)}."] if versions else []


def format_counts(counts: dict[str, int], methods: Sequence[str] = ()) -> str:
    """Write counts by name, shorter if all ``methods`` have the same count.

    >>> format_counts({"ones": 3, "grad-cam": 1}), format_counts({"ones": 3, "grad-cam": 3}, ["grad-cam", "ones"])
    ('ones 3, grad-cam 1', '3 for every method')
    """
    values = set(counts.values())
    if len(values) == 1 and len(methods) > 1 and set(methods) <= counts.keys():
        return f"{values.pop()} for every method"
    return ", ".join(f"{name} {count}" for name, count in counts.items())
