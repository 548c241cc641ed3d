"""Run an audit: heatmaps in bulk, tests of what they highlight, and a summary of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fusioncam.audit.classes import summarise_classes
from fusioncam.audit.comparison import compare, require_same_classes
from fusioncam.audit.files import SCHEMA_VERSION, write_audit
from fusioncam.audit.images import AuditImages
from fusioncam.audit.plan import HEATMAPS, OTHER_HEATMAPS, AuditPlan, require_same_weights
from fusioncam.audit.records import Record, by_class, measure_text, read_records, removal_jobs
from fusioncam.audit.removal import FOLDER, RemovalTests
from fusioncam.audit.suspects import SMALLEST, find_suspects, ranked, suspect_jobs, suspect_row
from fusioncam.benchmark.evaluator import count_classes
from fusioncam.bulk.plan import BulkPlan
from fusioncam.bulk.runner import BulkResult, explain_in_bulk
from fusioncam.bulk.storage import is_local
from fusioncam.distributed.progress import ProgressListener
from fusioncam.distributed.workers import LocalWorkers, Workers
from fusioncam.errors import ResultsError, SettingError
from fusioncam.explanations.explanation import run_facts
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.tasks import Detector, is_detector
from fusioncam.utils.files import folder_lock
from fusioncam.utils.optional import extra

Suspects = list[dict[str, Any]]


@dataclass(frozen=True)
class AuditResult:
    """The result of an audit.

    Attributes:
        folder: where its files are.
        images: the number of images that were explained.
        failures: the number of images that could not be explained.
        suspects: the suspected shortcuts with their evidence, the strongest first.
        files: the names of its files.
        failed: images that could not be explained, with their errors, at most 20 of ``failures``.
        interrupted: whether Ctrl-C stopped it before its end.

    Examples:
        ```python
        from fusioncam.audit import AuditPlan, audit

        result = audit(AuditPlan("photos/", method="grad-cam"), "audit/")
        [(suspect["label"], suspect["place"]) for suspect in result.suspects if suspect["confirmed"]]
        ```
    """

    folder: str
    images: int
    failures: int
    suspects: tuple[dict[str, Any], ...] = ()
    files: tuple[str, ...] = ()
    failed: tuple[dict[str, Any], ...] = ()
    interrupted: bool = False


def audit(
    plan: AuditPlan,
    out: str | Path,
    *,
    device: str | None = None,
    workers: Workers | None = None,
    listener: ProgressListener | None = None,
) -> AuditResult:
    """Explain the images of a data set, and write what their heatmaps have in common.

    The class that the network predicts is explained. A call with the same plan continues a run that was stopped or
    killed. The page of the audit is written by :func:`fusioncam.report.html.write_html_report`.

    Args:
        plan: the data, the network and the method.
        out: a local folder for the files of the audit.
        device: of the network.
        workers: do the work, by default this process.
        listener: receives the progress.

    Returns:
        The number of images, the suspected shortcuts, and the files; ``interrupted`` is set after Ctrl-C.

    Raises:
        DatasetError: for data that are no data set.
        MissingTruthError: for a folder that has no mask of these images.
        ResultsError: for a folder of another audit.
        SettingError: for networks of different classes and for detectors.

    Examples:
        ```python
        from fusioncam.audit import AuditPlan, audit

        result = audit(AuditPlan("photos/", method="grad-cam"), "audit/")
        result.images, [suspect["place"] for suspect in result.suspects]
        ```
    """
    extra("audit", "sklearn", "audits")
    if not is_local(str(out)):
        raise SettingError(f"'{out}' is not a path on this machine: an audit is written to a local folder")
    folder, workers, listener = Path(out), workers or LocalWorkers(), listener or ProgressListener()
    with folder_lock(folder, FOLDER):
        run = _Audit(plan, folder, "cpu" if workers.is_remote else device, device, workers, listener)
        try:
            return run.finish()
        except KeyboardInterrupt:
            return AuditResult(str(folder), 0, 0, interrupted=True)


class _Audit:
    """One call of :func:`audit`."""

    def __init__(
        self,
        plan: AuditPlan,
        out: Path,
        device: str | None,
        workers_device: str | None,
        workers: Workers,
        listener: ProgressListener,
    ) -> None:
        self.plan, self.out, self.device, self.workers_device = plan, out, device, workers_device
        self.workers, self.listener = workers, listener
        self.model = self._load(plan.bulk, HEATMAPS)
        other = self._load(plan.bulk_against, OTHER_HEATMAPS) if plan.against is not None else None
        self.classes = count_classes(self.model)
        if other is not None:
            require_same_classes(self.model, other, (self.classes, count_classes(other)))
        self.images = AuditImages.of(plan, self.model)
        self.other = None if other is None else other.preprocessing
        listener.dataset_found(plan.data, self.images.kind)

    def _load(self, plan: BulkPlan, folder: str) -> ExplainedModel:
        require_same_weights(self.out, folder, plan)
        model = plan.load(self.device)
        if is_detector(model.network) or isinstance(model.network, Detector):
            raise SettingError(f"{model.name} is a detector: an audit needs a classifier, with one decision an image")
        return model

    def finish(self) -> AuditResult:
        """Compute what is missing, write the files and return the result."""
        result = self._explain(self.plan.bulk, HEATMAPS)
        records = self._records(HEATMAPS, self.images)
        self.listener.note("searching for text in each image")
        measure_text(records, self.images)
        self.listener.note("testing the highlighted part of each image")
        for one, removal in zip(records, self._tests.run(removal_jobs(records, self.images)), strict=True):
            one.removal = removal
        classes = summarise_classes(records)
        suspects = self._suspects(records)
        content = {"classes": classes, "suspects": suspects, "images": [one.row() for one in records]}
        files = write_audit(self.out, self._facts(records) | content | {"against": self._against(records)})
        return AuditResult(
            str(self.out),
            result.images,
            result.failures,
            tuple(suspects),
            tuple(map(str, files)),
            result.listed_failures,
        )

    def _explain(self, plan: BulkPlan, folder: str) -> BulkResult:
        """Compute the heatmaps that are missing; raise KeyboardInterrupt if that was interrupted."""
        result = explain_in_bulk(
            plan,
            self.out / folder,
            device=self.workers_device,
            workers=self.workers,
            listener=self.listener,
            list_images=lambda: [image.image for image in self.images.images],
        )
        if result.interrupted:
            raise KeyboardInterrupt
        return result

    def _records(self, folder: str, images: AuditImages) -> list[Record]:
        records = read_records(self.out / folder, images)
        if not records:
            raise ResultsError(
                f"no image of {self.plan.data} could be explained: see the errors in {self.out / folder}"
            )
        return records

    @property
    def _tests(self) -> RemovalTests:
        return RemovalTests(self.plan.bulk, self.out / FOLDER, self.workers, self.workers_device, self.listener)

    def _suspects(self, records: Sequence[Record]) -> Suspects:
        """Find suspects, test all of them at once, and return their rows, ranked."""
        found = find_suspects(records)
        jobs = [suspect_jobs(suspect, self.images) for suspect in found]
        shortcuts = "1 suspected shortcut" if len(found) == 1 else f"{len(found)} suspected shortcuts"
        self.listener.note(f"testing {shortcuts}" if found else "no shortcut is suspected, so none is tested")
        results = iter(self._tests.run(job for group in jobs for job in group))
        return ranked(
            [suspect_row(one, [next(results) for _ in group]) for one, group in zip(found, jobs, strict=True)]
        )

    def _against(self, records: Sequence[Record]) -> dict[str, Any] | None:
        if self.other is None:
            return None
        self.listener.note(f"explaining the images with {self.plan.against}")
        self._explain(self.plan.bulk_against, OTHER_HEATMAPS)
        seen = AuditImages(self.images.images, self.images.kind, self.other, self.images.masks)
        return {"model": self.plan.against, **compare(records, self._records(OTHER_HEATMAPS, seen))}

    def _facts(self, records: Sequence[Record]) -> dict[str, Any]:
        labels = None if self.model.labels is None else list(self.model.labels)
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": self.images.kind,
            "plan": asdict(self.plan),
            "facts": run_facts(self.model.name, self.model.preprocessing),
            "classes_of_model": self.classes,
            "labels": labels,
            "notes": notes(records, self.images),
        }


def notes(records: Sequence[Record], images: AuditImages) -> list[str]:
    """Return what the audit cannot say about these images, and why."""
    found = []
    if not images.has_labels:
        found.append("The classes of the images are unknown, so right and wrong predictions are not compared.")
    if not images.has_truth:
        found.append("No boxes or masks are known, so the heat on the object is not measured.")
    elif missing := sum(one.on_object is None for one in records):
        found.append(f"{missing:,} of {len(records):,} images have no box or mask within what the network receives.")
    largest = max(len(members) for members in by_class(records).values())
    if largest < SMALLEST:
        found.append(f"No class is predicted for {SMALLEST} images or more, so no shortcut can be found.")
    return found
