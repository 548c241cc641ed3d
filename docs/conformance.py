"""Write docs/conformance.md, the comparison of each method with its peers, or check that it is up to date.

python docs/conformance.py [--check]

The cases are those of tests/conformance. Writing measures all of them, which takes some minutes; checking compares
everything except the measured numbers and measures nothing.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from math import ceil, floor, log10
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "conformance.md"
sys.path.insert(0, str(ROOT / "tests"))

from conformance import CASES, PEERS, REFERENCES  # noqa: E402 # a package of the tests
from fusioncam import METHODS, cached_passes  # noqa: E402

COLUMNS = {"grad-cam": PEERS[:1], "torchcam": PEERS[1:2], "captum": PEERS[2:3], "reference maps": PEERS[3:]}
PACKAGES = ("grad-cam", "torchcam", "captum", "torch", "timm")
HEAD = """\
# Comparison with other libraries

This page is written by `docs/conformance.py` from the cases in `tests/conformance`, which the tests also run.

Each method is compared with the releases of [grad-cam](https://pypi.org/project/grad-cam/) (pytorch-grad-cam),
[torchcam](https://pypi.org/project/torchcam/) and [captum](https://pypi.org/project/captum/) on PyPI, on the same
network, layer, image and target. It is also compared with reference maps: heatmaps of eight images and the default
model by two public codes of Fusion-CAM's authors, `official` and `xplaincam`. The heatmaps have the size of the image
and lie in [0, 1]; those of torchcam and captum have the size of the layer and are upsampled like ours. A number is
the largest absolute difference of any pixel, rounded up.

*agrees* means equal to within rounding. *differs* is followed by a number in brackets, which links to a paragraph
below with the reason and the source that shows which result is right. For every difference, a test replaces our rule
by the peer's and reproduces the peer's heatmap; the paragraph states the remaining difference.
"""
BEYOND: list[str] = []
WHERE = {
    "toys": "toys",
    "default": "default model",
    "reference": "eight images",
    "one": "one image",
}
LIMITS = """\
The toys are networks with few channels and images of 8 to 16 pixels per side, in float64 if the peer supports it
(grad-cam returns float32). They include maps with constant channels, with negative values, of signals and of volumes.
The default model is efficientnet_lite0 at `blocks.6`, in float32, with scikit-image's cat and the predicted class.
Score-, SS- and IS-CAM are compared with the peers only on toys, because each needs a pass per channel. Score-, Union-
and Fusion-CAM are compared here with the reference maps of one image; `tests/methods/test_oracles.py` compares all.
Remaining differences above 1e-5 are rounding errors of float32: of scores (Score- and Ablation-CAM), of divisions by
nearly 0 (xplaincam's XGrad-CAM and Grad-CAM++), and of discontinuous gradients (integrated gradients of the default
model). For the last two, which exceed 1e-4 with some versions of PyTorch, the tests show that float64 changes our own
heatmaps as much.
Papers are cited as far as their text was available; where only code or secondary sources were, the paragraph says so.
"""


def kind(case, name):
    """Return the group of problems under which the page shows a problem."""
    if name in REFERENCES:
        return "one" if len(case.on) == 1 else "reference"
    return "default" if name.startswith("default") else "toys"


def measure(case):
    """Return, by kind of problem, the largest difference and the part that the rule does not explain."""
    differences = {}
    for name in case.on:
        before = differences.get(kind(case, name), (0.0, 0.0))
        now = case.difference(name), case.unexplained(name) if case.rule else 0.0
        if now[bool(case.rule)] > case.allowed(name):
            BEYOND.append(f"{case.name}, {name}: {now} exceeds {case.allowed(name):.0e}")
        differences[kind(case, name)] = tuple(map(max, before, now))
    print(case.name, differences, file=sys.stderr)
    return differences


def heavy(case):
    """Return whether a case needs a pass per channel, which the cases of its kind share."""
    return set(case.on) <= set(case.slow)


def measure_all():
    numbers = {case: measure(case) for case in CASES if not heavy(case)}
    with cached_passes():
        numbers |= {case: measure(case) for case in CASES if heavy(case)}
    return numbers


def unmeasured():
    """Return zeros for a page whose numbers are not compared."""
    return {case: {kind(case, name): (0.0, 0.0) for name in case.on} for case in CASES}


def show(number):
    """Format a number with one digit, rounded up."""
    if number == 0:
        return "≤ 0"
    exponent = floor(log10(number))
    digit = ceil(number / 10**exponent - 1e-9)
    digit, exponent = (1, exponent + 1) if digit == 10 else (digit, exponent)
    return f"≤ {digit}e{exponent}" if exponent < -3 else f"≤ {digit * 10.0**exponent:.{max(-exponent, 0)}f}"


def table(numbers, paragraphs):
    rows = [f"| method | {' | '.join(COLUMNS)} |", "| --- " * (1 + len(COLUMNS)) + "|"]
    for method in METHODS:
        own = [case for case in CASES if case.method == method]
        cells = [
            "; ".join(cell(case, numbers[case], paragraphs) for case in own if case.peer in peers)
            for peers in COLUMNS.values()
        ]
        if any(cells):
            rows.append(f"| {method} | {' | '.join(cells)} |")
    return rows


def cell(case, differences, paragraphs):
    measured = ", ".join(f"{WHERE[where]} {show(difference)}" for where, (difference, _) in differences.items())
    code = f"{case.peer} " if case.peer in COLUMNS["reference maps"] else ""
    note = f" ({case.note})" if case.note else ""
    verdict = f"**differs** [[{paragraphs[case]}](#{paragraphs[case]})]" if case.rule else "agrees"
    return f"{code}{verdict}{note}: {measured}"


def paragraph(case, differences, number):
    left = ", ".join(f"{WHERE[where]} {show(left)}" for where, (_, left) in differences.items())
    title = f"{case.method} and {case.peer}" + (f", {case.note}" if case.note else "")
    lines = [f'### <a id="{number}"></a>{number}. {title}', ""]
    lines += [f"*What {case.peer} does:* {case.why}", "", f"*Which is right:* {case.right}", ""]
    if case.example:
        theirs = " or ".join(map(str, case.example.theirs))
        lines += [f"*Smallest example:* {case.example.text} Ours is {case.example.mine}, {case.peer}'s {theirs}.", ""]
    return [*lines, f"*Remaining difference with its rule:* {left}.", ""]


def page(numbers):
    """Return the text of the page."""
    paragraphs = {case: number for number, case in enumerate((case for case in CASES if case.rule), start=1)}
    compared = {case.method for case in CASES}
    alone = ", ".join(method for method in METHODS if method not in compared)
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        HEAD,
        *table(numbers, paragraphs),
        "",
        f"Methods that no peer has: {alone}.",
        "",
        f"Measured with {versions}.",
        "",
        LIMITS,
    ]
    lines += ["## The differences", ""]
    for case, number in paragraphs.items():
        lines += paragraph(case, numbers[case], number)
    return "\n".join(lines).rstrip() + "\n"


def stable(text):
    """Remove what depends on the run: measured numbers and versions."""
    return re.sub(r"≤ [\d.e-]*\d|Measured with .*", "", text)


def main():
    if "--check" in sys.argv:
        current = PAGE.exists() and stable(PAGE.read_text()) == stable(page(unmeasured()))
        sys.exit(0 if current else "docs/conformance.md is out of date; run python docs/conformance.py")
    numbers = measure_all()
    if BEYOND:
        sys.exit("\n".join(BEYOND))
    PAGE.write_text(page(numbers))


if __name__ == "__main__":
    main()
