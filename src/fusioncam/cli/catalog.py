"""Names, costs and settings of all methods, metrics and models, readable without importing torch.

Listing commands, `--help` and shell completion read them from `catalog.json`. That file is generated from the
registries: run ``python -m fusioncam.cli.catalog`` after a change of METHODS, METRICS or MODELS.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("catalog.json")
COMMAND = "python -m fusioncam.cli.catalog"
# channels and locations of the default layer of the default model
CHANNELS, LOCATIONS = 1280, 49


@cache
def catalog() -> dict[str, Any]:
    """Return the stored catalog: ``default_model``, ``models``, ``methods`` and ``metrics``."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def build() -> dict[str, Any]:
    """Return the catalog of the current registries."""
    from fusioncam.methods.registry import METHODS
    from fusioncam.metrics.registry import METRICS
    from fusioncam.zoo.loading import DEFAULT_MODEL, MODELS

    return {
        "default_model": DEFAULT_MODEL,
        "models": list(MODELS),
        "methods": {name: _method(name, method) for name, method in METHODS.items()},
        "metrics": {name: _metric(name, metric) for name, metric in METRICS.items()},
    }


def _method(name: str, method: Any) -> dict[str, Any]:
    from fusioncam.methods.costs import cost_of
    from fusioncam.methods.registry import described, settings_of

    cost = cost_of(method)
    passes = cost.at(CHANNELS, LOCATIONS)
    return {
        "family": method.family,
        "cost": str(cost),
        "passes": None if passes is None else list(passes),
        "paper": method.paper,
        "summary": described(name),
        "settings": settings_of(method),
    }


def _metric(name: str, metric: Any) -> dict[str, Any]:
    from fusioncam.metrics.registry import described, settings_of

    return {
        "family": metric.family,
        "better": "higher" if metric.higher_is_better else "lower",
        "needs": [need for need in ("truth", "method") if getattr(metric, f"needs_{need}")],
        "cost": str(metric.cost),
        "paper": metric.paper,
        "summary": described(name),
        "settings": settings_of(metric),
    }


def as_text(contents: dict[str, Any]) -> str:
    """Return the catalog as the text of its file."""
    return json.dumps(contents, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text(build()), encoding="utf-8")
