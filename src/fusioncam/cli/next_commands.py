"""The next useful command after a run, as words; the last line of a run prints it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusioncam.cli.options import DEFAULT_MODEL, options_of

if TYPE_CHECKING:
    from fusioncam.audit.plan import AuditPlan
    from fusioncam.benchmark.plan import Plan


def after_benchmark(plan: Plan) -> Sequence[object]:
    """Return the words of the next useful command: audit the same data."""
    return ("audit", plan.data, "--model", plan.models[0])


def after_audit(plan: AuditPlan, suspects: Sequence[Mapping[str, Any]]) -> Sequence[object]:
    """Return the words of the next useful command: check an image of a suspect; without one, compare methods."""
    chosen = ("model", "layer", "checkpoint", "num_classes", "labels")
    options = {name.replace("_", "-"): getattr(plan, name) for name in chosen}
    network = options_of(options, {"model": DEFAULT_MODEL})
    for image in (Path(plan.data, suspect["images"][0]) for suspect in suspects):
        if image.is_file():
            return ("explain", image, *network, "-m", plan.method, "--check")
    if plan.checkpoint or plan.labels:
        return ()  # a benchmark does not take these
    return ("benchmark", plan.data, *network, "-m", plan.method, "-m", "grad-cam")


def after_report(folder: Path) -> Sequence[object]:
    """Return the words of the command that is useful after the report of an audit or of explained images."""
    from fusioncam.audit.files import FILE as AUDIT
    from fusioncam.explanations.result_files import RUN_FACTS

    if (folder / AUDIT).is_file():
        from fusioncam.audit.files import read_audit
        from fusioncam.audit.plan import AuditPlan

        stored = read_audit(folder)
        plan: dict[str, Any] = dict(stored["plan"])
        return after_audit(AuditPlan(**plan), stored["suspects"])
    return ("export", folder, "--format", "coco") if (folder / RUN_FACTS).is_file() else ()
