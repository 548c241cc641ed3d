"""Parse SPECs: names with optional settings in call form, as users type them, for a registry of dataclasses.

``fusion-cam(gradient=layer-cam(layer=blocks.4), region=score-cam(readout=probability), theta=20)``

A ``|`` between values stands for alternatives: ``fusion-cam(gradient=grad-cam|layer-cam)`` is two SPECs, and several
such settings stand for every combination. ``[a, b]`` is a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from math import prod
from typing import Any, Generic, TypeVar

from fusioncam.errors import InputTypeError, SettingError, UnknownNameError, cut, require_known, shown, suggestion

T = TypeVar("T")
MAX_SPECS = 1_000  # that the alternatives of one SPEC may stand for
_MAX_LETTERS, _MAX_DEPTH = 10_000, 20


class Registry(dict[str, T]):
    """The entries of one kind by name, a dict whose keys may also be SPECs of one entry.

    ``METHODS["fusion-cam(budget=24)"]`` is parsed; a key that is no SPEC raises the errors of :meth:`Specs.one`.
    ``instead`` is the advice in the error for a SPEC of several entries.
    """

    def __init__(self, kind: str, entries: Mapping[str, T], instead: str = "give one") -> None:
        super().__init__(entries)
        self.specs: Specs[T] = Specs(kind, self, instead)

    def __missing__(self, spec: object) -> T:
        if not isinstance(spec, str):
            raise InputTypeError(f"expected the name of a {self.specs.kind}, got {shown(spec)}")
        return self.specs.one(spec)[1]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.specs.kind, dict(self), self.specs.instead)


@dataclass(frozen=True)
class Specs(Generic[T]):
    """Parses the SPECs of one registry.

    ``kind`` is the noun for an entry in messages, ``known`` the registry. ``instead`` is the advice in the error for
    a SPEC of several entries where one is expected. A setting whose type is ``kind``, capitalised, is an entry of
    the same registry.
    """

    kind: str
    known: Mapping[str, T]
    instead: str = "give one"

    def many(self, spec: str | T) -> list[tuple[str, T]]:
        """Return the entries of a SPEC or a callable, each with its name for tables.

        Raises :class:`UnknownNameError`, :class:`SettingError` or :class:`InputTypeError`.
        """
        return [(one, self.parse(one)) for one in self.expand(spec)] if isinstance(spec, str) else [self._named(spec)]

    def one(self, spec: str | T) -> tuple[str, T]:
        """Return the entry of a SPEC or a callable with its name; raise :class:`SettingError` if it names several."""
        found = self.many(spec)
        if len(found) > 1:
            raise SettingError(f"'{spec}' names {len(found)} {self.kind}s: {self.instead}")
        return found[0]

    def _named(self, entry: T) -> tuple[str, T]:
        if not callable(entry) or isinstance(entry, type):
            hint = f": make an instance, {entry.__name__}()" if isinstance(entry, type) else ""
            raise InputTypeError(f"expected the name of a {self.kind} or a callable, got {entry!r}{hint}")
        names = [name for name, known in self.known.items() if known == entry]
        return names[0] if names else getattr(entry, "__name__", _written(entry)), entry

    def expand(self, spec: str) -> list[str]:
        """Return the SPECs that the alternatives of a SPEC stand for.

        Raises :class:`SettingError` for more than ``MAX_SPECS``, and for a text that is too long or too nested.

        >>> Specs("number", {}).expand("one(a=1|2, b=3)")
        ['one(a=1, b=3)', 'one(a=2, b=3)']
        """
        if len(spec) > _MAX_LETTERS:
            raise SettingError(f"the {self.kind} '{cut(spec, 80)}' has {len(spec):,} letters: write several SPECs")
        specs: list[str] = []
        for alternative in self._split(spec, "|", spec):
            name, paren, rest = alternative.partition("(")
            if not paren or not rest.endswith(")"):
                specs.append(alternative)
                continue
            parts = [part.partition("=") for part in self._split(rest[:-1], ",", spec)]
            choices = [[f"{key}{equals}{value}" for value in self.expand(text)] for key, equals, text in parts]
            if len(specs) + prod(map(len, choices)) > MAX_SPECS:
                raise SettingError(f"'{cut(spec, 80)}' stands for more than {MAX_SPECS:,} {self.kind}s: write fewer")
            specs += [f"{name}({', '.join(settings)})" for settings in product(*choices)]
        return specs or [spec.strip()]

    def parse(self, spec: str) -> T:
        """Return the entry of a SPEC without alternatives.

        Raises :class:`UnknownNameError` for an unknown name, :class:`SettingError` for a faulty setting.
        """
        name, paren, rest = spec.strip().partition("(")
        if paren and not rest.endswith(")"):
            raise SettingError(f"cannot read the {self.kind} '{cut(spec)}': a closing ')' is missing")
        require_known(self.kind, name.strip(), self.known)
        entry = self.known[name.strip()]
        settings = dict(self._setting(part, entry, name) for part in self._split(rest[:-1], ",", spec))
        return replace(entry, **settings) if settings else entry  # type: ignore[type-var] # ours are dataclasses

    # -- descriptions -------------------------------------------------------------------------------------

    def described(self, name: str) -> str:
        """Return the description of an entry, or for a preset the entry and settings that it stands for."""
        entry: Any = self.known[name]
        plain = type(entry)()
        base = next(known for known, other in self.known.items() if other == plain)
        if name == base:
            return summary(entry)
        changed = [setting for setting in self.settings_of(entry) if setting not in self.settings_of(plain)]
        return f"{base} with {', '.join(changed)}" if changed else f"the same as {base}"

    def settings_of(self, entry: object) -> list[str]:
        """Return the settings of an entry with their values, as a SPEC writes them."""
        if not is_dataclass(entry):
            return []
        return [f"{field.name}={self._format(getattr(entry, field.name))}" for field in fields(entry)]

    def _format(self, value: Any) -> str:
        if isinstance(value, tuple):
            return f"[{', '.join(map(self._format, value))}]"
        names = [name for name, known in self.known.items() if known == value]
        if names:
            return names[0]
        if callable(value) and hasattr(value, "__name__"):
            return str(value.__name__)
        return str(value).lower() if value is None or isinstance(value, bool) else str(value)

    # -- parsing ------------------------------------------------------------------------------------------

    def _split(self, text: str, sign: str, spec: str) -> Iterator[str]:
        """Yield the parts between signs without surrounding spaces and without empty parts."""
        if problem := _imbalance(text):
            raise SettingError(f"cannot read the {self.kind} '{cut(spec)}': {problem}")
        yield from filter(None, (part.strip() for part in split(text, sign)))

    def _setting(self, part: str, entry: T, name: str) -> tuple[str, Any]:
        """Return the name and value of a setting that is typed as ``name=value``."""
        key, equals, value = (piece.strip() for piece in part.partition("="))
        types: dict[str, str] = {one.name: str(one.type) for one in fields(entry)} if is_dataclass(entry) else {}
        known = suggestion(key, list(types)) if types else "it has no settings"
        if not equals:
            raise SettingError(f"cannot read the setting '{cut(part)}' of {name}: write name=value; {known}")
        if key not in types:
            raise UnknownNameError(f"{name} has no setting '{cut(key)}'; {known}")
        return key, self._value(key, value, types[key])

    def _value(self, key: str, text: str, kind: str) -> Any:
        """Return the value of a setting, parsed as the type that the entry declares."""
        if kind.startswith("tuple["):
            inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
            return tuple(self._value(key, one, kind[6:].split(",")[0]) for one in self._split(inner, ",", text))
        if text.lower() == "none" and kind.endswith("| None"):
            return None
        kind = kind.removesuffix(" | None")
        if kind == self.kind.capitalize():
            return self.parse(text)
        read = _READERS.get(kind) or _READERS.get(kind.partition(" | ")[0])
        if read is None:
            raise SettingError(f"{key} cannot be written in a SPEC: set it in Python")
        return read(key, text)


def _written(entry: object) -> str:
    """Return the repr of an entry with functions by their names: their addresses differ from run to run."""
    return re.sub(r"<function (?:\S+\.)?(\S+) at 0x[0-9a-f]+>", r"\1", repr(entry))


def summary(entry: object) -> str:
    """Return the first sentence of an entry's docstring, without the paper in parentheses."""
    words = " ".join((type(entry).__doc__ or "").replace("``", "").split())
    return words.partition(". ")[0].partition(" (")[0].rstrip(".")


def _flag(key: str, text: str) -> bool:
    require_known(f"value of {key}", text.lower(), ("true", "false"))
    return text.lower() == "true"


def _number(kind: type[int] | type[float], what: str) -> Callable[[str, str], float]:
    def read(key: str, text: str) -> float:
        try:
            return kind(text)
        except ValueError:
            raise SettingError(f"{key} must be {what}, got '{cut(text)}'") from None

    return read


_READERS: dict[str, Callable[[str, str], Any]] = {
    "bool": _flag,
    "int": _number(int, "a whole number"),
    "float": _number(float, "a number"),
    "str": lambda key, text: text,
    "FillSetting": lambda key, text: text,
    "int | str": lambda key, text: int(text) if re.fullmatch(r"[0-9]{1,9}", text) else text,
}


def split(text: str, sign: str = ",") -> Iterator[str]:
    """Yield the parts between signs that are outside of parentheses and brackets.

    >>> list(split("a(b, c), [d, e]"))
    ['a(b, c)', ' [d, e]']
    """
    depth, start = 0, 0
    for position, letter in enumerate(text + sign):
        depth += (letter in "([") - (letter in ")]")
        if letter == sign and depth == 0:
            yield text[start:position]
            start = position + 1


def _imbalance(text: str) -> str | None:
    """Return what is wrong with the parentheses and brackets of a text, if anything."""
    depth = 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if depth < 0:
            return "its parentheses do not match"
        if depth > _MAX_DEPTH:
            return f"its parentheses are nested more than {_MAX_DEPTH} deep"
    return "a ')' is missing" if depth else None
