"""The plan of a bulk run, and the check that a folder belongs to the same plan."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from fusioncam.bulk.storage import Folder
from fusioncam.errors import ResultsError, SettingError, cut, require_count
from fusioncam.inference.requested_speed import requested_speed
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.stored_files import MANIFEST as MANIFEST_SCHEMA
from fusioncam.utils.stored_files import parse
from fusioncam.zoo.loading import DEFAULT_MODEL, load_model

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class BulkPlan:
    """Which images to explain, how, and how to store the heatmaps: everything that the rows depend on.

    ``shard`` is the number of images per Parquet file. ``tolerance`` is the root mean square error, between 0 and 1,
    up to which a coarse grid may replace a heatmap. ``overlays`` writes a JPEG of each heatmap as well. The other
    fields are those of :func:`fusioncam.load_model` and :func:`fusioncam.explain`.

    Raises :class:`SettingError` for values out of range.
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
    engine: str | None = None

    def __post_init__(self) -> None:
        require_count("shard", self.shard)
        if not 0 <= self.tolerance <= 1:
            raise SettingError(f"tolerance must be between 0 and 1, got {self.tolerance!r}")

    @property
    def digest(self) -> str:
        """A hash that differs between plans."""
        settings = asdict(self)
        if self.engine is None:  # plans of earlier versions have no engine
            del settings["engine"]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def load(self, device: str | None) -> ExplainedModel:
        """Load the network of the plan onto a device."""
        return load_model(
            self.model,
            self.layer,
            checkpoint=self.checkpoint,
            num_classes=self.num_classes,
            labels=self.labels,
            device=device,
            speed=requested_speed(self.precision, self.engine),
        )


def require_same(folder: Folder, plan: BulkPlan) -> None:
    """Raise :class:`ResultsError` if the folder belongs to another plan; a folder without a manifest is accepted."""
    stored = folder.read(MANIFEST)
    if stored is None:
        return
    before = parse(stored, MANIFEST_SCHEMA, f"{MANIFEST} in {folder.url}")["plan"]
    now = json.loads(json.dumps(asdict(plan)))
    changes = [
        f"  {name}: {cut(before.get(name))} -> {cut(now[name])}" for name in now if before.get(name) != now[name]
    ]
    if changes:
        raise ResultsError("\n".join([f"{folder.url} has heatmaps of another plan: choose another folder", *changes]))
