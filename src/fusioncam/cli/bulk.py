"""Run `fusioncam explain --bulk` and print its result."""

from __future__ import annotations

from dataclasses import asdict

from fusioncam.bulk.plan import BulkPlan
from fusioncam.bulk.runner import BulkResult, explain_in_bulk
from fusioncam.bulk.storage import is_local
from fusioncam.cli.explain_inputs import require
from fusioncam.cli.interruption import keep_results
from fusioncam.cli.output import failure_message, print_failures, print_json, print_line, print_note, print_report
from fusioncam.cli.progress import BulkProgressBar
from fusioncam.cli.ray_options import RayOptions


def require_bulk_options(
    target: str | None, *, check: bool, drawn: bool, frame: int | None, clips: tuple[float | None, ...]
) -> None:
    """Raise :class:`SettingError` for options that bulk runs do not have.

    ``drawn`` means that there are options of overlays, and ``clips`` are the options of clips.
    """
    require(not check, "--check does not apply to bulk runs: check some images without --bulk and --ray")
    require(not drawn, "overlays have no options in bulk runs: leave out --bulk and --ray")
    require(frame is None, "--frame does not apply to bulk runs: leave out --bulk and --ray")
    require(
        target != "label" and ".csv" not in (target or ""),
        f"--target {target} does not apply to bulk runs: name a class, or leave out --bulk and --ray",
    )
    require(
        all(option is None for option in clips),
        "--every, --fps, --smooth and --gif apply to clips, and bulk runs explain images: leave out --bulk and --ray",
    )


def run_in_bulk(
    plan: BulkPlan, out: str, device: str | None, ray: RayOptions, batch_size: int, *, quiet: bool, json: bool
) -> int:
    """Explain the images of a plan into shards, print the result and return the exit code."""
    bar = BulkProgressBar(quiet=quiet)
    keep_results()
    with bar.displayed(), ray.start_workers(batch_size, bar) as workers:
        result = explain_in_bulk(plan, out, device=device, workers=workers, listener=bar)
    return _print_result(result, quiet=quiet, json=json)


def _print_result(result: BulkResult, *, quiet: bool, json: bool) -> int:
    if json:
        print_json(asdict(result))
    elif not quiet:
        print_line(f"{result.heatmaps:,} heatmaps of {result.images:,} images: {result.folder}")
        if result.heatmaps and is_local(result.folder) and not result.interrupted:
            print_report((), ("report", result.folder))
    messages = [failure_message(row["image"], row["error"]) for row in result.listed_failures]
    print_failures(messages, result.failures)
    if result.interrupted:
        print_note(f"stopped: {result.images:,} images are in shards; run the same command again to continue")
        return 130
    return 1 if result.failures else 0
