"""Comparison of each method with its peers for the same network, layer, image and target.

A :class:`Case` compares one method with one peer. If they differ, ``rule`` is our method with the peer's rule instead
of ours, and its result must equal the peer's: otherwise the difference is not explained. The tests run the cases, and
`docs/conformance.py` writes them to a page.
"""

from conformance.captum_cases import CAPTUM_CASES
from conformance.case import Case, max_difference
from conformance.gradcam_cases import GRADCAM_CASES
from conformance.problems import PEERS, REFERENCES, lite0, problem_of
from conformance.reference_cases import REFERENCE_CASES
from conformance.rules import from_maps, ours, plus_plus
from conformance.torchcam_cases import TORCHCAM_CASES

CASES = [*GRADCAM_CASES, *TORCHCAM_CASES, *CAPTUM_CASES, *REFERENCE_CASES]

__all__ = [
    "CASES",
    "PEERS",
    "REFERENCES",
    "Case",
    "from_maps",
    "lite0",
    "max_difference",
    "ours",
    "plus_plus",
    "problem_of",
]
