"""Weights from files: tensors and their names, never code."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fusioncam.errors import FusionCamWarning, WeightsError


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` file or a torch checkpoint, never running code from it.

    Of a training checkpoint its ``state_dict`` is taken; a prefix that wrappers put before every name goes.
    """
    try:
        if not path.is_file():
            raise FileNotFoundError("no such file")
        stored = _stored(path)
    except OSError as error:
        raise WeightsError(f"{path}: {brief(error)}") from None
    except Exception as error:  # torch raises whatever the first odd byte leads to
        # it advises to load unsafely where it met more than tensors, and also where it met no pickle at all
        unsafe = "weights_only" in str(error) and "Unsupported operand" not in str(error)
        reason = "refused, it holds more than tensors and could run code: save a state dict"
        told = reason if unsafe else f"not a readable checkpoint ({path.stat().st_size:,} bytes)"
        raise WeightsError(f"{path}: {told}") from None
    return _state_dict(stored, path)


def _stored(path: Path) -> Any:
    if path.suffix.lower() == ".safetensors":
        return load_file(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of archives that are refused right after
        return torch.load(path, map_location="cpu", weights_only=True)


def _state_dict(stored: Any, path: Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(stored, dict) and isinstance(stored.get(key), dict):
            stored = stored[key]
    named = isinstance(stored, dict) and all(isinstance(key, str) for key in stored)
    if not named or not stored or not all(isinstance(one, Tensor) for one in stored.values()):
        keys = f" of {_few([str(key) for key in stored])}" if isinstance(stored, dict) and stored else ""
        raise WeightsError(f"{path}: holds no state dict (names and tensors), but {type(stored).__name__}{keys}")
    return _bare(stored)


def _bare(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take off the prefixes that wrappers put before every name, however often and in whatever order."""
    for prefix in ("module.", "_orig_mod.", "model."):
        if tensors and all(name.startswith(prefix) for name in tensors):
            return _bare({name.removeprefix(prefix): tensor for name, tensor in tensors.items()})
    return dict(tensors)


def fit(network: nn.Module, stored: Mapping[str, Tensor], name: str) -> None:
    """Load the tensors into the network; name those that are missing or have another shape."""
    own = network.state_dict()
    # the network may be wrapped as well: its names count with and without what stands before all of them
    keys = {full: full if full in stored else bare for full, bare in zip(own, _bare(own), strict=True)}
    found = {full: stored[key] for full, key in keys.items() if key in stored}
    if problems := _problems(own, found):
        raise WeightsError(f"{name} does not fit {type(network).__name__}: {'; '.join(problems)}")
    if extra := sorted(stored.keys() - keys.values()):
        told = f"{name}: {len(extra)} tensors have no place in the network: {_few(extra)}"
        warnings.warn(told, FusionCamWarning, stacklevel=3)
    network.load_state_dict(found, strict=False)


def _problems(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    missing = [name for name in own if name not in found and not name.endswith("num_batches_tracked")]
    shapes = [
        f"{name} is {tuple(tensor.shape)}, the network wants {tuple(own[name].shape)}"
        for name, tensor in found.items()
        if tensor.shape != own[name].shape
    ]
    told = [f"{len(missing)} missing: {_few(missing)}"] if missing else []
    hint = "where only the head differs, give num_classes (--num-classes)"
    return told + ([f"{len(shapes)} of another shape: {_few(shapes)}; {hint}"] if shapes else [])


def _few(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def brief(error: Exception) -> str:
    """Give the first line of another library's message, cut short."""
    return shorten((str(error) or type(error).__name__).splitlines()[0], 150, placeholder=" …")
