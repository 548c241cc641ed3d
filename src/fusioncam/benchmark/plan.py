"""The plan of a benchmark: its settings, read from YAML or options, validated, and stored as JSON."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from fusioncam.errors import (
    ResultsError,
    SettingError,
    UnknownNameError,
    cut,
    require_known,
    shown,
    suggestion,
    unknown_name,
)
from fusioncam.inference.settings import ENGINES, PRECISIONS
from fusioncam.methods.registry import as_methods
from fusioncam.metrics.registry import as_metrics
from fusioncam.utils.files import write_file
from fusioncam.utils.optional import extra
from fusioncam.utils.stored_files import PLAN, read_stored
from fusioncam.zoo.loading import DEFAULT_MODEL

BASELINES = ("ones", "center", "random")
TARGETS = ("predicted", "label")
# the settings that are lists of names; their order does not matter
LISTS = ("models", "methods", "metrics")
KEPT_IMAGES = 200  # whose heatmaps are stored by default: with ten methods of 224 x 224 pixels, 400 MB
_MAX_BYTES = 1_000_000  # of a plan
_MAX_BRACKETS = 20  # open at once; the time of reading a bracket grows with their number
_PRESETS = Path(__file__).with_name("plans")


@dataclass(frozen=True)
class Plan:
    """Which models, methods and metrics are combined with which images, and every other setting that affects values.

    Each entry of ``methods`` and ``metrics`` is the SPEC of one method or metric; the baselines are always among the
    methods. ``target`` is the class that is explained: "predicted", or the image's "label". ``layer`` is used for
    every model. ``keep_heatmaps`` None keeps the heatmaps of up to ``KEPT_IMAGES`` images.
    """

    data: str
    models: tuple[str, ...] = (DEFAULT_MODEL,)
    methods: tuple[str, ...] = ("grad-cam", "score-cam", "fusion-cam", *BASELINES)
    metrics: tuple[str, ...] = ("average-drop", "increase", "insertion", "deletion")
    layer: str | None = None
    target: str = "predicted"
    limit: int | None = None
    seed: int = 0
    class_map: str | None = None
    device: str | None = None
    precision: str | None = None
    keep_heatmaps: bool | None = None
    engine: str | None = None

    @property
    def digest(self) -> str:
        """The hash that identifies the plan; the order of names does not affect it."""
        settings = {key: sorted(value) if key in LISTS else value for key, value in asdict(self).items()}
        settings["keep_heatmaps"] = bool(self.keep_heatmaps)  # earlier versions kept none by default
        if self.engine is None:  # plans of earlier versions have no engine
            del settings["engine"]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def keeps_heatmaps(self, images: int) -> bool:
        """Return whether the heatmaps of a run over so many images are stored."""
        return images <= KEPT_IMAGES if self.keep_heatmaps is None else self.keep_heatmaps

    def save(self, path: Path) -> None:
        """Write the plan as JSON; raise :class:`OutputError` if it cannot be written."""
        write_file(path, json.dumps(asdict(self) | {"digest": self.digest}, indent=2).encode(), durable=True)


def load_plan(path: Path) -> Plan | None:
    """Read the plan of a run; return None if the file does not exist.

    Raises :class:`ResultsError` for a file that is not a plan of this version, or that was edited.
    """
    stored = read_stored(path, PLAN)
    if stored is None:
        return None
    digest = stored.pop("digest")
    settings: dict[str, Any] = {key: tuple(value) if key in LISTS else value for key, value in stored.items()}
    plan = Plan(**settings)
    if plan.digest != digest:
        raise ResultsError(f"{path} was edited by hand, its digest does not match: choose another folder")
    return plan


# -- reading plans ---------------------------------------------------------------------------------------------


def presets() -> list[str]:
    """Return the names of the plans that come with the package."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def as_plan(source: str | Path | None = None, own: Container[str] = (), **options: Any) -> Plan:
    """Return the plan of a preset or YAML file; ``options``, named as in :class:`Plan`, override its settings.

    Options that are None are ignored. If the options have models but no layer, the source's layer does not apply.
    Names in ``own``, those of the caller's own methods and metrics, are not parsed as SPECs.

    Raises :class:`UnknownNameError` for an unknown preset, setting, method or metric, and :class:`SettingError` for a
    bad value or a malformed file.
    """
    from_source = {} if source is None else _read_settings(source)
    given = {name: value for name, value in options.items() if value is not None}
    settings: dict[str, Any] = from_source | given
    if not settings.get("data"):
        raise SettingError("a benchmark needs images: give a folder or file of them")
    settings = {name: _validated(name, value) for name, value in settings.items()}
    if "models" in given and settings["models"] != _as_names(from_source.get("models", DEFAULT_MODEL)):
        settings["layer"] = given.get("layer")
    plan = Plan(**settings)
    return replace(
        plan,
        models=_unique(plan.models),
        methods=_unique(_expand((*plan.methods, *BASELINES), as_methods, own)),
        metrics=_unique(_expand(plan.metrics, as_metrics, own)),
    )


def _expand(
    names: Iterable[str], parse: Callable[[str], list[tuple[str, Any]]], own: Container[str]
) -> Iterator[str]:
    """Yield the SPEC of one method or metric for each alternative in a SPEC."""
    for name in names:
        yield from [name] if name in own else (spec for spec, _ in parse(name))


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _read_settings(source: str | Path) -> dict[str, Any]:
    """Read the settings, named as in :class:`Plan`, of a preset or a YAML file."""
    node, content = _load_yaml(_read_text(source), source)
    if not isinstance(content, dict):
        raise SettingError(f"the plan {source} has no settings: write lines such as 'method: [grad-cam, fusion-cam]'")
    for key in content:
        if key not in SETTING_OF_KEY:
            raise unknown_name(f"key in the plan {source}:", key, SETTING_OF_KEY)
    if len(node.value) > len(content):  # YAML silently uses the last of several equal keys
        keys = ", ".join(cut(key.value) for key, _ in node.value[: len(SETTING_OF_KEY) + 1])
        raise SettingError(f"the plan {source} has a key twice, got {keys}")
    return {SETTING_OF_KEY[key]: value for key, value in content.items() if value is not None}


def _load_yaml(text: str, source: str | Path) -> tuple[Any, Any]:
    """Return the root node of a YAML document, and its content."""
    yaml = extra("benchmark", "yaml", "plans")
    loader = None
    try:
        loader = _loader(yaml)(text)
        node = loader.get_single_node()
        if any(key.tag == "tag:yaml.org,2002:merge" for key in _mapping_keys(node)):  # a few of them may be gigabytes
            raise SettingError(f"the plan {source} has the key '<<': write the settings out")
        return node, None if node is None else loader.construct_document(node)
    except (
        yaml.YAMLError,
        RecursionError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
    ) as error:
        if isinstance(error, SettingError):
            raise
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise SettingError(f"the plan {source} is not YAML that can be read: {cut(reason)}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _loader(yaml: Any) -> Any:
    """Return the class that loads YAML, with few nested brackets."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc] # yaml is imported when it is needed
        def fetch_flow_collection_start(self, token: Any) -> None:
            if self.flow_level >= _MAX_BRACKETS:
                raise RecursionError
            super().fetch_flow_collection_start(token)

    return Loader


def _mapping_keys(node: Any) -> Iterator[Any]:
    """Yield the nodes of all keys below a node; parts that several aliases share are visited once."""
    seen, remaining = set[int](), [node]
    while remaining:
        one = remaining.pop()
        value = getattr(one, "value", None)
        if id(one) in seen or not isinstance(value, list):
            continue
        seen.add(id(one))
        pairs = [pair for pair in value if isinstance(pair, tuple)]
        yield from (key for key, _ in pairs)
        remaining += [part for pair in pairs for part in pair] or value


def _read_text(source: str | Path) -> str:
    path = _PRESETS / f"{source}.yaml" if source in presets() else Path(source)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise SettingError(f"the plan {source} has over {_MAX_BYTES:,} bytes: give the YAML file of a plan")
        return data.decode("utf-8")
    except SettingError:
        raise
    except UnicodeDecodeError as error:
        raise SettingError(f"the plan {source} is not UTF-8 text: {error}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnknownNameError(
            f"'{source}' is not a plan ({reason}): give a YAML file or a preset; {suggestion(source, presets())}"
        ) from None


# -- validation ------------------------------------------------------------------------------------------------


def _as_names(value: object) -> tuple[str, ...] | None:
    """Return one name or a list of names as a tuple, None if it is neither."""
    names = (value,) if isinstance(value, str) else value
    valid = isinstance(names, (list, tuple)) and names and all(isinstance(name, str) and name for name in names)
    return tuple(names) if valid else None  # type: ignore[arg-type]


def _as_text(value: object) -> str | None:
    return str(value) or None if isinstance(value, (str, Path)) else None


def _as_path(value: object) -> str | None:
    text = _as_text(value)
    return None if text is None else os.path.normpath(text)


def _as_integer(least: int) -> Callable[[object], int | None]:
    return lambda value: value if type(value) is int and value >= least else None


# for each setting, a function that returns its valid form or None, and what a valid value is
_VALIDATORS: dict[str, tuple[Callable[[object], object], str]] = {
    "data": (_as_path, "a path"),
    **dict.fromkeys(LISTS, (_as_names, "a name or a list of names")),
    "layer": (_as_text, "text"),
    "target": (_as_text, "text"),
    "limit": (_as_integer(1), "an integer of at least 1"),
    "seed": (_as_integer(0), "an integer of at least 0"),
    "class_map": (_as_path, "a path"),
    "device": (_as_text, "text"),
    "precision": (_as_text, "text"),
    "engine": (_as_text, "text"),
    "keep_heatmaps": (lambda value: value if isinstance(value, bool) else None, "true or false"),
}
_CHOICES = {"target": TARGETS, "precision": PRECISIONS, "engine": ENGINES}


def _validated(name: str, value: object) -> object:
    """Return the valid form of a setting's value."""
    if name not in _VALIDATORS:
        raise unknown_name("setting of a plan", name, _VALIDATORS)
    convert, expected = _VALIDATORS[name]
    valid = convert(value)
    if valid is None:
        raise SettingError(f"{KEY_OF_SETTING[name]} must be {expected}, got {shown(value)}")
    if name in _CHOICES:
        require_known(name, valid, _CHOICES[name])
    return valid


# a YAML file uses the names of the command line's options: the singular of lists, and dashes
KEY_OF_SETTING = {
    field.name: field.name.removesuffix("s" * (field.name in LISTS)).replace("_", "-") for field in fields(Plan)
}
SETTING_OF_KEY = {key: name for name, key in KEY_OF_SETTING.items()}
