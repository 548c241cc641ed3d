"""A method by what users type: a name with optional settings in call form.

``fusion-cam(gradient=grad-cam, region=score-cam(readout=probability), theta=20)``
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from ..errors import UnknownNameError, require_known, suggestion
from . import METHODS
from .common import Method


def as_method(spec: str | Method) -> tuple[str, Method]:
    """Give a method and the name under which tables show it; a callable is its own method."""
    if isinstance(spec, str):
        return spec.strip(), parse(spec)
    if not callable(spec) or isinstance(spec, type):
        hint = f": make an instance, {spec.__name__}()" if isinstance(spec, type) else ""
        raise UnknownNameError(f"expected a method's name or a callable, got {spec!r}{hint}")
    names = [name for name, method in METHODS.items() if method == spec]
    return (names[0] if names else getattr(spec, "__name__", repr(spec))), spec


def parse(spec: str) -> Method:
    """Read a SPEC; raise :class:`UnknownNameError` that says what is known and what is nearest."""
    name, paren, rest = spec.strip().partition("(")
    if paren and not rest.endswith(")"):
        raise UnknownNameError(f"cannot read the method '{spec}': a ')' is missing at its end")
    require_known("method", name.strip(), METHODS)
    method = METHODS[name.strip()]
    settings = dict(_setting(part, method, name) for part in _parts(rest[:-1], spec)) if paren else {}
    return replace(method, **settings) if settings else method  # type: ignore[type-var] # ours are dataclasses


def _parts(text: str, spec: str) -> Iterator[str]:
    """Split at the commas that stand outside of inner parentheses."""
    depth, start = 0, 0
    for place, sign in enumerate(text + ","):
        depth += (sign == "(") - (sign == ")")
        if depth < 0:
            break
        if sign == "," and depth == 0:
            if text[start:place].strip():
                yield text[start:place].strip()
            start = place + 1
    if depth != 0:
        raise UnknownNameError(f"cannot read the method '{spec}': its parentheses do not match")


def _setting(part: str, method: Method, name: str) -> tuple[str, Any]:
    key, equals, value = (piece.strip() for piece in part.partition("="))
    known: list[str] = [one.name for one in fields(method)] if is_dataclass(method) else []
    if not equals or key not in known:
        problem = f"'{key}' is no setting of {name}" if equals else f"'{part}' is no setting: write name=value"
        raise UnknownNameError(f"{problem}. {suggestion(key, known)}")
    return key, _value(key, value, getattr(method, key))


def _value(key: str, text: str, now: object) -> Any:
    """Read a setting's value as what the setting is now: a flag, a number, a method or a word."""
    if isinstance(now, bool):
        require_known(f"value of {key}", text.lower(), ("true", "false"))
        return text.lower() == "true"
    if isinstance(now, (int, float)):
        try:
            return float(text)
        except ValueError:
            raise UnknownNameError(f"{key} is a number, got '{text}'") from None
    return parse(text) if callable(now) else text
