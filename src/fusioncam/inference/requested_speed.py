"""The settings of masked passes that a user requests by names."""

from __future__ import annotations

from fusioncam.inference.engines.openvino_import import openvino
from fusioncam.inference.settings import Speed


def requested_speed(precision: str | None, engine: str | None) -> Speed | None:
    """Return the settings for a precision and an engine; None if neither is given, which keeps the model's own.

    Raises :class:`MissingExtraError` if OpenVINO is requested and not installed, before any network is loaded.
    """
    if engine == "openvino":
        openvino()
    if precision is None and engine is None:
        return None
    return Speed(precision=precision or Speed.precision, engine=engine or Speed.engine)
