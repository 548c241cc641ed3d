"""Every error and warning of the library.

FusionCamError(Exception)
  UnknownNameError(ValueError)    a method, setting, model or choice that does not exist
  MissingExtraError(ImportError)  a package of an extra that is not installed
  LayerError(ValueError)          a layer that is missing, ran 0 or 2 times, or gives no maps
  MethodError(ValueError)         a method that this network cannot serve
  ShapeError(ValueError)          a tensor of another shape than asked for
  TargetError(ValueError)         a class that the network does not have, or too few or many of them
  NonFiniteError(ArithmeticError) the network gave NaN or infinity
  MissingTruthError(ValueError)   a metric needs boxes or a mask that an image does not have
  ResultsError(ValueError)        rows of a benchmark that are missing, torn, or of another kind
  DatasetError(ValueError)        a data set that is none of the known kinds, or has something wrong in it
  ImageError(OSError)             a file that is no readable image
  WeightsError(OSError)           weights that cannot be had, read or fitted
  OutputError(OSError)            a place that cannot be written to
  AddressError(OSError)           a host or port where nothing can be served
  ClusterError(RuntimeError)      a cluster that is not there, has too little room or does not go on
FusionCamWarning(UserWarning)
  FlatHeatmapWarning              the map is constant: it tells nothing

A message says what is wrong, what was got and what to do. Each class also inherits the built-in
error that a caller would catch without knowing the library.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable


class FusionCamError(Exception):
    """The root of all errors that the library raises on purpose."""

    if sys.version_info < (3, 11):  # the built-in of PEP 678 came with 3.11

        def add_note(self, note: str) -> None:
            """Keep where and on what it happened, as Python 3.11 does."""
            self.__notes__ = [*getattr(self, "__notes__", []), note]

    def explained(self) -> str:
        """Give the message with its notes, one a line."""
        return "\n".join([str(self), *getattr(self, "__notes__", [])])


class UnknownNameError(FusionCamError, ValueError):
    """A name or value that is not among the known ones."""


class MissingExtraError(FusionCamError, ImportError):
    """What is asked for needs a package that is not installed; the message names the extra."""


class LayerError(FusionCamError, ValueError):
    """The layer is missing, did not run exactly once, or its output cannot be read as maps."""


class MethodError(FusionCamError, ValueError):
    """The network lacks what the method needs; the message names methods that would do."""


class ShapeError(FusionCamError, ValueError):
    """A tensor has another shape than asked for."""


class TargetError(FusionCamError, ValueError):
    """A target class does not exist, or there are not as many targets as images."""


class NonFiniteError(FusionCamError, ArithmeticError):
    """The network gave NaN or infinity where a number is needed."""


class MissingTruthError(FusionCamError, ValueError):
    """A metric compares with boxes or a mask, and an image has none."""


class ResultsError(FusionCamError, ValueError):
    """Rows of a benchmark are missing, torn, or not what they must be."""


class DatasetError(FusionCamError, ValueError):
    """A folder or file is no data set of a known kind, or its annotations are not what they should be."""


class ImageError(FusionCamError, OSError):
    """A file is missing, damaged, too large, or no image."""


class WeightsError(FusionCamError, OSError):
    """Weights cannot be had, cannot be read, or do not fit the network."""


class OutputError(FusionCamError, OSError):
    """A file or folder cannot be written."""


class AddressError(FusionCamError, OSError):
    """A host or port is not there, or is taken."""


class ClusterError(FusionCamError, RuntimeError):
    """A cluster cannot be reached, has no room for what is asked of it, or nothing goes on there."""


class FusionCamWarning(UserWarning):
    """The root of all warnings of the library."""


class FlatHeatmapWarning(FusionCamWarning):
    """A heatmap is constant, for example because nothing positive was left after ReLU."""


def describe_error(error: Exception) -> str:
    """Say in a line what went wrong; of others' errors their kind, too."""
    return str(error) if isinstance(error, FusionCamError) else f"{type(error).__name__}: {error}"


def suggestion(name: object, known: Iterable[object], limit: int = 20) -> str:
    """Say which of the known names is nearest, then list them (the first ``limit``).

    >>> suggestion("gradcam", ["grad-cam", "score-cam"])
    "Did you mean 'grad-cam'? Known: grad-cam, score-cam"
    """
    names = [str(one) for one in known]
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    more = f", … ({len(names)} in all)" if len(names) > limit else ""
    return f"{hint}Known: {', '.join(names[:limit])}{more}"


def require_known(kind: str, name: object, known: Iterable[object]) -> None:
    """Raise :class:`UnknownNameError` unless ``name`` is among the known ones."""
    names = list(known)
    if name not in names:
        raise UnknownNameError(f"'{name}' is no {kind}. {suggestion(name, names)}")


def require_count(name: str, value: object) -> None:
    """Raise :class:`UnknownNameError` unless the setting is a whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UnknownNameError(f"{name} is a whole number above 0, got {value!r}")
