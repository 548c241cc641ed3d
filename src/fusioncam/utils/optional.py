"""Packages that come with an extra: imported when they are needed, and named where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from fusioncam.errors import MissingExtraError


def extra(name: str, module: str, what: str) -> Any:
    """Import a module of the extra ``name``, or raise :class:`MissingExtraError` that says ``what`` needs it.

    A package that is there and lacks another one is not called missing: its own error is raised.

    >>> extra("benchmark", "json", "texts").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        raise MissingExtraError(f'{what} need {package}: pip install "fusioncam[{name}]"') from None
