"""Keep converted networks on disk, so that the next process need not convert them again.

One folder per network holds ``model.xml`` and ``model.bin`` in OpenVINO's format, without the network's weights, and
``entry.json`` with their hashes. It is written under another name and renamed, so that other processes see all of it
or nothing. An entry whose files do not have the hashes is replaced. Nothing of it is ever executed: there are no
pickles.

The folder is that of the user's caches, or ``FUSIONCAM_CACHE_DIR``. If it is read-only or full, the next process
converts again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import nn

from fusioncam.inference.engines.openvino_import import core, openvino
from fusioncam.inference.engines.shared_weights import with_weights, without_weights

LIMIT_BYTES = 4 * 2**30
_FILES = ("model.xml", "model.bin")
_ENTRY, _PART = "entry.json", ".part-"
# a conversion takes seconds: older temporary folders are those of processes that were killed
_ABANDONED_SECONDS = 3600


def cache_folder() -> Path:
    """Return the folder of converted networks, which may not exist yet."""
    chosen = os.environ.get("FUSIONCAM_CACHE_DIR")
    if chosen:
        return Path(chosen) / "networks"
    try:
        from platformdirs import user_cache_dir
    except ImportError:  # OpenVINO was installed without the extra
        return Path("~/.cache/fusioncam/networks").expanduser()
    return Path(user_cache_dir("fusioncam", appauthor=False)) / "networks"


def contains(key: str) -> bool:
    """Return whether there is an entry, which may turn out to be damaged."""
    return (cache_folder() / key / _ENTRY).is_file()


def load(key: str, network: nn.Module) -> Any:
    """Return the ``openvino.Model`` of an entry, with the network's weights; None if it is missing or damaged."""
    folder = cache_folder() / key
    if not folder.exists():
        return None
    try:
        hashes = json.loads((folder / _ENTRY).read_bytes())
        contents = [(folder / name).read_bytes() for name in _FILES]
        if [hashes[name] for name in _FILES] != list(map(_hash, contents)):
            raise ValueError("the files were changed")
        model = with_weights(core().read_model(*map(io.BytesIO, contents)), network)
    except Exception:  # whatever a damaged or foreign file causes: convert again
        return None
    with suppress(OSError):
        os.utime(folder / _ENTRY)  # the entries used least recently are removed first
    return model


def store(key: str, model: Any, network: nn.Module) -> None:
    """Write the entry of a network's model, without weights, and remove the oldest ones beyond the limit.

    Do nothing if the disk does not permit it.
    """
    folder = cache_folder()
    with suppress(OSError, RuntimeError):  # OpenVINO raises RuntimeError for a file that it cannot write
        folder.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=_PART, dir=folder))
        try:
            _write(part, without_weights(model, network))
            part.rename(folder / key)  # fails if another process was faster
        finally:
            shutil.rmtree(part, ignore_errors=True)
    _prune(folder, keep=key)


def discard(key: str) -> None:
    """Remove an entry, or what lies in its place."""
    path = cache_folder() / key
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):  # it is gone, or a folder that cannot be removed
        path.unlink()


def clear() -> int:
    """Remove all entries; return the bytes that they occupied."""
    folder = cache_folder()
    before = sum(map(_size, _children(folder)))
    shutil.rmtree(folder, ignore_errors=True)
    return before - sum(map(_size, _children(folder)))


def _write(part: Path, model: Any) -> None:
    openvino().save_model(model, part / _FILES[0], compress_to_fp16=False)
    hashes = {name: _hash((part / name).read_bytes()) for name in _FILES}
    (part / _ENTRY).write_text(json.dumps(hashes))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _prune(folder: Path, keep: str) -> None:
    """Remove what killed processes left, and the entries used least recently until the rest is within the limit."""
    entries = []
    for child in _children(folder):
        with suppress(OSError):
            if child.name.startswith(_PART):
                if time.time() - child.stat().st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(child, ignore_errors=True)
            else:
                entries.append(((child / _ENTRY).stat().st_mtime if child.name != keep else time.time(), child))
    total = 0
    for _, child in sorted(entries, reverse=True):
        total += _size(child)
        if total > LIMIT_BYTES and child.name != keep:
            shutil.rmtree(child, ignore_errors=True)


def _children(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from [child for child in folder.iterdir() if child.is_dir()]


def _size(folder: Path) -> int:
    total = 0
    for file in folder.glob("*"):
        with suppress(OSError):
            total += file.stat().st_size
    return total
