"""Import packages of optional extras when they are needed, with an error that names the extra."""

from __future__ import annotations

import importlib
from typing import Any

from fusioncam.errors import MissingExtraError


def extra(name: str, module: str, what: str) -> Any:
    """Return a module of the extra ``name``; raise :class:`MissingExtraError` if its package is not installed.

    ``what`` is the plural subject of the message: "what need package". If the package is installed but one of its
    own imports fails, that error is raised unchanged, because installing the extra again would not help.

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
