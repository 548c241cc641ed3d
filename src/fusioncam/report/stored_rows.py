"""Read the files of a benchmark run: ``rows.parquet`` and ``plan.json``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusioncam.errors import FusionCamError, ResultsError, cut, suggestion
from fusioncam.utils.optional import extra
from fusioncam.utils.stored_files import COLUMNS, JSON_OBJECT, MEASURED, REPORT_PLAN, REQUIRED, read_stored

if TYPE_CHECKING:
    import pandas as pd

# for each kind of column, the kinds of Arrow types that it may have: pandas stores whole numbers with gaps as floats
_ARROW_KINDS = {
    "string": ("string", "large_string", "string_view", "dictionary"),
    "int64": ("integer", "floating"),
    "float64": ("integer", "floating"),
    "bool": ("boolean",),
    "list<float64>": ("list", "large_list"),
}


def read_rows(path: Path) -> pd.DataFrame:
    """Read a Parquet file of rows; raise :class:`ResultsError` unless they have the columns and types of a run's."""
    frames = pandas()
    parquet = extra("benchmark", "pyarrow.parquet", "rows")
    if not path.is_file():
        raise ResultsError(f"{path} does not exist: pass the folder of a `fusioncam benchmark` run that has finished")
    try:
        require_types(parquet.read_schema(path), str(path))
        rows: pd.DataFrame = frames.read_parquet(path, engine="pyarrow")
    except FusionCamError:
        raise
    except Exception as error:  # pyarrow raises many kinds of errors for damaged files
        raise ResultsError(f"{path} cannot be read, it is truncated or not a Parquet file: {error}") from error
    require_values(rows, str(path))
    return rows


def require_types(schema: Any, source: str) -> None:
    """Raise :class:`ResultsError` unless the columns of an Arrow schema have the types that a benchmark stores."""
    require_columns(schema.names)
    for name, kind in COLUMNS.items():
        found = schema.field(name).type
        if not _is_kind(found, kind):
            raise ResultsError(f"{source} is damaged: the column {name} must be {kind}, got {found}")


def _is_kind(found: Any, kind: str) -> bool:
    types = extra("benchmark", "pyarrow", "rows").types
    if types.is_null(found):  # a column without any value
        return True
    kinds = [one for one in _ARROW_KINDS[kind] if getattr(types, f"is_{one}", lambda _: False)(found)]
    inner = {"dictionary": "string", "list": "float64", "large_list": "float64"}.get(kinds[0]) if kinds else None
    return bool(kinds) and (inner is None or _is_kind(found.value_type, inner))


def require_values(rows: pd.DataFrame, source: str) -> None:
    """Raise :class:`ResultsError`, which counts rows from 1, for a required value that is missing or infinite."""
    measured = rows["error"].isna()
    for name in (*REQUIRED, *MEASURED):
        missing = rows[name].isna() & (measured if name in MEASURED else True)
        if missing.any():
            raise ResultsError(f"{source}, row {int(missing.to_numpy().argmax()) + 1}: it has no {name}")
    for name in (name for name, kind in COLUMNS.items() if kind in ("float64", "int64")):
        numbers = rows[name].astype(float)
        infinite = numbers.isin([float("inf"), float("-inf")])
        if infinite.any():
            raise ResultsError(f"{source}, row {int(infinite.to_numpy().argmax()) + 1}: {name} must be finite")


def require_columns(found: Iterable[str]) -> None:
    """Raise :class:`ResultsError` unless the columns are exactly those that a benchmark stores."""
    names = list(map(str, found))
    if missing := [name for name in COLUMNS if name not in names]:
        raise ResultsError(f"the rows lack {', '.join(missing)}: expected rows of `fusioncam benchmark`")
    for name in names:
        if name not in COLUMNS:
            hint = suggestion(name, COLUMNS)
            raise ResultsError(f"the rows have an unknown column '{cut(name)}', perhaps of another version; {hint}")


def read_plan(path: Path) -> dict[str, Any]:
    """Read a run's plan, whose lists of names people may have changed; raise :class:`ResultsError`."""
    plan: dict[str, Any] | None = read_stored(path, JSON_OBJECT)
    if plan is None:
        raise ResultsError(f"{path} does not exist: pass the folder of a `fusioncam benchmark` run")
    return plan | (read_stored(path, REPORT_PLAN) or {})


def pandas() -> Any:
    """Import pandas, or raise :class:`fusioncam.errors.MissingExtraError`."""
    return extra("benchmark", "pandas", "tables")
