"""Write the measured tables of the README from `benchmarks/results`, or check that they are up to date.

python benchmarks/tables.py [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- speed: begin, written by benchmarks/tables.py -->", "<!-- speed: end -->"


def speed_table():
    stored = json.loads((ROOT / "benchmarks/results/speed.json").read_text())
    facts, results = stored["metadata"], stored["results"]
    lines = ["| what | seconds, median (lowest to highest) | ours is |", "| --- | --: | --: |"]
    for name, seconds in results["seconds"].items():
        ratio = results["times_as_fast_as"].get(name)
        told = f"{ratio:.1f} times as fast" if ratio else ""
        lines.append(f"| {name} | {seconds['median']:.1f} ({seconds['min']:.1f} to {seconds['max']:.1f}) | {told} |")
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    lines += [
        "",
        f"{facts['what']}, {facts['model']} at `{facts['layer']}` ({results['channels']:,} channels, of which "
        f"{results['passes_of_first_picture'] - 5:,} are not constant), {results['pictures']} picture, "
        f"{facts['repeats']} runs in turn, {facts['processor']}, {facts['threads']} threads; {versions}; "
        f"commit {facts['commit']}.",
    ]
    return "\n".join(lines)


def main():
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    written = f"{before}{BEGIN}\n{speed_table()}\n{END}{after}"
    if "--check" in sys.argv:
        sys.exit("README.md: run python benchmarks/tables.py" if written != text else 0)
    readme.write_text(written)


if __name__ == "__main__":
    main()
