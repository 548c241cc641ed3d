"""Write the tables of the READMEs, or check that they are up to date: the measured ones, and that of the methods.

python benchmarks/tables.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

import figures
import meta
import scaling
from fusioncam import METHODS
from fusioncam.methods.registry import described

ROOT = Path(__file__).parents[1]
# in the order in which they are told
SUBJECTS = ("exact", "share", "budget", "ablation", "curves", "memory", "networks", "precision", "scaling", "calls")
HEADS = ("| what | measured: median (lowest to highest) | images | aim | |", "| --- | --- | --: | --- | --- |")
MARKS = {True: "met", False: "**missed**", None: ""}


# -- README.md ----------------------------------------------------------------------------------------------------


def speed_table():
    """Tell the figures that something was aimed at, behind the seconds of the race. Other networks have a page."""
    found = [result for result in map(meta.read, SUBJECTS) if result and result["subject"] != "networks"]
    if not found:
        return "Not measured yet: `python benchmarks/speed.py`."
    lines = [*HEADS]
    lines += [line(told) for result in found for told in result["figures"] if told["aims"] or raced(result, told)]
    return "\n".join([*lines, "", *machines(found)])


def raced(result, told):
    return result["subject"] == "exact" and told["unit"] == "s" and told["what"].endswith("an image")


def line(told):
    return f"| {told['what']} | {figures.shown(told)} | {told['count']} | {aim(told)} | {MARKS[told['met']]} |"


def aim(told):
    """Write what was aimed at.

    >>> aim({"aims": {"median": ">= 0.995", "lowest": ">= 0.97"}, "unit": ""})
    '0.995 or more, lowest 0.97 or more'
    """
    words = {">=": "{} or more", "<=": "{} or less", "in": "{} in the interval"}
    unit = told["unit"] and f" {told['unit']}"
    parts = []
    for field, text in told["aims"].items():
        sign, number = text.split()
        before = "" if field in ("median", "interval") else f"{field} "
        parts.append(before + words[sign].format(number + ("" if sign == "in" else unit)))
    return ", ".join(parts)


def machines(results):
    """Say where and with what the results were measured, once for those that agree."""
    said = {}
    for result in results:
        said.setdefault(machine(result["metadata"]), []).append(f"`{result['subject']}`{unfinished(result)}")
    return [f"{', '.join(subjects)}: {place}." for place, subjects in said.items()]


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


def methods_table():
    lines = ["| name | family | what it is | passes an image | paper |", "| --- | --- | --- | --- | --- |"]
    for name, method in METHODS.items():
        cells = (f"`{name}`", method.family, described(name), str(method.cost), link(method.paper))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def link(paper):
    if paper.startswith("arXiv "):
        number = paper.removeprefix("arXiv ")
        return f"[{number}](https://arxiv.org/abs/{number})"
    return f"[{paper}](https://doi.org/{paper})" if paper.startswith("10.") else paper


# -- benchmarks/README.md -------------------------------------------------------------------------------------------


def findings():
    """Tell all figures of all subjects."""
    return stored_in(meta.RESULTS)


def findings_on_a_gpu():
    """Tell those that were measured on a GPU."""
    return stored_in(meta.RESULTS / "cuda")


def stored_in(folder):
    """Tell the figures of all subjects that a folder holds."""
    sections = []
    for result in filter(None, (meta.read(subject, folder) for subject in SUBJECTS)):
        sections += [f"### `{result['subject']}`", "", f"{sentence(result)}", ""]
        sections += [*(networks(result) if result["subject"] == "networks" else listed(result)), ""]
    return "\n".join(sections).rstrip("\n") or "Nothing is stored yet."


def listed(result):
    """Give a line a figure."""
    return [*HEADS, *map(line, result["figures"])]


def networks(result):
    """Give a column a network: "resnet50: a masked pass" is told in the line "a masked pass"."""
    told = {}
    for one in result["figures"]:
        network, _, what = one["what"].partition(": ")
        told.setdefault(what, {})[network] = one
    names = list(dict.fromkeys(network for row in told.values() for network in row))
    lines = [f"| what | {' | '.join(names)} | aim |", f"| --- |{' --- |' * len(names)} --- |"]
    for what, row in told.items():
        cells = [cell(row.get(name)) for name in names]
        lines.append(f"| {what} | {' | '.join(cells)} | {aim(next(iter(row.values())))} |")
    return lines


def cell(told):
    """Show a figure, and that it missed what was aimed at."""
    if told is None:
        return ""
    return figures.shown(told) + (", **missed**" if told["met"] is False else "")


def sentence(result):
    """Say what was measured, with which settings, and how busy the machine was."""
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
    """Tell the milliseconds an image of plain passes by chunk and workers, medians of the repeats."""
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


# -- docs/scaling.md ----------------------------------------------------------------------------------------------


def curve():
    """Tell what Ray costs and what a second worker gives."""
    found = [result for result in map(meta.read, ("scaling", "calls")) if result]
    if not found:
        return "Not measured yet: `python benchmarks/speed.py --what scaling calls`."
    lines = ["| what | measured: median (lowest to highest) | aim | |", "| --- | --- | --- | --- |"]
    for told in (one for result in found for one in result["figures"]):
        lines.append(f"| {told['what']} | {figures.shown(told)} | {aim(told)} | {MARKS[told['met']]} |")
    return "\n\n".join(["\n".join(lines), *map(sentence, found)])


def on_paper():
    """Tell what ten million images need."""
    return scaling.paper_table(scaling.measured(scaling.Assumed()))


def simulation():
    """Tell how far workers go with one driver."""
    return scaling.simulation_table(scaling.measured(scaling.Assumed()), scaling.WORKERS)


PAGES = {
    "README.md": {"methods": methods_table, "speed": speed_table},
    "benchmarks/README.md": {"chunks": chunks_table, "findings": findings, "gpu": findings_on_a_gpu},
    "docs/scaling.md": {"curve": curve, "paper": on_paper, "simulation": simulation},
}


def written(text, sections):
    """Give the text with what stands between the marks of each section made anew."""
    for name, table in sections.items():
        begin, end = f"<!-- {name}: begin, written by benchmarks/tables.py -->", f"<!-- {name}: end -->"
        if not (begin in text and end in text):
            raise SystemExit(f"the page has no section {name}: {begin}")
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{table()}\n{end}{after}"
    return text


def main():
    stale = []
    for page, sections in PAGES.items():
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        new = written(text, sections)
        if new != text and "--check" not in sys.argv:
            path.write_text(new, encoding="utf-8")
        elif new != text:
            stale.append(page)
    sys.exit(f"{', '.join(stale)}: run python benchmarks/tables.py" if stale else 0)


if __name__ == "__main__":
    main()
