"""The plan of an audit, and the check that a folder belongs to the same networks."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from fusioncam.bulk.plan import BulkPlan
from fusioncam.errors import ResultsError, SettingError, require_count
from fusioncam.utils.files import to_json, write_file
from fusioncam.utils.stored_files import JSON_OBJECT, read_stored
from fusioncam.zoo.loading import DEFAULT_MODEL

METHOD = "fusion-cam(budget=32)"
HEATMAPS, OTHER_HEATMAPS = "heatmaps", "heatmaps-against"
_WEIGHTS = "checkpoints.json"
_SHARD = 64  # images whose work is lost at most when a run is killed


@dataclass(frozen=True)
class AuditPlan:
    """What to audit: a data set, a network and a method.

    Args:
        data: the data set, as for :func:`fusioncam.benchmark.benchmark`.
        model: a name or a ``module:factory``, as for :func:`fusioncam.load_model`.
        method: a SPEC.
        layer: the target layer.
        masks: a folder with a mask of the object for each image.
        class_map: a file that says which classes of the network each category of the data set stands for.
        limit: draws so many images by their names.
        against: a checkpoint of the same network, or the name of another one of the same classes.
        checkpoint: a file of weights for the network.
        num_classes: of the checkpoint.
        labels: a file of class names.
        precision: of masked passes, as for :class:`fusioncam.Speed`.
        engine: of masked passes, as for :class:`fusioncam.Speed`.

    Raises:
        SettingError: for a limit out of range.

    Examples:
        ```python
        from fusioncam.audit import AuditPlan, audit

        plan = AuditPlan("photos/", method="grad-cam", limit=1)
        audit(plan, "audit/").images
        ```
    """

    data: str
    model: str = DEFAULT_MODEL
    method: str = METHOD
    layer: str | None = None
    masks: str | None = None
    class_map: str | None = None
    limit: int | None = None
    against: str | None = None
    checkpoint: str | None = None
    num_classes: int | None = None
    labels: str | None = None
    precision: str | None = None
    engine: str | None = None

    def __post_init__(self) -> None:
        if self.limit is not None:
            require_count("limit", self.limit)

    @property
    def bulk(self) -> BulkPlan:
        """The plan of the heatmaps, of the class that the network predicts for each image."""
        network = (self.model, self.layer, (self.method,), None, self.checkpoint, self.num_classes, self.labels)
        return BulkPlan((self.data,), *network, precision=self.precision, shard=_SHARD, engine=self.engine)

    @property
    def bulk_against(self) -> BulkPlan:
        """The plan of the heatmaps of the other network; raise :class:`SettingError` if there is none."""
        if self.against is None:
            raise SettingError("the audit has no other network: set against")
        if Path(self.against).is_file():
            return replace(self.bulk, checkpoint=self.against)
        return replace(self.bulk, model=self.against, layer=None, checkpoint=None, num_classes=None)


def require_same_weights(out: Path, folder: str, plan: BulkPlan) -> None:
    """Raise :class:`ResultsError` if the checkpoint has changed since the folder's heatmaps were computed.

    A bulk run compares the paths of checkpoints only.
    """
    stored = read_stored(out / _WEIGHTS, JSON_OBJECT) or {}
    now = None if plan.checkpoint is None else _hash_of(Path(plan.checkpoint))
    if stored.get(folder, now) != now:
        raise ResultsError(
            f"{out / folder} has heatmaps of other weights, because {plan.checkpoint} has changed: choose another "
            "folder"
        )
    write_file(out / _WEIGHTS, to_json({**stored, folder: now}))


def _hash_of(path: Path) -> str | None:
    """Return a hash of a file; None if it cannot be read, which loading the network reports."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(2**20):
                found.update(part)
    except OSError:
        return None
    return found.hexdigest()[:16]


def digest_of(*values: object) -> str:
    """Return a hash of values that JSON can hold."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:20]
