"""A method by what users type: a SPEC of ``METHODS``, see :mod:`fusioncam.utils.spec_grammar`."""

from __future__ import annotations

from fusioncam.methods.base import Method
from fusioncam.methods.names import METHODS
from fusioncam.utils.spec_grammar import Specs

_SPECS: Specs[Method] = Specs("method", METHODS, "give one, or use explain_each(...)")


def as_methods(spec: str | Method) -> list[tuple[str, Method]]:
    """Give the methods that a SPEC asks for, and the names under which tables show them."""
    return _SPECS.many(spec)


def as_method(spec: str | Method) -> tuple[str, Method]:
    """Give the one method that a SPEC asks for, and its name; a callable is its own method."""
    return _SPECS.one(spec)


def expand(spec: str) -> list[str]:
    """Write out the alternatives of a SPEC.

    >>> expand("fusion-cam(gradient=grad-cam|layer-cam, theta=20)")
    ['fusion-cam(gradient=grad-cam, theta=20)', 'fusion-cam(gradient=layer-cam, theta=20)']
    """
    return _SPECS.expand(spec)


def parse(spec: str) -> Method:
    """Read a SPEC of one method; raise :class:`UnknownNameError` that says what is known and what is nearest."""
    return _SPECS.parse(spec)


def described(name: str) -> str:
    """Say what a method of METHODS is; of a preset, of which method with which settings.

    >>> described("faster-score-cam"), described("score-cam:official")
    ('score-cam with channels=10', 'the same as score-cam')
    """
    return _SPECS.described(name)


def settings_of(method: object) -> list[str]:
    """List a method's settings as a SPEC writes them, with their values.

    >>> settings_of(METHODS["fusion-cam"])[:3]
    ['gradient=grad-cam', 'region=score-cam', 'theta=10']
    """
    return _SPECS.settings_of(method)
