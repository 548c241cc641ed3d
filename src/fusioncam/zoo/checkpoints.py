"""Read weights from files, without executing code, and load them into a network."""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fusioncam.errors import FusionCamWarning, WeightsError, cut
from fusioncam.utils.quiet import ignoring
from fusioncam.zoo.checkpoint_parts import choices, shape_of


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` file or a torch checkpoint, without executing code from it.

    Of a training checkpoint, the ``state_dict`` is returned. Prefixes that wrappers add to every name are removed.
    Raises :class:`WeightsError` if the file is missing, unsafe or not a checkpoint.
    """
    return _state_dict(_read(path), path)


def load_checkpoint(network: nn.Module, path: Path) -> None:
    """Load the weights in a file into the network, wherever they are in it and whatever prefix their names have.

    Raises :class:`WeightsError` as :func:`read_checkpoint` and :func:`fit` do. A :class:`FusionCamWarning` names the
    choices if several fit, such as the weights and their moving average, of which the first is used.
    """
    stored, own = _read(path), network.state_dict()
    found = choices(stored, own)
    if not found:
        fit(network, _state_dict(stored, path), str(path))  # raises the error
        return
    fit(network, found[0].renamed(own), str(path))
    if others := [choice.describe() for choice in found[1:]]:
        message = f"{path}: {found[0].describe()} is used; {_few(others)} would fit as well"
        warnings.warn(message, FusionCamWarning, stacklevel=2)


def _read(path: Path) -> Any:
    try:
        if not path.is_file():
            raise FileNotFoundError("no such file")
        return _load(path)
    except OSError as error:
        raise WeightsError(f"{path}: {first_line(error)}") from None
    except Exception as error:  # torch raises many kinds of errors for malformed files
        # torch advises unsafe loading not only for files with more than tensors, but also for files without a pickle
        unsafe = "weights_only" in str(error) and "Unsupported operand" not in str(error)
        types = ", ".join(dict.fromkeys(re.findall(r"GLOBAL (\S+)", str(error))))
        contents = f"more than tensors ({types})" if types else "more than tensors"
        refused = f"refused because it contains {contents} and could run code; save a state dict"
        unreadable = f"not a readable checkpoint ({path.stat().st_size:,} bytes)"
        raise WeightsError(f"{path}: {refused if unsafe else unreadable}") from None


def _load(path: Path) -> Any:
    if path.suffix.lower() == ".safetensors":
        return load_file(path)
    # warnings are about archives that are then refused
    with ignoring(), torch.serialization.safe_globals(_harmless_types()):
        return torch.load(path, map_location="cpu", weights_only=True)


def _harmless_types() -> list[Any]:
    """Return types that only hold data and that training scripts store: numbers of NumPy and settings."""
    scalar = np.float64(0).__reduce__()[0]
    types = [scalar, np.dtype, *{type(np.dtype(code)) for code in "?bhilqBHILQefd"}, argparse.Namespace]
    if hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):  # torch 2.6, which accepts other names
        types += [(scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    return types


def _state_dict(stored: Any, path: Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(stored, dict) and isinstance(stored.get(key), dict):
            stored = stored[key]
    named = isinstance(stored, dict) and all(isinstance(key, str) for key in stored)
    if not named or not stored or not all(isinstance(value, Tensor) for value in stored.values()):
        keys = f" with the keys {_few([cut(key) for key in stored])}" if isinstance(stored, dict) and stored else ""
        raise WeightsError(f"{path}: expected a state dict (names and tensors), got {type(stored).__name__}{keys}")
    return _without_prefixes(stored)


def _without_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes that wrappers add to every name, any number of times and in any order."""
    for prefix in ("module.", "_orig_mod.", "model."):
        if tensors and all(name.startswith(prefix) for name in tensors):
            return _without_prefixes({name.removeprefix(prefix): tensor for name, tensor in tensors.items()})
    return dict(tensors)


def fit(network: nn.Module, stored: Mapping[str, Tensor], name: str) -> None:
    """Load the tensors into the network, and warn about those that the network does not have.

    Raises :class:`WeightsError`, which lists the tensors that are missing or have another shape, and then leaves the
    network unchanged.
    """
    own = network.state_dict()
    if not own:
        raise WeightsError(f"{name} cannot be loaded: {type(network).__name__} has no parameters; leave it out")
    # the network may itself have a prefix: accept its names with and without it
    keys = {full: full if full in stored else bare for full, bare in zip(own, _without_prefixes(own), strict=True)}
    matching = {full: stored[key] for full, key in keys.items() if key in stored}
    if unusable := [f"{cut(full)} {kind}" for full, one in matching.items() if (kind := _unusable_kind(one))]:
        raise WeightsError(f"{name}: {_few(unusable)}: save a state dict of dense tensors, for example by to_dense()")
    if mismatches := _mismatches(own, matching, stored):
        raise WeightsError(f"{name} does not fit {type(network).__name__}: {'; '.join(mismatches)}")
    if unused := sorted(stored.keys() - keys.values()):
        message = (
            f"{name}: {len(unused)} tensors are not in the network and were ignored: {_few(list(map(cut, unused)))}"
        )
        warnings.warn(message, FusionCamWarning, stacklevel=3)
    try:
        network.load_state_dict(matching, strict=False)
    except RuntimeError as error:  # of a kind of tensor that cannot be copied
        raise WeightsError(f"{name} cannot be loaded into {type(network).__name__}: {first_line(error)}") from None


def _unusable_kind(tensor: Tensor) -> str | None:
    """Return what keeps the values of a tensor from being copied into a network's, None if nothing does."""
    if tensor.is_meta:
        return "is a meta tensor, which has no values"
    if tensor.is_nested or tensor.layout != torch.strided:
        return "is sparse or nested"
    if tensor.is_quantized:
        return "is quantised"
    return "has complex numbers" if tensor.is_complex() else None


def _mismatches(own: Mapping[str, Tensor], matching: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> list[str]:
    missing = [name for name in own if name not in matching and not name.endswith("num_batches_tracked")]
    shapes = [
        f"{name} is {shape_of(tensor)}, the network needs {tuple(own[name].shape)}"
        for name, tensor in matching.items()
        if shape_of(tensor) != tuple(own[name].shape)
    ]
    messages = (
        [f"{len(missing)} missing: {_few(missing)}; the file has {_few(sorted(map(cut, stored)))}"] if missing else []
    )
    hint = "if only the head differs, set num_classes (--num-classes)"
    return messages + ([f"{len(shapes)} of another shape: {_few(shapes)}; {hint}"] if shapes else [])


def _few(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def first_line(error: Exception) -> str:
    """Return the first line of another library's message, shortened to 150 characters."""
    return shorten((str(error) or type(error).__name__).splitlines()[0], 150, placeholder=" …")
