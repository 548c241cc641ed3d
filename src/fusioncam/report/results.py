"""A run's rows, read and checked, as the columns of tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusioncam.errors import ResultsError, require_known, suggestion
from fusioncam.report.method_names import BASELINES, base_name
from fusioncam.report.statistics import Interval, Values, interval, is_rate
from fusioncam.utils.optional import extra

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "model",
    "layer",
    "image",
    "target",
    "label",
    "method",
    "metric",
    "value",
    "curve",
    "protocol",
    "family",
    "higher_is_better",
    "shares_objective",
    "seconds",
    "passes",
    "partial_passes",
    "metric_seconds",
    "error",
    "versions",
)
COSTS = ("seconds", "passes", "partial_passes")
REFERENCE = "fusion-cam"


@dataclass(frozen=True)
class Column:
    """What one metric says of one model: ``values`` ``(P, M)``, images by ``methods``, NaN where undefined.

    ``shared`` are the methods that choose by what the metric measures. ``missing`` counts the values that no row
    holds, ``undefined`` those that a row says there are none of, by method. ``rate`` says that the metric's values
    are 0 and 1 alone, so that their means are rates.
    """

    model: str
    metric: str
    methods: tuple[str, ...]
    values: Values
    higher_is_better: bool
    family: str = ""
    protocol: dict[str, Any] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()
    undefined: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    rate: bool = False
    _intervals: dict[str, Interval] = field(default_factory=dict, repr=False, compare=False)

    @property
    def direction(self) -> str:
        """An arrow to the better side."""
        return "↑" if self.higher_is_better else "↓"

    def of(self, method: str) -> Values:
        """Give the values of one method ``(P,)``."""
        return self.values[:, self.methods.index(method)]

    def interval(self, method: str) -> Interval:
        """Give the mean of a method and its interval, made once."""
        if method not in self._intervals:
            self._intervals[method] = interval(self.of(method), rate=self.rate)
        return self._intervals[method]

    def only(self, methods: Iterable[str]) -> Column:
        """Give the column of some methods alone, in their order."""
        kept = tuple(one for one in methods if one in self.methods)
        undefined = {one: self.undefined[one] for one in kept if one in self.undefined}
        values = self.values[:, [self.methods.index(one) for one in kept]]
        return replace(self, methods=kept, values=values, undefined=undefined)


@dataclass(frozen=True)
class Results:
    """The rows of a run: ``rows`` with a metric, ``failures`` with an error, and the plan that they are of.

    A model that was asked at several layers is one model for each.
    """

    rows: pd.DataFrame
    failures: pd.DataFrame
    plan: dict[str, Any]

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The models, in the order of the plan, or that of the rows."""
        return tuple(self.rows["model"].unique())

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The methods, in the order of the plan as far as it has them, baselines last."""
        found = in_order(self.rows["method"].unique(), self.plan.get("methods"))
        return tuple(sorted(found, key=lambda name: base_name(name) in BASELINES))

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The metrics, in the order of the plan as far as it has them."""
        return tuple(in_order(self.rows["metric"].unique(), self.plan.get("metrics")))

    @cached_property
    def reference(self) -> str | None:
        """The method that the others are compared with: the plan's, or the first ``fusion-cam``, plain if it ran."""
        chosen = self.plan.get("reference")
        if chosen is not None:
            require_known("method of these rows", chosen, self.methods)
            return str(chosen)
        kin = [one for one in self.methods if base_name(one) == REFERENCE]
        return REFERENCE if REFERENCE in kin else kin[0] if kin else None

    def lost(self, model: str) -> pd.DataFrame:
        """Give the rows of a model in which a method or its metric failed, and not the whole image."""
        rows = self.rows[self.rows["error"].notna()]
        failures = self.failures[self.failures["method"].fillna("") != ""]
        both = pandas().concat([one for one in (rows, failures) if len(one)] or [rows])
        return both[both["model"] == model]

    def columns(self, model: str, families: Sequence[str] = ()) -> list[Column]:
        """Give the model's columns of some families of metrics, or of all."""
        found = (self.column(model, metric) for metric in self.metrics)
        return [one for one in found if one is not None and (not families or one.family in families)]

    def column(self, model: str, metric: str) -> Column | None:
        """Give what a metric says of a model, or None if it was not asked."""
        return self._columns.get((model, metric))

    @cached_property
    def _columns(self) -> dict[tuple[str, str], Column]:
        grouped = self.rows.groupby(["model", "metric"], sort=False, observed=True)
        return {(model, metric): column_of(model, metric, rows, self.methods) for (model, metric), rows in grouped}

    def costs(self, model: str) -> list[Column]:
        """Give seconds and passes of a model's methods as columns."""
        rows = self.rows[self.rows["model"] == model].drop_duplicates(["image", "method"])
        found = []
        for name in COSTS:
            table = rows.pivot_table(index="image", columns="method", values=name, sort=True)
            methods = tuple(one for one in self.methods if one in table.columns)
            values = table[list(methods)].to_numpy(np.float64)
            found.append(Column(model, name.replace("_", " "), methods, values, False, "cost"))
        return [
            one for one in found if one.values.size and (one.metric != "partial passes" or np.any(one.values > 0))
        ]

    def curves(self, model: str, metric: str) -> Iterator[tuple[str, Values]]:
        """Give each method's curves ``(P, T)`` of a metric that has them."""
        rows = self.rows[(self.rows["model"] == model) & (self.rows["metric"] == metric) & self.rows["curve"].notna()]
        lengths = {len(one) for one in rows["curve"]}
        if len(lengths) > 1:
            raise ResultsError(
                f"the curves of '{metric}' have {sorted(lengths)} points: rows of one run have equally many"
            )
        for method in self.methods:
            own = rows.loc[rows["method"] == method, "curve"]
            if len(own):
                yield method, np.stack([np.asarray(one, np.float64) for one in own])


def column_of(model: str, metric: str, rows: pd.DataFrame, methods: Sequence[str]) -> Column:
    """Make the column of the rows of one model and metric; several targets of an image count by their mean."""
    constant = {name: single(rows, name, metric) for name in ("protocol", "family", "higher_is_better")}
    keys = ["image", "target", "method"]
    if rows.duplicated(keys).any():
        twice = rows[rows.duplicated(keys)].iloc[0]
        raise ResultsError(
            f"two rows of {model}, {twice['image']}, {twice['method']}, {metric}: each is to be there once"
        )
    table = rows.pivot_table(index="image", columns="method", values="value", dropna=False, sort=True)
    own = tuple(one for one in methods if one in set(rows["method"]))
    table = table.reindex(columns=list(own))
    undefined = rows.loc[rows["value"].isna() & rows["error"].isna(), "method"].value_counts()
    present = rows.groupby("method")["image"].nunique()
    return Column(
        model,
        metric,
        own,
        table.to_numpy(np.float64),
        bool(constant["higher_is_better"]),
        str(constant["family"]),
        parsed(constant["protocol"], "protocol"),
        frozenset(rows.loc[rows["shares_objective"].astype(bool), "method"]),
        {one: int(undefined[one]) for one in own if one in undefined},
        int((len(table) - present).sum()),
        is_rate(table),
    )


def single(rows: pd.DataFrame, name: str, metric: str) -> Any:
    """Give what all rows of a metric have in common."""
    found = rows[name].unique()
    if len(found) > 1:
        raise ResultsError(
            f"'{metric}' has more than one {name} in these rows, {found[0]} and {found[1]}: "
            "numbers of different protocols do not belong in one table"
        )
    return found[0]


def parsed(text: object, name: str) -> dict[str, Any]:
    """Read a column's JSON."""
    try:
        facts = json.loads(str(text))
    except json.JSONDecodeError as error:
        raise ResultsError(f"the column {name} holds no JSON: {error}") from error
    return facts if isinstance(facts, dict) else {name: facts}


def in_order(found: Iterable[str], wanted: object) -> list[str]:
    """Sort names as a plan lists them; those that it does not list come behind, as they are."""
    places = {str(name): place for place, name in enumerate(wanted)} if isinstance(wanted, list) else {}
    return sorted(map(str, found), key=lambda name: places.get(name, len(places)))


# -- files ---------------------------------------------------------------------------------------------------


def read_results(run_folder: Path) -> Results:
    """Read ``rows.parquet`` and ``plan.json`` of a run, or raise :class:`ResultsError`."""
    plan = read_plan(run_folder / "plan.json")
    return results_of(read_rows(run_folder / "rows.parquet"), plan)


def results_of(rows: pd.DataFrame, plan: dict[str, Any] | None = None) -> Results:
    """Check rows and part them into those with a metric and those with an error."""
    require_columns(rows.columns)
    rows = rows.reset_index(drop=True)
    failed = rows["error"].notna() & (rows["metric"].isna() | (rows["metric"] == ""))
    if failed.all():
        told = f", all of its {len(rows)} images failed: {rows['error'].iloc[0]}" if len(rows) else ""
        raise ResultsError(f"the run has no row with a value{told}")
    return Results(named_by_layer(rows[~failed]), named_by_layer(rows[failed]), plan or {})


def named_by_layer(rows: pd.DataFrame) -> pd.DataFrame:
    """Name a model that was asked at several layers after each of them."""
    layers = rows.groupby("model")["layer"].transform("nunique")
    named = rows["model"].where(layers < 2, rows["model"] + " at " + rows["layer"].astype(str))
    return rows.assign(model=named)


def require_columns(found: Iterable[str]) -> None:
    """Raise :class:`ResultsError` unless the rows have all columns of a benchmark's rows and no others."""
    names = list(map(str, found))
    if missing := [name for name in COLUMNS if name not in names]:
        raise ResultsError(f"the rows lack {', '.join(missing)}: these are no rows of `fusioncam benchmark`")
    for name in names:
        if name not in COLUMNS:
            hint = suggestion(name, COLUMNS)
            raise ResultsError(f"the rows have an unknown column '{name}': are they of another version? {hint}")


def read_rows(path: Path) -> pd.DataFrame:
    """Read a Parquet file of rows."""
    frames = pandas()
    extra("benchmark", "pyarrow", "rows")
    if not path.is_file():
        raise ResultsError(f"{path} is not there: give the folder of a run of `fusioncam benchmark` that has ended")
    try:
        rows: pd.DataFrame = frames.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:  # pyarrow's own errors are among these
        raise ResultsError(f"{path} cannot be read, it is torn or no Parquet file: {error}") from error
    return rows


def read_plan(path: Path) -> dict[str, Any]:
    """Read a run's plan."""
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultsError(f"{path} is not there: give the folder of a run of `fusioncam benchmark`") from None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(plan, dict):
        raise ResultsError(f"{path} holds no plan: expected an object, got {type(plan).__name__}")
    return plan


def pandas() -> Any:
    """Give pandas, or say how to get it."""
    return extra("benchmark", "pandas", "tables")
