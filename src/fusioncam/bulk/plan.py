"""What a bulk run is to do, and whether a folder is of the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from fusioncam.bulk.storage import Folder
from fusioncam.errors import ResultsError, UnknownNameError, require_count
from fusioncam.inference.settings import Speed
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.zoo.loading import DEFAULT_MODEL, load_model

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class BulkPlan:
    """Which images are explained, how, and how heatmaps are stored: all that the rows depend on.

    ``shard`` is how many images a Parquet file holds; ``tolerance`` how far a stored heatmap may be off the one
    that was made, as root mean square of 1, before a finer grid is taken; ``overlays`` asks for a JPEG of each, too.
    """

    images: tuple[str, ...]
    model: str = DEFAULT_MODEL
    layer: str | None = None
    methods: tuple[str, ...] = ("fusion-cam",)
    target: str | None = None
    checkpoint: str | None = None
    num_classes: int | None = None
    labels: str | None = None
    precision: str | None = None
    shard: int = 512
    tolerance: float = 0.005
    overlays: bool = False

    def __post_init__(self) -> None:
        require_count("shard", self.shard)
        if not 0 <= self.tolerance <= 1:
            raise UnknownNameError(f"tolerance is a share of 1, got {self.tolerance!r}")

    @property
    def digest(self) -> str:
        """Tell plans apart."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def load(self, device: str | None) -> ExplainedModel:
        """Load the network."""
        return load_model(
            self.model,
            self.layer,
            checkpoint=self.checkpoint,
            num_classes=self.num_classes,
            labels=self.labels,
            device=device,
            speed=None if self.precision is None else Speed(precision=self.precision),
        )


def require_same(folder: Folder, plan: BulkPlan) -> None:
    """Raise :class:`ResultsError` for a folder of another plan; one without a manifest is nobody's."""
    stored = folder.read(MANIFEST)
    if stored is None:
        return
    try:
        was: dict[str, Any] = json.loads(stored)["plan"]
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"{MANIFEST} in {folder.url} cannot be read: {error}: choose another folder") from None
    now = json.loads(json.dumps(asdict(plan)))
    changes = [f"  {name}: {was.get(name)} -> {now.get(name)}" for name in now if was.get(name) != now[name]]
    if changes:
        raise ResultsError("\n".join([f"{folder.url} has heatmaps of another plan: choose another folder", *changes]))
