"""The schema of the files that runs store, and how they are read.

A run's folder may come from elsewhere, be damaged or be edited by hand: every file is checked as a whole when it is
read, so that the code behind may rely on the types. Texts that only people read may have any value.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, JsonValue, TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict

from fusioncam.errors import ResultsError, shown

T = TypeVar("T")
Row = dict[str, Any]
Key = tuple[str, str]

Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Side = Annotated[int, Field(ge=1, le=16_384)]  # of a network's input
Names = Annotated[list[str], Field(min_length=1)]


@lru_cache(maxsize=1000)
def _require_object(text: str) -> str:
    """Return JSON of an object as it is, where a setting may be infinite; most rows of a run have the same."""
    if not isinstance(_load(text, float), dict):
        raise ValueError("it must be a JSON object")
    return text


JsonObject = Annotated[str, AfterValidator(_require_object)]

# -- rows of a benchmark --------------------------------------------------------------------------------------------

# the columns in their order
COLUMNS = {
    "model": "string",
    "layer": "string",
    "image": "string",
    "target": "int64",
    "label": "int64",
    "method": "string",
    "metric": "string",
    "value": "float64",
    "curve": "list<float64>",
    "protocol": "string",
    "family": "string",
    "higher_is_better": "bool",
    "shares_objective": "bool",
    "seconds": "float64",
    "passes": "float64",
    "partial_passes": "float64",
    "metric_seconds": "float64",
    "error": "string",
    "versions": "string",
}
# the columns with the same value in all rows of a line of the journal
SHARED = ("model", "layer", "image", "target", "label", "versions")
# the columns that every row has, and those of every row with a metric and without an error
REQUIRED = ("model", "image")
MEASURED = ("method", "metric", "protocol", "family", "higher_is_better", "shares_objective")

_TYPES: dict[str, Any] = {
    "string": str | None,
    "int64": Whole | None,
    "float64": Number | None,
    "bool": bool | None,
    "list<float64>": list[Number | None] | None,
}
_COLUMN_TYPES = {name: _TYPES[kind] for name, kind in COLUMNS.items()}
_COLUMN_TYPES |= dict.fromkeys(("model", "image", "method", "metric"), str)
_COLUMN_TYPES |= {"protocol": JsonObject | None, "versions": JsonObject}
_Row: Any = TypedDict("_Row", {name: _COLUMN_TYPES[name] for name in COLUMNS if name not in SHARED})  # type: ignore[misc]
_Line: Any = TypedDict(  # type: ignore[misc]
    "_Line",
    {name: _COLUMN_TYPES[name] for name in SHARED} | {"rows": Annotated[list[_Row], Field(min_length=1)]},
)
JOURNAL_LINE: TypeAdapter[Any] = TypeAdapter(_Line)

# -- the plan and the models of a benchmark -------------------------------------------------------------------------


class _Plan(TypedDict):
    data: str
    models: Names
    methods: Names
    metrics: Names
    layer: str | None
    target: str
    limit: Annotated[int, Field(ge=1)] | None
    seed: Annotated[int, Field(ge=0)]
    class_map: str | None
    device: str | None
    precision: str | None
    keep_heatmaps: bool | None
    engine: NotRequired[str | None]
    digest: str


class _ReportPlan(TypedDict):
    models: NotRequired[list[str]]
    methods: NotRequired[list[str]]
    metrics: NotRequired[list[str]]
    reference: NotRequired[str | None]
    tables: NotRequired[dict[str, list[str]] | None]


class _Preprocessing(TypedDict):
    size: Annotated[list[Side], Field(min_length=2, max_length=2)]
    resize: Side | Literal["fit"] | Annotated[list[Side], Field(min_length=2, max_length=2)]
    interpolation: str
    mean: Annotated[list[Number], Field(min_length=1, max_length=1000)]
    std: Annotated[list[Number], Field(min_length=1, max_length=1000)]


class _Model(TypedDict):
    preprocessing: _Preprocessing
    labels: list[str] | None
    classes: Count | None


class _Models(TypedDict):
    data: str | None
    class_map: str | None
    models: dict[str, _Model]


PLAN: TypeAdapter[Any] = TypeAdapter(_Plan)
# a plan as reports use it: people may add tables and a reference, and leave out the rest
REPORT_PLAN: TypeAdapter[Any] = TypeAdapter(_ReportPlan)
JSON_OBJECT: TypeAdapter[Any] = TypeAdapter(dict[str, JsonValue])
MODELS: TypeAdapter[Any] = TypeAdapter(_Models)

# -- explanations ---------------------------------------------------------------------------------------------------

_Curve = Annotated[list[Number], Field(min_length=1)]


class _Question(TypedDict):
    question: str
    level: JsonValue
    words: str
    figures: dict[str, JsonValue]
    curves: NotRequired[dict[str, Annotated[dict[str, _Curve], Field(min_length=1)]] | None]


class _Card(TypedDict):
    level: JsonValue
    words: str
    seconds: Number
    passes: Count
    partial_passes: Count
    questions: list[_Question]


class _Cost(TypedDict):
    passes: Count
    partial_passes: Count
    seconds: Number


class _Volume(TypedDict):
    shape: Annotated[list[Annotated[int, Field(ge=1, lt=2**31)]], Field(min_length=3, max_length=3)]
    affine: Annotated[
        list[Annotated[list[Number], Field(min_length=4, max_length=4)]], Field(min_length=4, max_length=4)
    ]
    axis: Annotated[int, Field(ge=0, le=2)]
    slices: Annotated[list[Count], Field(min_length=1, max_length=50)]
    size: Annotated[list[Annotated[int, Field(ge=1, le=400)]], Field(min_length=2, max_length=2)]


class _Explanation(TypedDict):
    image: str
    method: str
    layer: str
    class_name: str
    probability: Number
    gains: dict[str, Number]
    passes: Count
    partial_passes: Count
    seconds: Number
    full_cost: NotRequired[_Cost]
    files: Annotated[list[str], Field(min_length=2)]
    view: NotRequired[str]
    target: NotRequired[int | str]
    size: NotRequired[Annotated[list[Count], Field(min_length=2, max_length=2)]]
    window: NotRequired[Annotated[list[Number], Field(min_length=4, max_length=4)]]
    check: NotRequired[_Card | None]
    volume: NotRequired[_Volume | None]


class _Failure(TypedDict):
    image: str
    error: str


class _Explanations(TypedDict):
    model: str
    preprocessing: dict[str, JsonValue]
    versions: dict[str, JsonValue]
    explanations: list[_Explanation]
    failures: list[_Failure]


class _Manifest(TypedDict):
    plan: dict[str, JsonValue]


EXPLANATIONS: TypeAdapter[Any] = TypeAdapter(_Explanations)
MANIFEST: TypeAdapter[Any] = TypeAdapter(_Manifest)

# -- reading --------------------------------------------------------------------------------------------------------


def read_stored(path: Path, schema: TypeAdapter[T]) -> T | None:
    """Return what a file of JSON says, as :func:`parse` does; None if it does not exist."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error
    return parse(data, schema, str(path))


def parse(data: str | bytes, schema: TypeAdapter[T], source: str) -> T:
    """Return what strict JSON says, of the types of a schema; raise :class:`ResultsError` that names the source."""
    try:
        return schema.validate_python(_load(data), strict=True)
    except ValidationError as error:
        raise ResultsError(f"{source} is damaged or of another version: {_first_problem(error)}") from None
    except ValueError as error:
        raise ResultsError(f"{source} is damaged, it is not JSON: {error}") from None


def _load(data: str | bytes, constant: Callable[[str], object] | None = None) -> Any:
    """Read JSON; raise ValueError, also for nesting that overflows the stack, and for NaN without ``constant``."""
    try:
        return json.loads(data, parse_constant=constant or _refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number of JSON")


def _first_problem(error: ValidationError) -> str:
    """Return where the first problem is, what is wrong there and what was given."""
    details = error.errors(include_url=False, include_context=False)
    first = details[0]
    location = ".".join(map(str, first["loc"][:6]))[:120] or "the whole"
    more = f" (and {len(details) - 1:,} more problems)" if len(details) > 1 else ""
    return f"{location}: {first['msg']}, got {shown(first['input'])}{more}"
