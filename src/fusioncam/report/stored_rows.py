"""Read the files of a benchmark run: ``rows.parquet`` and ``plan.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusioncam.errors import ResultsError, suggestion
from fusioncam.utils.optional import extra

if TYPE_CHECKING:
    import pandas as pd

# repeats benchmark.results_store.COLUMNS, because importing that package loads every method; a test compares the two
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


def read_rows(path: Path) -> pd.DataFrame:
    """Read a Parquet file of rows."""
    frames = pandas()
    extra("benchmark", "pyarrow", "rows")
    if not path.is_file():
        raise ResultsError(f"{path} does not exist: pass the folder of a `fusioncam benchmark` run that has finished")
    try:
        rows: pd.DataFrame = frames.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:  # pyarrow's own errors derive from these
        raise ResultsError(f"{path} cannot be read, it is truncated or not a Parquet file: {error}") from error
    return rows


def require_columns(found: Iterable[str]) -> None:
    """Raise :class:`ResultsError` unless the columns are exactly those that a benchmark stores."""
    names = list(map(str, found))
    if missing := [name for name in COLUMNS if name not in names]:
        raise ResultsError(f"the rows lack {', '.join(missing)}: expected rows of `fusioncam benchmark`")
    for name in names:
        if name not in COLUMNS:
            hint = suggestion(name, COLUMNS)
            raise ResultsError(f"the rows have an unknown column '{name}', perhaps of another version; {hint}")


def read_plan(path: Path) -> dict[str, Any]:
    """Read a run's plan."""
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultsError(f"{path} does not exist: pass the folder of a `fusioncam benchmark` run") from None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(plan, dict):
        raise ResultsError(f"{path} is not a plan: expected a JSON object, got {type(plan).__name__}")
    return plan


def pandas() -> Any:
    """Import pandas, or raise :class:`fusioncam.errors.MissingExtraError`."""
    return extra("benchmark", "pandas", "tables")
