"""What a benchmark is to do: the words of a YAML plan and of the command line, checked, told apart by a digest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from fusioncam.errors import ResultsError, UnknownNameError, require_known, suggestion, unknown_name
from fusioncam.inference.settings import PRECISIONS
from fusioncam.methods.registry import as_methods
from fusioncam.metrics.registry import as_metrics
from fusioncam.utils.files import atomic_write
from fusioncam.utils.optional import extra
from fusioncam.zoo.loading import DEFAULT_MODEL

BASELINES = ("ones", "center", "random")
TARGETS = ("predicted", "label")
_PRESETS = Path(__file__).with_name("plans")
# the fields of which a plan may have more than another, and still be the same work
_LISTS = ("models", "methods", "metrics")


@dataclass(frozen=True)
class Plan:
    """Which models, methods and metrics meet which images, and all else that the values depend on.

    ``methods`` and ``metrics`` are SPECs of one each; the baselines are always among the methods. ``target`` is the
    class that is explained: the "predicted" one, or the image's "label". ``layer`` is that of every model.
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
    keep_heatmaps: bool = False

    @property
    def digest(self) -> str:
        """Tell plans apart; the order of names makes no other plan."""
        facts = {key: sorted(value) if key in _LISTS else value for key, value in asdict(self).items()}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write the plan as JSON."""
        with atomic_write(path) as file:
            file.write(json.dumps(asdict(self) | {"digest": self.digest}, indent=2).encode())


def stored_plan(path: Path) -> Plan | None:
    """Read the plan of a run; None if there is none."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        digest = facts.pop("digest")
        settings: dict[str, Any] = {key: tuple(one) if key in _LISTS else one for key, one in facts.items()}
        plan = Plan(**settings)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ResultsError(f"{path} is no plan of this version: {error}: choose another folder") from error
    if plan.digest != digest:
        raise ResultsError(f"{path} was changed by hand, its digest does not fit: choose another folder")
    return plan


# -- one plan beside another -----------------------------------------------------------------------------------


def differences(was: Plan, now: Plan) -> list[str]:
    """Say in lines what differs, as ``key: was -> is``; names that came and went with + and -.

    >>> differences(Plan("photos", seed=1), Plan("photos", seed=2, metrics=("increase", "road")))[:2]
    ['metric: + road, - average-drop, - deletion, - insertion', 'seed: 1 -> 2']
    """
    lines = []
    for word, name in _WORDS.items():
        before, after = getattr(was, name), getattr(now, name)
        if name in _LISTS:
            signs = [f"+ {one}" for one in sorted({*after} - {*before})] + [
                f"- {one}" for one in sorted({*before} - {*after})
            ]
            lines += [f"{word}: {', '.join(signs)}"] if signs else []
        elif before != after:
            lines.append(f"{word}: {_shown(before)} -> {_shown(after)}")
    return lines


def only_adds(was: Plan, now: Plan) -> bool:
    """Say whether all that the first plan asks for is asked for by the second, too."""
    more = all({*getattr(was, name)} <= {*getattr(now, name)} for name in _LISTS)
    reach = now.limit is None or (was.limit is not None and was.limit <= now.limit)
    same = all(getattr(was, name) == getattr(now, name) for name in _WORDS.values() if name not in (*_LISTS, "limit"))
    return more and reach and same


def only_adds_metrics(was: Plan, now: Plan) -> bool:
    """Say whether the second plan has more metrics than the first and is the same otherwise."""
    same = all({*getattr(was, name)} == {*getattr(now, name)} for name in ("models", "methods"))
    return only_adds(was, now) and same and was.limit == now.limit


def _shown(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


# -- from words ------------------------------------------------------------------------------------------------


def presets() -> list[str]:
    """List the plans that come with the package."""
    return sorted(one.stem for one in _PRESETS.glob("*.yaml"))


def as_plan(source: str | Path | None = None, own: Container[str] = (), **options: Any) -> Plan:
    """Make a plan of a preset's or a YAML file's words; ``options``, by their names in :class:`Plan`, override them.

    Whoever names models and no layer means the models' own, not that of the source. Names of the caller's ``own``
    methods and metrics are no SPECs. Raises :class:`UnknownNameError` for whatever is no plan, no word of one or no
    value of a word.
    """
    words = {} if source is None else read_words(source)
    given = {name: value for name, value in options.items() if value is not None}
    settings: dict[str, Any] = words | given
    if not settings.get("data"):
        raise UnknownNameError("a benchmark needs images: name a folder or file of them")
    for name in settings:
        if name not in _CHECKS:
            raise unknown_name("setting of a plan", name, _CHECKS)
        settings[name] = _CHECKS[name](_WORD_OF[name], settings[name])
    if "models" in given and settings["models"] != _names("model", words.get("models", DEFAULT_MODEL)):
        settings["layer"] = given.get("layer")
    plan = Plan(**settings)
    return replace(
        plan,
        models=_unique(plan.models),
        methods=_unique(_expanded((*plan.methods, *BASELINES), as_methods, own)),
        metrics=_unique(_expanded(plan.metrics, as_metrics, own)),
    )


def _expanded(
    names: Iterable[str], read: Callable[[str], list[tuple[str, Any]]], own: Container[str]
) -> Iterator[str]:
    for name in names:
        yield from [name] if name in own else (one for one, _ in read(name))


def read_words(source: str | Path) -> dict[str, Any]:
    """Read a preset or a YAML file into the settings that it names."""
    text = _text_of(source)
    yaml = extra("benchmark", "yaml", "plans")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        words = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UnknownNameError(f"the plan {source} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(words, dict):
        raise UnknownNameError(
            f"the plan {source} has no words: write lines such as 'method: [grad-cam, fusion-cam]'"
        )
    for word in words:
        if word not in _WORDS:
            raise unknown_name(f"key in the plan {source}:", word, _WORDS)
    if len(node.value) > len(words):  # YAML lets the last one win
        raise UnknownNameError(
            f"the plan {source} says a word twice: {', '.join(key.value for key, _ in node.value)}"
        )
    return {_WORDS[word]: value for word, value in words.items() if value is not None}


def _text_of(source: str | Path) -> str:
    path = _PRESETS / f"{source}.yaml" if source in presets() else Path(source)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnknownNameError(f"the plan {source} is no text: {error}") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UnknownNameError(
            f"'{source}' is not a plan ({why}): name a YAML file or a preset; {suggestion(source, presets())}"
        ) from None


def _names(word: str, value: object) -> tuple[str, ...]:
    """Take one name or several."""
    listed = (value,) if isinstance(value, str) else value
    if not isinstance(listed, (list, tuple)) or not listed or not all(isinstance(one, str) and one for one in listed):
        raise UnknownNameError(f"{word} is a name or a list of names, got {value!r}")
    return tuple(listed)


def _count(least: int) -> Callable[[str, object], int]:
    def check(word: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UnknownNameError(f"{word} is a whole number from {least}, got {value!r}")
        return value

    return check


def _one_of(known: Iterable[str]) -> Callable[[str, object], str]:
    def check(word: str, value: object) -> str:
        require_known(word, value, known)
        return str(value)

    return check


def _text(word: str, value: object) -> str:
    if not isinstance(value, (str, Path)) or not str(value):
        raise UnknownNameError(f"{word} is a text, got {value!r}")
    return str(value)


def _path(word: str, value: object) -> str:
    return os.path.normpath(_text(word, value))


def _flag(word: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UnknownNameError(f"{word} is true or false, got {value!r}")
    return value


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "data": _path,
    "models": _names,
    "methods": _names,
    "metrics": _names,
    "layer": _text,
    "target": _one_of(TARGETS),
    "limit": _count(1),
    "seed": _count(0),
    "class_map": _path,
    "device": _text,
    "precision": _one_of(PRECISIONS),
    "keep_heatmaps": _flag,
}
# a plan speaks of one model, as the command line does
_WORD_OF = {one.name: one.name.removesuffix("s" * (one.name in _LISTS)).replace("_", "-") for one in fields(Plan)}
_WORDS = {word: name for name, word in _WORD_OF.items()}
