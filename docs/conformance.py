"""Write docs/conformance.md, what each method and its peers give, or check that it tells the cases as they stand.

python docs/conformance.py [--check]

The cases are those of tests/conformance.py. Writing measures them all, in some minutes; checking compares all but
the measured numbers, and measures nothing.
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

from conformance import CASES, PEERS, REFERENCES  # noqa: E402 # it lies with the tests
from fusioncam import METHODS, cached_passes  # noqa: E402

COLUMNS = {"grad-cam": PEERS[:1], "torchcam": PEERS[1:2], "captum": PEERS[2:3], "reference maps": PEERS[3:]}
PACKAGES = ("grad-cam", "torchcam", "captum", "torch", "timm")
HEAD = """\
# What the methods and their peers compute

Written by `docs/conformance.py`; the cases lie in `tests/conformance.py`, and the tests run them.

Each method is compared with [grad-cam](https://pypi.org/project/grad-cam/) (pytorch-grad-cam),
[torchcam](https://pypi.org/project/torchcam/) and [captum](https://pypi.org/project/captum/) as PyPI has them, on the
same network, layer, image and target, and with reference maps: what two public codes of Fusion-CAM's authors,
`official` and `xplaincam`, gave for eight images and the default model. Compared are heatmaps of the image's size
in [0, 1]; torchcam's and captum's are of the layer's size and are upsampled as ours are. A number is the largest
absolute difference of any pixel, rounded up.

*agrees* is to within rounding. *differs* has a number in brackets: its paragraph below says why, and who is right by
what. For every difference a test puts the peer's rule in place of ours and finds the peer's map: the paragraph says
how much is left.
"""
BEYOND: list[str] = []
WHERE = {
    "toys": "toys",
    "default": "default model",
    "reference": "eight images",
    "one": "one image",
}
LIMITS = """\
The toys are networks of few channels with images of 8 to 16 pixels a side, in float64 as far as the peer goes
(grad-cam gives float32); among them are maps with constant channels, with negative values, of signals and of volumes.
The default model is efficientnet_lite0 at `blocks.6`, float32, with scikit-image's cat and the class it predicts.
Score-, SS- and IS-CAM are compared with the peers on toys alone, because each takes a pass a channel. Score-, Union-
and Fusion-CAM are compared here with the reference maps of one image; `tests/test_oracles.py` has all of them.
What is left above 1e-5 is float32's rounding: of scores (Score- and Ablation-CAM), of what is divided by nearly 0
(xplaincam's XGrad-CAM and Grad-CAM++), of gradients that jump between two steps (integrated gradients of the default
model). Of the last two, which go beyond 1e-4, the tests show that float64 moves our own maps as far.
Papers are quoted as far as they could be read; where only code or another's account of it was at hand, it says so.
"""


def kind(case, name):
    """Say to which of the groups of a page's numbers a problem belongs."""
    if name in REFERENCES:
        return "one" if len(case.on) == 1 else "reference"
    return "default" if name.startswith("default") else "toys"


def measure(case):
    """Give, by kind of problem, the largest difference and what its explanation leaves."""
    found = {}
    for name in case.on:
        before = found.get(kind(case, name), (0.0, 0.0))
        now = case.difference(name), case.unexplained(name) if case.rule else 0.0
        if now[bool(case.rule)] > case.allowed(name):
            BEYOND.append(f"{case.name}, {name}: {now} is not within {case.allowed(name):.0e}")
        found[kind(case, name)] = tuple(map(max, before, now))
    print(case.name, found, file=sys.stderr)
    return found


def heavy(case):
    """Say whether a case takes a pass a channel, which those of its kind share."""
    return set(case.on) <= set(case.slow)


def measure_all():
    numbers = {case: measure(case) for case in CASES if not heavy(case)}
    with cached_passes():
        numbers |= {case: measure(case) for case in CASES if heavy(case)}
    return numbers


def unmeasured():
    """Give numbers for a page whose numbers do not count."""
    return {case: {kind(case, name): (0.0, 0.0) for name in case.on} for case in CASES}


def show(number):
    """Write a number with one digit, rounded up."""
    if number == 0:
        return "≤ 0"
    exponent = floor(log10(number))
    digit = ceil(number / 10**exponent - 1e-9)
    digit, exponent = (1, exponent + 1) if digit == 10 else (digit, exponent)
    return f"≤ {digit}e{exponent}" if exponent < -3 else f"≤ {digit * 10.0**exponent:.{max(-exponent, 0)}f}"


def table(numbers, places):
    rows = [f"| method | {' | '.join(COLUMNS)} |", "| --- " * (1 + len(COLUMNS)) + "|"]
    for method in METHODS:
        own = [case for case in CASES if case.method == method]
        cells = [
            "; ".join(cell(case, numbers[case], places) for case in own if case.peer in peers)
            for peers in COLUMNS.values()
        ]
        if any(cells):
            rows.append(f"| {method} | {' | '.join(cells)} |")
    return rows


def cell(case, found, places):
    measured = ", ".join(f"{WHERE[where]} {show(difference)}" for where, (difference, _) in found.items())
    code = f"{case.peer} " if case.peer in COLUMNS["reference maps"] else ""
    note = f" ({case.note})" if case.note else ""
    verdict = f"**differs** [[{places[case]}](#{places[case]})]" if case.rule else "agrees"
    return f"{code}{verdict}{note}: {measured}"


def paragraph(case, found, place):
    left = ", ".join(f"{WHERE[where]} {show(left)}" for where, (_, left) in found.items())
    title = f"{case.method} beside {case.peer}" + (f", {case.note}" if case.note else "")
    lines = [f'### <a id="{place}"></a>{place}. {title}', ""]
    lines += [f"*What {case.peer} does:* {case.why}", "", f"*Who is right:* {case.right}", ""]
    if case.example:
        theirs = " or ".join(map(str, case.example.theirs))
        lines += [f"*Smallest example:* {case.example.text} Ours {case.example.mine}, {case.peer} {theirs}.", ""]
    return [*lines, f"*Left when ours is given its rule:* {left}.", ""]


def page(numbers):
    """Give the whole page."""
    places = {case: place for place, case in enumerate((case for case in CASES if case.rule), start=1)}
    compared = {case.method for case in CASES}
    alone = ", ".join(method for method in METHODS if method not in compared)
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        HEAD,
        *table(numbers, places),
        "",
        f"No peer has: {alone}.",
        "",
        f"Measured with {versions}.",
        "",
        LIMITS,
    ]
    lines += ["## The differences", ""]
    for case, place in places.items():
        lines += paragraph(case, numbers[case], place)
    return "\n".join(lines).rstrip() + "\n"


def stable(text):
    """Leave out what depends on the run: measured numbers and versions."""
    return re.sub(r"≤ [\d.e-]*\d|Measured with .*", "", text)


def main():
    if "--check" in sys.argv:
        current = PAGE.exists() and stable(PAGE.read_text()) == stable(page(unmeasured()))
        sys.exit(0 if current else "docs/conformance.md: run python docs/conformance.py")
    numbers = measure_all()
    if BEYOND:
        sys.exit("\n".join(BEYOND))
    PAGE.write_text(page(numbers))


if __name__ == "__main__":
    main()
