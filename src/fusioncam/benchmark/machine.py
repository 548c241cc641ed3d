"""The facts about this machine that affect the speed of a model."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from fusioncam.inference.allocator import keep_freed
from fusioncam.inference.settings import computes_bfloat16
from fusioncam.model.explained_model import ExplainedModel


def machine_facts(model: ExplainedModel) -> dict[str, Any]:
    """Return the hardware and software available to the model, ready for JSON."""
    packages = ("fusioncam", "torch", "torchvision", "timm")
    return {
        "model": model.name,
        "device": str(model.device),
        "gpu": _gpu(model.device),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "computes_bfloat16": computes_bfloat16(model.device),
        "keeps_freed_memory": keep_freed(),
        "compiler": _compiler(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpu(device: torch.device) -> dict[str, Any] | None:
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    return {"name": properties.name, "memory_gib": round(properties.total_memory / 2**30, 1)}


def _compiler() -> str | None:
    """Return the path of the C++ compiler that torch.compile would use."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX", usual))
