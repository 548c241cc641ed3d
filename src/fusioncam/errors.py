"""Every error and warning of the library.

FusionCamError(Exception)
  UnknownNameError(ValueError)    a name that is in no registry; the message suggests the nearest
  SettingError(ValueError)        a setting or argument out of range
  InputTypeError(TypeError)       an argument of the wrong type
  MissingExtraError(ImportError)  a package of an optional extra that is not installed
  LayerError(ValueError)          a layer that is missing, does not run exactly once, or yields no feature maps
  MethodError(ValueError)         a method that this network does not support
  EngineError(RuntimeError)       a network that the requested engine cannot run
  ShapeError(ValueError)          a tensor of the wrong shape
  TargetError(ValueError)         a class that the network does not have, or the wrong number of classes
  NonFiniteError(ArithmeticError) NaN or infinity in a network's output
  MissingTruthError(ValueError)   a metric needs boxes or a mask that an image does not have
  ResultsError(ValueError)        stored results that are missing, truncated or of another kind
  DatasetError(ValueError)        a data set of no known kind, or with faulty annotations
  ImageError(OSError)             a file that is not a readable image
  WeightsError(OSError)           weights that cannot be found, read or loaded into the network
  OutputError(OSError)            a file or folder that cannot be written
  AddressError(OSError)           a host or port that cannot be served at
  ClusterError(RuntimeError)      a cluster that is unreachable, too small or stalled
FusionCamWarning(UserWarning)
  FlatHeatmapWarning              a constant heatmap, which carries no information

A message says what is wrong, what was given and what to do. Each class also inherits from the built-in error that a
caller who does not know the library would catch.
"""

from __future__ import annotations

import re
import reprlib
import sys
from collections.abc import Iterable, Sequence
from math import inf
from typing import Any

_SHORTEST = 3  # letters of a word that is looked for in other names
_PREFIX = 0.6  # least share of a name that its beginning must be, as in "insert" for "insertion"

MAX_COUNT = 2**31 - 1  # of anything that is counted: more than memory or time allow


class FusionCamError(Exception):
    """Base class of all errors that the library raises deliberately."""

    if sys.version_info < (3, 11):  # PEP 678 added this method in Python 3.11

        def add_note(self, note: str) -> None:
            """Attach a note about where the error happened, as Python 3.11 does."""
            self.__notes__ = [*getattr(self, "__notes__", []), note]

    def explained(self) -> str:
        """Return the message and its notes, one per line."""
        return "\n".join([str(self), *getattr(self, "__notes__", [])])


class UnknownNameError(FusionCamError, ValueError):
    """A name is in no registry."""


class SettingError(FusionCamError, ValueError):
    """A setting or argument has a value out of its range."""


class InputTypeError(FusionCamError, TypeError):
    """An argument has the wrong type."""


class MissingExtraError(FusionCamError, ImportError):
    """A package of an optional extra is not installed; the message names the extra."""


class LayerError(FusionCamError, ValueError):
    """The layer is missing, does not run exactly once, or its output is not feature maps."""


class MethodError(FusionCamError, ValueError):
    """The network lacks what the method needs; the message names methods that work."""


class EngineError(FusionCamError, RuntimeError):
    """The requested engine cannot run the network, or returns other scores; the message names the reason."""


class ShapeError(FusionCamError, ValueError):
    """A tensor has the wrong shape."""


class TargetError(FusionCamError, ValueError):
    """A target class does not exist, or the number of targets differs from the number of images."""


class NonFiniteError(FusionCamError, ArithmeticError):
    """The network returned NaN or infinity where a number is needed."""


class MissingTruthError(FusionCamError, ValueError):
    """A metric needs boxes or a mask, and an image has none."""


class ResultsError(FusionCamError, ValueError):
    """Stored results are missing, truncated or malformed."""


class DatasetError(FusionCamError, ValueError):
    """A folder or file is not a data set of a known kind, or its annotations are faulty."""


class ImageError(FusionCamError, OSError):
    """A file is missing, damaged, too large, or not an image."""


class WeightsError(FusionCamError, OSError):
    """Weights cannot be found or read, or do not fit the network."""


class OutputError(FusionCamError, OSError):
    """A file or folder cannot be written."""


class AddressError(FusionCamError, OSError):
    """A host or port is unavailable."""


class ClusterError(FusionCamError, RuntimeError):
    """A cluster cannot be reached, is too small for the request, or makes no progress."""


class FusionCamWarning(UserWarning):
    """Base class of all warnings of the library."""


class FlatHeatmapWarning(FusionCamWarning):
    """A heatmap is constant, for example because nothing positive is left after the ReLU."""


def describe_error(error: Exception) -> str:
    """Describe an error in one line; errors of other libraries with their type."""
    return str(error) if isinstance(error, FusionCamError) else f"{type(error).__name__}: {error}"


def suggestion(name: object, known: Iterable[object], limit: int = 20) -> str:
    """Return the nearest of the known names as a question, or a list of the first ``limit`` if none is near.

    >>> suggestion("gradcam", ["grad-cam", "score-cam"]), suggestion("layer4", ["classifier"])
    ("did you mean 'grad-cam'?", 'choose from classifier')
    """
    names = [str(one) for one in known]
    near = _nearest(str(name), names)
    if near is not None:
        return f"did you mean '{near}'?"
    more = f", … ({len(names)} in all)" if len(names) > limit else ""
    return f"choose from {', '.join(names[:limit])}{more}"


def _nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the shortest known name that ends with these words, else the nearest by its letters, or None.

    >>> _nearest("layer4", ["conv", "wrapped.layer4.0", "wrapped.layer4"]), _nearest("frist", ["second", "first"])
    ('wrapped.layer4', 'first')
    """
    words = _words(name)
    if len("".join(words)) < _SHORTEST:
        return None
    same = [one for one in known if "".join(_words(one)) == "".join(words)]
    ending = [one for one in known if _words(one)[-len(words) :] == words]
    if same or ending:
        return same[0] if same else min(ending, key=len)
    # the whole name, or the part before its first dot: timm's resnet50.a1_in1k
    distances = {one: min(_distance(name, one), _distance(name, one.split(".")[0])) for one in known}
    best = min(distances, key=lambda one: (distances[one], len(one)), default="")
    return best if distances.get(best, 1) < 1 else None


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+|\+", name.casefold())


def _distance(name: str, other: str) -> float:
    """Return how far two names are apart; below 1 they are near.

    Near are names with one wrong letter in four, and a beginning that is most of the longer name.

    >>> _distance("layer4", "classifier") < 1, _distance("layer4", "layer5") < 1, _distance("insert", "insertion") < 1
    (False, True, True)
    """
    shorter, longer = sorted(("".join(_words(one)) for one in (name, other)), key=len)
    is_beginning = longer.startswith(shorter) and len(shorter) >= _PREFIX * len(longer)
    most = len(longer) // 4
    if len(longer) - len(shorter) <= most and (edits := _edits(shorter, longer)) <= most:
        return edits / (most + 1)
    return 0.99 if is_beginning else 1


def _edits(name: str, other: str) -> int:
    """Return how many letters to insert, remove, replace or exchange with the next one to get the other name.

    >>> _edits("frist", "first"), _edits("papr", "paper"), _edits("player", "layer4")
    (1, 1, 2)
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(name):
        before, last, row = row, before, [i + 1]
        for j, wanted in enumerate(other):
            row.append(min(before[j] + (letter != wanted), before[j + 1] + 1, row[j] + 1))
            if i and j and name[i - 1] == wanted and letter == other[j - 1]:
                row[-1] = min(row[-1], last[j - 1] + 1)
    return row[-1]


class _Shown(reprlib.Repr):
    """Shows the first items of the first two levels, and of each item a part."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 4
        self.maxstring = self.maxother = 80

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() < 200 else f"an integer of {x.bit_length():,} bits"


def shown(value: object) -> str:
    """Return what was given as a text for messages, cut if it is long; nested and repeated parts are not expanded.

    >>> shown([1, "a"]), shown([[[["deep"]]]]), shown(10**5000), len(shown("x" * 10**6))
    ("[1, 'a']", '[[[...]]]', 'an integer of 16,610 bits', 80)
    """
    text = _Shown().repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def cut(name: object, limit: int = 200) -> str:
    """Return a name without quotes, cut if it is long."""
    text = name if isinstance(name, str) else shown(name)
    return text if len(text) <= limit else f"{text[:limit]}..."


def unknown_name(kind: str, name: object, known: Iterable[object], limit: int = 20) -> UnknownNameError:
    """Return the error for a name that is not among the known ones.

    >>> print(unknown_name("method", "gradcam", ["grad-cam", "score-cam"]))
    unknown method 'gradcam'; did you mean 'grad-cam'?
    """
    return UnknownNameError(f"unknown {kind} '{cut(name)}'; {suggestion(name, known, limit)}")


def require_known(kind: str, name: object, known: Iterable[object]) -> None:
    """Raise :class:`UnknownNameError` unless ``name`` is one of the known ones."""
    names = list(known)
    if name not in names:
        raise unknown_name(kind, name, names)


def require_count(name: str, value: object) -> None:
    """Raise :class:`SettingError` unless the setting is an integer from 1 to ``MAX_COUNT``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingError(f"{name} must be a positive integer, got {value!r}")
    if value > MAX_COUNT:
        raise SettingError(f"{name} must be at most {MAX_COUNT:,}, got an integer of {value.bit_length()} bits")


def require_number(
    name: str, value: Any, low: float = -inf, high: float = inf, *, integer: bool = False, above: bool = False
) -> None:
    """Raise :class:`SettingError` unless a setting is a finite number from ``low`` to ``high``.

    ``integer`` excludes fractions, ``above`` excludes ``low`` itself.
    """
    numeric = isinstance(value, int if integer else (int, float)) and not isinstance(value, bool)
    if numeric and low <= value <= high and -inf < value < inf and not (above and value == low):
        return
    limits = f" above {low}" if above else f" of at least {low}" if low > -inf else ""
    if high < inf:
        limits = f" above {low} and at most {high}" if above else f" between {low} and {high}"
    raise SettingError(f"{name} must be {'an integer' if integer else 'a number'}{limits}, got {value!r}")
