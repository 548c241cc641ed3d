"""The command `fusioncam audit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fusioncam.cli.interruption import keep_results
from fusioncam.cli.next_commands import after_audit
from fusioncam.cli.options import (
    CHECKPOINT,
    CLASS_MAP,
    DEFAULT_MODEL,
    LABELS,
    LIMIT,
    METHODS,
    NUM_CLASSES,
    BatchSize,
    Device,
    Engine,
    Json,
    Layer,
    ModelName,
    Precision,
    Quiet,
    Report,
    require_methods,
)
from fusioncam.cli.output import failure_message, print_failures, print_json, print_line, print_note, print_report
from fusioncam.cli.ray_options import Cpus, Gpus, Patience, Ray, RayOptions, WorkerCount
from fusioncam.cli.report import finish_report, with_report

if TYPE_CHECKING:
    from fusioncam.audit.runner import AuditResult

_LISTED = 5  # suspects that are printed


def audit(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="a folder of images, or a data set, as for fusioncam benchmark")
    ],
    model: ModelName = DEFAULT_MODEL,
    layer: Layer = None,
    method: Annotated[
        str,
        typer.Option("--method", "-m", help="a method, optionally with settings", autocompletion=METHODS),
    ] = "fusion-cam(budget=32)",
    against: Annotated[
        str | None, typer.Option(help="compare with another checkpoint file, or another model of the same classes")
    ] = None,
    masks: Annotated[
        str | None, typer.Option(help="folder of masks named like the images; boxes are read from the data set")
    ] = None,
    class_map: Annotated[str | None, CLASS_MAP] = None,
    limit: Annotated[int | None, LIMIT] = None,
    out: Annotated[str, typer.Option("--out", "-o", help="folder of the audit")] = "fusioncam-audit",
    device: Device = None,
    precision: Precision = None,
    engine: Engine = None,
    batch_size: BatchSize = 1,
    checkpoint: Annotated[Path | None, CHECKPOINT] = None,
    num_classes: Annotated[int | None, NUM_CLASSES] = None,
    labels: Annotated[Path | None, LABELS] = None,
    ray: Ray = None,
    workers: WorkerCount = None,
    cpus: Cpus = None,
    gpus: Gpus = None,
    patience: Patience = None,
    report: Report = True,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Show where a network looks over a whole data set, and which classes may rest on a shortcut.

    Each image is explained for the class that the network predicts. Run the same command again to continue a run
    that was stopped or killed.

    \b
    fusioncam audit photos/ --model timm:resnet50 --out audit/
    fusioncam audit leaves/val --model timm:resnet50 --checkpoint mine.pt \\
        --num-classes 38 --labels names.txt
    fusioncam audit val/ --checkpoint before.pt --against after.pt \\
        --masks val-masks/
    """
    from fusioncam.audit.plan import AuditPlan
    from fusioncam.audit.runner import audit as run_audit
    from fusioncam.cli.progress import AuditProgressBar

    require_methods([method])
    files = {"checkpoint": checkpoint, "labels": labels}
    plan = AuditPlan(
        data,
        model,
        method,
        layer,
        masks,
        class_map,
        limit,
        against,
        num_classes=num_classes,
        precision=precision,
        engine=engine,
        **{name: None if path is None else str(path) for name, path in files.items()},
    )
    bar = AuditProgressBar(quiet=quiet)
    keep_results()
    with bar.displayed(), RayOptions(ray, workers, cpus, gpus, patience).start_workers(batch_size, bar) as pool:
        result = run_audit(plan, out, device=device, workers=pool, listener=bar)
    written = finish_report(Path(out), wanted=report and not result.interrupted)
    code = _print_result(result, written or [], after_audit(plan, result.suspects), quiet=quiet, json=json)
    raise typer.Exit(with_report(code, written))


def _print_result(
    result: AuditResult, written: list[Path], following: Sequence[object], *, quiet: bool, json: bool
) -> int:
    """Print what was found and return the exit code."""
    if result.interrupted:
        print_note("stopped: run the same command again to continue")
        return 130
    if json:
        print_json(asdict(result))
    elif not quiet:
        print_line(f"{result.images:,} images: {result.folder}")
        for text in _suspect_lines(result):
            print_line(text)
        print_report(written, following)
    print_failures([failure_message(row["image"], row["error"]) for row in result.failed], result.failures)
    return 1 if result.failures else 0


def _suspect_lines(result: AuditResult) -> list[str]:
    """Return a line for each of the suspects that the test confirms, at most ``_LISTED``."""
    from fusioncam.audit.wording import evidence

    confirmed = [row for row in result.suspects if row["confirmed"]]
    if not confirmed:
        tested = f"no suspected shortcut is confirmed, of {len(result.suspects)} that were tested"
        return [tested if result.suspects else "no shortcut is suspected"]
    more = [f"{len(confirmed) - _LISTED} more are in audit.json"] * (len(confirmed) > _LISTED)
    return [f"suspected shortcut: {evidence(row)}" for row in confirmed[:_LISTED]] + more
