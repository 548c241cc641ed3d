"""Load the network of an ultralytics checkpoint without executing code from the file.

Such a file holds the network as a pickled object. Each of its classes is read as a stand-in that only holds data, so
no constructor runs with values from the file: some of ultralytics' evaluate text. The stand-ins of modules of
ultralytics and torch then become modules with the same attributes; a file with any other class is refused.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fusioncam.data.preprocessing import FIT, Preprocessing
from fusioncam.errors import WeightsError
from fusioncam.utils.optional import extra
from fusioncam.zoo.checkpoints import first_line

_MODULES = ("ultralytics.nn.", "torch.nn.modules.")
# settings of the training, which are not used
_DATA = ("ultralytics.utils.IterableSimpleNamespace", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.Path")
_EXPORT = (
    "export it where you trust it, YOLO(FILE).export(format='torchscript'), and explain the result by a factory "
    "(package.module:factory)"
)


class _StandIn:
    """Base class of the stand-ins: takes any arguments, holds attributes."""

    kind: type | None = None

    def __init__(self, *args: object, **kwargs: object) -> None: ...


def load_ultralytics(file: str) -> nn.Module:
    """Return the network of a checkpoint, in evaluation mode and float32.

    Raises :class:`WeightsError` for a file that is missing, that holds other classes, or that has no network, and
    :class:`MissingExtraError` without ultralytics.
    """
    # otherwise it runs pip for a file that needs another package, such as a damaged image
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    extra("ultralytics", "ultralytics.nn.tasks", "checkpoints of ultralytics")
    path = Path(file)
    if not path.is_file():
        raise WeightsError(f"{file}: no such file: ultralytics:FILE names a local checkpoint such as best.pt")
    stored = _read(path)
    network: nn.Module | None = next(
        (stored[key] for key in ("ema", "model") if isinstance(stored.get(key), nn.Module)), None
    )
    if network is None:
        raise WeightsError(f"{file}: has no network under 'ema' or 'model': expected a checkpoint of ultralytics")
    try:
        return network.float().eval()
    except AttributeError as error:  # what the attributes of a module should be is not checked
        raise WeightsError(f"{file}: the network in it is incomplete: {first_line(error)}") from None


def ultralytics_labels(network: nn.Module) -> tuple[str, ...] | None:
    """Return the class names of a network of ultralytics, if it has them."""
    names = getattr(network, "names", None)
    return tuple(map(str, names.values())) if isinstance(names, Mapping) else None


def _read(path: Path) -> dict[str, Any]:
    """Return the contents of the file with modules in place of the stand-ins."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        with torch.serialization.safe_globals([(_stand_in(name, path), name) for name in names]):
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # torch raises many kinds of errors for malformed files
        raise WeightsError(f"{path}: not a readable checkpoint of ultralytics: {first_line(error)}") from None
    return _restored(stored, {}) if isinstance(stored, dict) else {}


def _stand_in(name: str, path: Path) -> type[_StandIn]:
    """Return the stand-in of a class; raise :class:`WeightsError` if it is none of a module or of data."""
    module, _, last = name.rpartition(".")
    kind = getattr(importlib.import_module(module), last, None) if name.startswith(_MODULES) else None
    if not (name in _DATA or (isinstance(kind, type) and issubclass(kind, nn.Module))):
        raise WeightsError(f"{path}: refused because it contains {name} and could run code: {_EXPORT}")
    return type(last, (_StandIn,), {"kind": kind})


def _restored(value: Any, known: dict[int, Any]) -> Any:
    """Return the value with the stand-ins inside replaced by modules; ``known`` are those that are replaced."""
    if id(value) in known:
        return known[id(value)]
    if isinstance(value, _StandIn) and value.kind is not None:
        module: Any = object.__new__(value.kind)
        known[id(value)] = module
        module.__setstate__({name: _restored(one, known) for name, one in vars(value).items()})
        return module
    if isinstance(value, dict):
        return type(value)((name, _restored(one, known)) for name, one in value.items())
    if type(value) in (list, tuple):
        return type(value)(_restored(one, known) for one in value)
    return value


def ultralytics_preprocessing(network: nn.Module) -> Preprocessing:
    """Return ultralytics' own preprocessing: a classifier's crop, or the whole image on a grey ground."""
    settings = getattr(network, "args", None)
    side = settings.get("imgsz") if isinstance(settings, Mapping) else None
    square = (side, side) if isinstance(side, int) else (640, 640)
    if getattr(network, "task", None) == "classify" or type(network).__name__ == "ClassificationModel":
        square = (side, side) if isinstance(side, int) else (224, 224)
        return Preprocessing(square, square[0], "bilinear", (0.0,) * 3, (1.0,) * 3)
    return Preprocessing(square, FIT, "bilinear", (0.0,) * 3, (1.0,) * 3)
