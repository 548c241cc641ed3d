"""Write the measured tables of the READMEs and of docs/scaling-results.md, or check that they are up to date.

python benchmarks/tables.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import NamedTuple

import figures
import meta
import scaling

ROOT = Path(__file__).parents[1]
# in the order of the page
SUBJECTS = (
    "exact",
    "share",
    "budget",
    "ablation",
    "curves",
    "gradient",
    "memory",
    "networks",
    "network-curves",
    "precision",
    "scaling",
    "calls",
    "arithmetic",
    "start",
    "conversion",
    "report",
)
BY_NETWORK = (
    "networks",
    "network-curves",
    "gradient",
    "arithmetic",
)  # subjects whose figures begin with the name of a network
HEADS = ("| what | measured: median (lowest to highest) | images | aim | |", "| --- | --- | --: | --- | --- |")
MARKS = {True: "met", False: "**missed**", None: ""}
CUDA = meta.RESULTS / "cuda"
OPENVINO = meta.RESULTS / "openvino"
ONE_PROCESS = OPENVINO / "one-process"


class Pair(NamedTuple):
    """A row of the comparison with other libraries: labels, and the names of the figures in a stored result."""

    ours: str
    theirs: str
    subject: str
    seconds: tuple[str, str]
    ratio: str
    folder: Path = meta.RESULTS


FUSION_CAM = "fusioncam fusion-cam"
PAIRS = (
    *(
        Pair(
            f"Fusion-CAM{engine}",
            f"Score-CAM alone of {peer}",
            "exact",
            (f"{FUSION_CAM}{engine}, an image", f"{peer} score-cam, an image"),
            f"{FUSION_CAM}{engine}: times as fast as {peer} score-cam",
            OPENVINO,
        )
        for peer, engine in (
            ("pytorch-grad-cam", ""),
            ("pytorch-grad-cam", ", OpenVINO"),
            ("torch-cam", ", OpenVINO"),
        )
    ),
    Pair(
        "Ablation-CAM",
        "Ablation-CAM of pytorch-grad-cam",
        "ablation",
        ("fusioncam ablation-cam", "pytorch-grad-cam ablation-cam"),
        "fusioncam ablation-cam: times as fast as pytorch-grad-cam ablation-cam",
    ),
    Pair(
        "insertion and deletion, 113 steps, OpenVINO",
        "plain loop, faster than torch-cam",
        "curves",
        ("fusioncam insertion and deletion", "plain loop, 1 at a time"),
        "times as fast as plain loop, 1 at a time",
        OPENVINO,
    ),
)


# -- README.md ----------------------------------------------------------------------------------------------------


def speed_table():
    """Return the comparison with other libraries, a row per pair, and the machines."""
    lines = [
        "| this library | compared with | seconds per image | times as fast: median (lowest to highest) | images |",
        "| --- | --- | --- | --- | --: |",
    ]
    results = {}
    for pair in PAIRS:
        result = results.setdefault((pair.folder, pair.subject), meta.read(pair.subject, pair.folder))
        by_name = {figure["what"]: figure for figure in result["figures"]}
        seconds = " against ".join(figures.number(by_name[name]["median"]) for name in pair.seconds)
        ratio = by_name[pair.ratio]
        lines.append(f"| {pair.ours} | {pair.theirs} | {seconds} | {figures.shown(ratio)} | {ratio['count']} |")
    return "\n".join([*lines, "", *machines(results.values())])


def line(figure):
    cells = (figure["what"], figures.shown(figure), figure["count"], aim(figure), MARKS[figure["met"]])
    return f"| {' | '.join(map(str, cells))} |"


def aim(figure):
    """Return the aim of a figure in words.

    >>> aim({"aims": {"median": ">= 0.995", "lowest": ">= 0.97"}, "unit": ""})
    '0.995 or more, lowest 0.97 or more'
    """
    words = {">=": "{} or more", "<=": "{} or less", "in": "{} in the interval"}
    unit = figure["unit"] and f" {figure['unit']}"
    parts = []
    for field, text in figure["aims"].items():
        sign, number = text.split()
        before = "" if field in ("median", "interval") else f"{field} "
        parts.append(before + words[sign].format(number + ("" if sign == "in" else unit)))
    return ", ".join(parts)


def machines(results):
    """Return a line for each machine and set of versions, with the subjects that were measured there."""
    by_machine = {}
    for result in results:
        by_machine.setdefault(machine(result["metadata"]), []).append(f"`{result['subject']}`{unfinished(result)}")
    return [f"{', '.join(dict.fromkeys(subjects))}: {where}." for where, subjects in by_machine.items()]


def machine(facts):
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    changed = " with changes" if facts["changed"] else ""
    gpu = f", {facts['gpu']['name']}" if facts.get("gpu") else ""
    return (
        f"{facts['processor']}{gpu}, {facts['cores']} cores, {facts['threads']} threads; {versions}; "
        f"commit {facts['commit']}{changed}"
    )


def unfinished(result):
    return "" if result["complete"] else f" ({result['images']} of {result['planned']} images)"


# -- benchmarks/README.md -------------------------------------------------------------------------------------------


def findings():
    """Return all figures of all subjects."""
    return stored_in(meta.RESULTS)


def findings_on_a_gpu():
    """Return the figures that were measured on a GPU."""
    return stored_in(CUDA)


def findings_with_openvino():
    """Return the figures that were measured with the passes in OpenVINO."""
    return stored_in(OPENVINO)


def findings_in_one_process():
    """Return the figures that were measured with the other libraries in the process of this one."""
    return stored_in(ONE_PROCESS)


def stored_in(folder):
    """Return a section for each subject that a folder holds."""
    sections = []
    for result in filter(None, (meta.read(subject, folder) for subject in SUBJECTS)):
        sections += [f"### `{result['subject']}`", "", f"{sentence(result)}", ""]
        sections += [*(networks(result) if result["subject"] in BY_NETWORK else listed(result)), ""]
    return "\n".join(sections).rstrip("\n") or "Nothing is stored yet."


def listed(result):
    """Return a line for each figure."""
    return [*HEADS, *map(line, result["figures"])]


def networks(result):
    """Return a column for each network: "resnet50: a masked pass" is a cell of the line "a masked pass"."""
    rows = {}
    for figure in result["figures"]:
        network, _, what = figure["what"].partition(": ")
        rows.setdefault(what, {})[network] = figure
    names = list(dict.fromkeys(network for row in rows.values() for network in row))
    lines = [f"| what | {' | '.join(names)} | aim |", f"| --- |{' --- |' * len(names)} --- |"]
    for what, row in rows.items():
        cells = [cell(row.get(name)) for name in names]
        lines.append(f"| {what} | {' | '.join(cells)} | {aim(next(iter(row.values())))} |")
    return lines


def cell(figure):
    """Return a figure, marked where it misses its aim."""
    if figure is None:
        return ""
    return figures.shown(figure) + (", **missed**" if figure["met"] is False else "")


def sentence(result):
    """Return what was measured, with which settings, and how busy the machine was."""
    facts = result["metadata"]
    settings = ", ".join(
        f"{name} {setting(value)}" for name, value in result["settings"].items() if value is not None
    )
    load = f"load {facts['load_before']} before and {facts['load_after']:.2f} after" if facts["load_before"] else ""
    what = result["what"][0].upper() + result["what"][1:]
    return f"{what}. {settings}. {machine(facts)}; {load}{unfinished(result)}."


def setting(value):
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def chunks_table():
    """Return the milliseconds per image of plain passes by batch size and workers, medians of the repeats."""
    result = meta.read("share")
    if not result:
        return "Not measured yet: `python benchmarks/speed.py --what share`."
    rates = {}
    for row in result["rows"]:
        for one in row["plain"]:
            rates.setdefault((one["workers"], one["chunk"]), []).append(one["rate"])
    many = sorted({workers for workers, _ in rates})
    threads = result["metadata"]["threads"]
    heads = [f"{workers} x {max(1, threads // workers)} threads" for workers in many]
    lines = [f"| images a pass | {' | '.join(heads)} |", "| --: |" + " --: |" * len(many)]
    for chunk in sorted({chunk for _, chunk in rates}):
        cells = [milliseconds(rates.get((workers, chunk), [])) for workers in many]
        lines.append(f"| {chunk} | {' | '.join(cells)} |")
    return "\n".join(lines)


def milliseconds(rates):
    return f"{1000 / median(rates):.1f}" if rates and median(rates) else ""


# -- docs/scaling-results.md --------------------------------------------------------------------------------------


def curve():
    """Return the cost of Ray and the gain of a second worker."""
    found = [result for result in map(meta.read, ("scaling", "calls")) if result]
    if not found:
        return "Not measured yet: `python benchmarks/speed.py --what scaling calls`."
    lines = ["| what | measured: median (lowest to highest) | aim | |", "| --- | --- | --- | --- |"]
    for figure in (one for result in found for one in result["figures"]):
        lines.append(f"| {figure['what']} | {figures.shown(figure)} | {aim(figure)} | {MARKS[figure['met']]} |")
    return "\n\n".join(["\n".join(lines), *map(sentence, found)])


def on_paper():
    """Return what ten million images need."""
    return scaling.paper_table(scaling.measured(scaling.Assumed()))


def simulation():
    """Return how many workers one driver can keep busy."""
    return scaling.simulation_table(scaling.measured(scaling.Assumed()), scaling.WORKERS)


PAGES = {
    "README.md": {"speed": speed_table},
    "benchmarks/README.md": {
        "chunks": chunks_table,
        "findings": findings,
        "openvino": findings_with_openvino,
        "one-process": findings_in_one_process,
        "gpu": findings_on_a_gpu,
    },
    "docs/scaling-results.md": {"curve": curve, "paper": on_paper, "simulation": simulation},
}


def update(text, sections):
    """Return the text with the part between the marks of each section written again."""
    for name, table in sections.items():
        begin, end = f"<!-- {name}: begin, written by benchmarks/tables.py -->", f"<!-- {name}: end -->"
        if not (begin in text and end in text):
            raise SystemExit(f"the page has no section {name}: add the line {begin}")
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{table()}\n{end}{after}"
    return text


def main():
    stale = []
    for page, sections in PAGES.items():
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        new = update(text, sections)
        if new != text and "--check" not in sys.argv:
            path.write_text(new, encoding="utf-8")
        elif new != text:
            stale.append(page)
    sys.exit(f"{', '.join(stale)} out of date: run python benchmarks/tables.py" if stale else 0)


if __name__ == "__main__":
    main()
