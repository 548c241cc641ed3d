"""A name with optional settings in call form, as users type it, read against a registry of dataclasses.

``fusion-cam(gradient=layer-cam(layer=blocks.4), region=score-cam(readout=probability), theta=20)``

A ``|`` between values asks for an entry with each of them: ``fusion-cam(gradient=grad-cam|layer-cam)`` is two, and
with several such settings every combination is one. ``[a, b]`` is a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from typing import Any, Generic, TypeVar

from fusioncam.errors import InputTypeError, SettingError, UnknownNameError, require_known, suggestion

T = TypeVar("T")


@dataclass(frozen=True)
class Specs(Generic[T]):
    """The SPECs of one registry.

    ``kind`` is what an entry is called, ``instead`` what to do who asks for several where one is wanted. A setting
    whose type is ``kind``, capitalised, is an entry of the same registry.
    """

    kind: str
    known: Mapping[str, T]
    instead: str = "give one"

    def many(self, spec: str | T) -> list[tuple[str, T]]:
        """Give the entries that a SPEC asks for, and the names under which tables show them."""
        return [(one, self.parse(one)) for one in self.expand(spec)] if isinstance(spec, str) else [self._named(spec)]

    def one(self, spec: str | T) -> tuple[str, T]:
        """Give the one entry that a SPEC asks for, and its name; a callable is its own entry."""
        found = self.many(spec)
        if len(found) > 1:
            raise SettingError(f"'{spec}' names {len(found)} {self.kind}s: {self.instead}")
        return found[0]

    def _named(self, entry: T) -> tuple[str, T]:
        if not callable(entry) or isinstance(entry, type):
            hint = f": make an instance, {entry.__name__}()" if isinstance(entry, type) else ""
            raise InputTypeError(f"expected the name of a {self.kind} or a callable, got {entry!r}{hint}")
        names = [name for name, known in self.known.items() if known == entry]
        return names[0] if names else getattr(entry, "__name__", repr(entry)), entry

    def expand(self, spec: str) -> list[str]:
        """Write out the alternatives of a SPEC.

        >>> Specs("number", {}).expand("one(a=1|2, b=3)")
        ['one(a=1, b=3)', 'one(a=2, b=3)']
        """
        found: list[str] = []
        for one in self._split(spec, "|", spec):
            name, paren, rest = one.partition("(")
            if not paren or not rest.endswith(")"):
                found.append(one)
                continue
            parts = [part.partition("=") for part in self._split(rest[:-1], ",", spec)]
            written = [[f"{key}{equals}{value}" for value in self.expand(text)] for key, equals, text in parts]
            found += [f"{name}({', '.join(chosen)})" for chosen in product(*written)]
        return found or [spec.strip()]

    def parse(self, spec: str) -> T:
        """Read a SPEC of one entry; raise :class:`UnknownNameError` that says what is known and what is nearest."""
        name, paren, rest = spec.strip().partition("(")
        if paren and not rest.endswith(")"):
            raise SettingError(f"cannot read the {self.kind} '{spec}': a closing ')' is missing")
        require_known(self.kind, name.strip(), self.known)
        entry = self.known[name.strip()]
        settings = dict(self._setting(part, entry, name) for part in self._split(rest[:-1], ",", spec))
        return replace(entry, **settings) if settings else entry  # type: ignore[type-var] # ours are dataclasses

    # -- saying what there is -----------------------------------------------------------------------------

    def described(self, name: str) -> str:
        """Say what an entry is; of a preset, of which entry with which settings."""
        entry: Any = self.known[name]
        plain = type(entry)()
        base = next(known for known, other in self.known.items() if other == plain)
        if name == base:
            return summary(entry)
        changed = [one for one in self.settings_of(entry) if one not in self.settings_of(plain)]
        return f"{base} with {', '.join(changed)}" if changed else f"the same as {base}"

    def settings_of(self, entry: object) -> list[str]:
        """List an entry's settings as a SPEC writes them, with their values."""
        if not is_dataclass(entry):
            return []
        return [f"{one.name}={self._written(getattr(entry, one.name))}" for one in fields(entry)]

    def _written(self, value: Any) -> str:
        if isinstance(value, tuple):
            return f"[{', '.join(map(self._written, value))}]"
        names = [name for name, known in self.known.items() if known == value]
        if names:
            return names[0]
        return str(value).lower() if value is None or isinstance(value, bool) else str(value)

    # -- reading what is typed ----------------------------------------------------------------------------

    def _split(self, text: str, sign: str, spec: str) -> Iterator[str]:
        """Split where the sign stands outside of inner parentheses and brackets; leave out what is empty."""
        depth, start = 0, 0
        for place, letter in enumerate(text + sign):
            depth += (letter in "([") - (letter in ")]")
            if depth < 0:
                break
            if letter == sign and depth == 0:
                if text[start:place].strip():
                    yield text[start:place].strip()
                start = place + 1
        if depth != 0:
            problem = "a ')' is missing" if depth > 0 else "its parentheses do not match"
            raise SettingError(f"cannot read the {self.kind} '{spec}': {problem}")

    def _setting(self, part: str, entry: T, name: str) -> tuple[str, Any]:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        kinds: dict[str, str] = {one.name: str(one.type) for one in fields(entry)} if is_dataclass(entry) else {}
        if not equals or key not in kinds:
            problem = (
                f"{name} has no setting '{key}'"
                if equals
                else f"cannot read the setting '{part}' of {name}: write name=value"
            )
            known = suggestion(key, list(kinds)) if kinds else "it has no settings"
            raise UnknownNameError(f"{problem}; {known}")
        return key, self._value(key, value, kinds[key])

    def _value(self, key: str, text: str, kind: str) -> Any:
        """Read a setting's value as the kind that the entry declares."""
        if kind.startswith("tuple["):
            inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
            return tuple(self._value(key, one, kind[6:].split(",")[0]) for one in self._split(inner, ",", text))
        if text.lower() == "none" and kind.endswith("| None"):
            return None
        kind = kind.removesuffix(" | None")
        return self.parse(text) if kind == self.kind.capitalize() else _READERS[kind](key, text)


def summary(entry: object) -> str:
    """Give what an entry is in the first sentence of its docstring, without the paper."""
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
            raise SettingError(f"{key} must be {what}, got '{text}'") from None

    return read


_READERS: dict[str, Callable[[str, str], Any]] = {
    "bool": _flag,
    "int": _number(int, "a whole number"),
    "float": _number(float, "a number"),
    "str": lambda key, text: text,
    "int | str": lambda key, text: int(text) if text.isdecimal() else text,
}


def split(text: str) -> Iterator[str]:
    """Split at the commas outside of parentheses and brackets."""
    depth, start = 0, 0
    for place, letter in enumerate(text + ","):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            yield text[start:place]
            start = place + 1
