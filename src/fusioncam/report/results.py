"""The stored rows of a run, checked and arranged as the columns of tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusioncam.errors import ResultsError, require_known, shown
from fusioncam.report.method_names import BASELINES, base_name
from fusioncam.report.statistics import Interval, Values, interval, is_rate
from fusioncam.report.stored_rows import pandas, read_plan, read_rows, require_columns

if TYPE_CHECKING:
    import pandas as pd

COSTS = ("seconds", "passes", "partial_passes")
REFERENCE = "fusion-cam"


@dataclass(frozen=True)
class Column:
    """The values of one metric on one model: ``values`` ``(P, M)``, images by ``methods``, NaN where undefined.

    ``optimised_by`` names the methods that optimise what the metric measures. ``undefined`` counts, by method, the
    rows that hold no value because the metric is undefined. ``missing`` counts the values for which there is no row.
    ``rate`` is set if all values are 0 or 1, so that their mean is a rate.
    """

    model: str
    metric: str
    methods: tuple[str, ...]
    values: Values
    higher_is_better: bool
    family: str = ""
    protocol: dict[str, Any] = field(default_factory=dict)
    optimised_by: frozenset[str] = frozenset()
    undefined: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    rate: bool = False
    _intervals: dict[str, Interval] = field(default_factory=dict, repr=False, compare=False)

    @property
    def direction(self) -> str:
        """An arrow that points to the better side."""
        return "↑" if self.higher_is_better else "↓"

    def values_of(self, method: str) -> Values:
        """Return the values of one method ``(P,)``."""
        return self.values[:, self.methods.index(method)]

    def interval(self, method: str) -> Interval:
        """Return the mean of a method with its interval; it is computed once."""
        if method not in self._intervals:
            self._intervals[method] = interval(self.values_of(method), rate=self.rate)
        return self._intervals[method]

    def select(self, methods: Iterable[str]) -> Column:
        """Return the column of these methods only, in this order; methods that it lacks are skipped."""
        kept = tuple(name for name in methods if name in self.methods)
        undefined = {name: self.undefined[name] for name in kept if name in self.undefined}
        values = self.values[:, [self.methods.index(name) for name in kept]]
        return replace(self, methods=kept, values=values, undefined=undefined)


@dataclass(frozen=True)
class Results:
    """The rows of a run: ``rows`` with a metric, ``failures`` with an error, and the ``plan`` that they belong to.

    A model that ran at several layers counts as one model per layer.
    """

    rows: pd.DataFrame
    failures: pd.DataFrame
    plan: dict[str, Any]

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The models, in the order of the rows, which is that of the plan."""
        return tuple(self.rows["model"].unique())

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The methods: those of the plan in its order, then the others, baselines last."""
        found = sort_as_planned(self.rows["method"].unique(), self.plan.get("methods"))
        return tuple(sorted(found, key=lambda name: base_name(name) in BASELINES))

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The metrics: those of the plan in its order, then the others."""
        return tuple(sort_as_planned(self.rows["metric"].unique(), self.plan.get("metrics")))

    @cached_property
    def reference(self) -> str | None:
        """The method that others are compared with: the plan's, or plain ``fusion-cam``, or its first variant."""
        planned = self.plan.get("reference")
        if planned is not None:
            require_known("method of these rows", planned, self.methods)
            return str(planned)
        variants = [name for name in self.methods if base_name(name) == REFERENCE]
        return REFERENCE if REFERENCE in variants else variants[0] if variants else None

    def method_failures(self, model: str) -> pd.DataFrame:
        """Return the rows of a model in which a method or its metric failed, but not the whole image."""
        rows = self.rows[self.rows["error"].notna()]
        failures = self.failures[self.failures["method"].fillna("") != ""]
        both = pandas().concat([frame for frame in (rows, failures) if len(frame)] or [rows])
        return both[both["model"] == model]

    def columns(self, model: str, families: Sequence[str] = ()) -> list[Column]:
        """Return the columns of a model whose metrics belong to these families, or all of them."""
        columns = (self.column(model, metric) for metric in self.metrics)
        return [column for column in columns if column is not None and (not families or column.family in families)]

    def column(self, model: str, metric: str) -> Column | None:
        """Return the column of a metric on a model, or None if there are no rows of it."""
        return self._columns.get((model, metric))

    @cached_property
    def _columns(self) -> dict[tuple[str, str], Column]:
        grouped = self.rows.groupby(["model", "metric"], sort=False, observed=True)
        return {(model, metric): make_column(model, metric, rows, self.methods) for (model, metric), rows in grouped}

    def costs(self, model: str) -> list[Column]:
        """Return the seconds, passes and partial passes of a model's methods, leaving out columns without values."""
        rows = self.rows[self.rows["model"] == model].drop_duplicates(["image", "method"])
        columns = []
        for name in COSTS:
            table = rows.pivot_table(index="image", columns="method", values=name, sort=True)
            methods = tuple(method for method in self.methods if method in table.columns)
            values = table[list(methods)].to_numpy(np.float64)
            if values.size and (name != "partial_passes" or np.any(values > 0)):
                columns.append(Column(model, name.replace("_", " "), methods, values, False, "cost"))
        return columns

    def curves(self, model: str, metric: str) -> Iterator[tuple[str, Values]]:
        """Yield each method with its curves ``(P, T)``, for a metric that has curves.

        Raises :class:`ResultsError` if the curves have different numbers of points.
        """
        rows = self.rows[(self.rows["model"] == model) & (self.rows["metric"] == metric) & self.rows["curve"].notna()]
        lengths = {len(curve) for curve in rows["curve"]}
        if len(lengths) > 1:
            raise ResultsError(
                f"the curves of '{metric}' have {sorted(lengths)} points, but must all have the same number; "
                "do not mix rows of different protocols"
            )
        for method in self.methods:
            curves = rows.loc[rows["method"] == method, "curve"]
            if len(curves):
                yield method, np.stack([np.asarray(curve, np.float64) for curve in curves])


def read_results(run_folder: str | Path) -> Results:
    """Read ``rows.parquet`` and ``plan.json`` of a run.

    Args:
        run_folder: the folder that ``fusioncam benchmark`` wrote to.

    Returns:
        The rows with their plan; ``columns(model)`` are the values of each metric, by images and methods.

    Raises:
        ResultsError: if a file is missing or cannot be read, or if its contents are not those of a run.

    Examples:
        ```python
        results = fc.report.read_results("run/")
        for column in results.columns(results.models[0]):
            print(column.metric, column.interval("grad-cam").mean)
        ```
    """
    plan = read_plan(Path(run_folder) / "plan.json")
    return results_of(read_rows(Path(run_folder) / "rows.parquet"), plan)


def results_of(rows: pd.DataFrame, plan: dict[str, Any] | None = None) -> Results:
    """Check rows and split them into those with a metric and those with an error.

    Raises :class:`ResultsError` if the columns are not those of ``fusioncam benchmark`` or if no row has a value.
    """
    require_columns(rows.columns)
    rows = rows.reset_index(drop=True)
    failed = rows["error"].notna() & (rows["metric"].isna() | (rows["metric"] == ""))
    if failed.all():
        detail = f", all {len(rows)} images failed: {rows['error'].iloc[0]}" if len(rows) else ""
        raise ResultsError(f"the run has no row with a value{detail}")
    return Results(add_layer_to_model(rows[~failed]), add_layer_to_model(rows[failed]), plan or {})


def add_layer_to_model(rows: pd.DataFrame) -> pd.DataFrame:
    """Append the layer to the name of each model that has rows of several layers."""
    layers = rows.groupby("model")["layer"].transform("nunique")
    named = rows["model"].where(layers < 2, rows["model"] + " at " + rows["layer"].astype(str))
    return rows.assign(model=named)


def make_column(model: str, metric: str, rows: pd.DataFrame, methods: Sequence[str]) -> Column:
    """Make the column of one metric on one model from its rows.

    Several targets of one image count as one value, their mean.
    """
    constants = {name: constant_value(rows, name, metric) for name in ("protocol", "family", "higher_is_better")}
    require_unique(rows, model, metric)
    own = tuple(name for name in methods if name in set(rows["method"]))
    table = rows.pivot_table(index="image", columns="method", values="value", dropna=False, sort=True)
    table = table.reindex(columns=list(own))
    undefined = rows.loc[rows["value"].isna() & rows["error"].isna(), "method"].value_counts()
    present = rows.groupby("method")["image"].nunique()
    return Column(
        model=model,
        metric=metric,
        methods=own,
        values=table.to_numpy(np.float64),
        higher_is_better=bool(constants["higher_is_better"]),
        family=str(constants["family"]),
        protocol=parse_json(constants["protocol"], "protocol"),
        optimised_by=frozenset(rows.loc[rows["shares_objective"].astype(bool), "method"]),
        undefined={name: int(undefined[name]) for name in own if name in undefined},
        missing=int((len(table) - present).sum()),
        rate=is_rate(table),
    )


def require_unique(rows: pd.DataFrame, model: str, metric: str) -> None:
    """Raise :class:`ResultsError` if two rows hold the value of one method for one image and target."""
    duplicated = rows.duplicated(["image", "target", "method"])
    if duplicated.any():
        first = rows[duplicated].iloc[0]
        raise ResultsError(
            f"two rows of {model}, {first['image']}, {first['method']}, {metric}: "
            "each combination must be stored once; remove one of the rows"
        )


def constant_value(rows: pd.DataFrame, name: str, metric: str) -> Any:
    """Return the value of a column that must be the same in all rows of a metric."""
    found = rows[name].unique()
    if len(found) > 1:
        raise ResultsError(
            f"'{metric}' has more than one {name} in these rows, {found[0]} and {found[1]}: "
            "numbers of different protocols do not belong in one table; report them as separate runs"
        )
    return found[0]


def parse_json(text: object, column: str) -> dict[str, Any]:
    """Parse the JSON of a column."""
    try:
        facts = json.loads(str(text))
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"the column {column} must contain JSON, got {shown(text)}: {error}") from error
    return facts if isinstance(facts, dict) else {column: facts}


def sort_as_planned(names: Iterable[str], planned: object) -> list[str]:
    """Sort names as a plan lists them; names that it does not list follow in their own order."""
    order = {str(name): index for index, name in enumerate(planned)} if isinstance(planned, list) else {}
    return sorted(map(str, names), key=lambda name: order.get(name, len(order)))
