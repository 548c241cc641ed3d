"""Comparisons with the reference maps: what two public codes of Fusion-CAM's authors computed."""

from __future__ import annotations

from conformance.case import NOT_READ, Case
from conformance.peers import stored
from conformance.problems import PEERS, REFERENCES
from conformance.rules import from_maps, no_denominator, ours, plus_plus
from fusioncam import METHODS

REFERENCE_CASES = [
    *(Case("grad-cam", code, stored(f"{code}/gradcam"), REFERENCES) for code in PEERS[3:]),
    Case("grad-cam++", "official", stored("official/gradcampp"), REFERENCES),
    Case(
        "grad-cam++",
        "xplaincam",
        stored("xplaincam/gradcampp"),
        REFERENCES,
        rule=from_maps(plus_plus(1e-8, each=True)),
        why="The sum in alpha's denominator multiplies activations and cubed gradients at each location, sum(A g^3), "
        "and 1e-8 is added.",
        right="Ours and official: the definition multiplies the sum of the activations by the third derivative at "
        "the same location, sum(A) g^3.",
        # cubed gradients of both signs nearly cancel in the denominator: 2e-4 on one processor, 4.5e-4 on another
        tolerance=1e-3,
    ),
    Case(
        "xgrad-cam",
        "official",
        stored("official/xgradcam"),
        REFERENCES,
        rule=from_maps(no_denominator),
        why="The weights are sum(A g), without the division by sum(A): the activity of a channel enters twice.",
        right="Ours, xplaincam, grad-cam and torchcam, by the definition in arXiv 2008.02312: the gradients are "
        "averaged with the normalised activations as weights.",
    ),
    Case("xgrad-cam", "xplaincam", stored("xplaincam/xgradcam"), REFERENCES, tolerance=1e-3),
    Case("layer-cam", "xplaincam", stored("xplaincam/layercam"), REFERENCES),
    Case(
        "ablation-cam", "xplaincam", stored("xplaincam/ablationcam"), REFERENCES, slow=REFERENCES[1:], tolerance=1e-4
    ),
]
GROUP_CAM = {
    "official": "It also uses a lighter blur (sigma 25).",
    "xplaincam": "It also adds up the sums instead of the masks.",
}
for code in PEERS[3:]:
    REFERENCE_CASES += [
        Case(f"group-cam:{code}", code, stored(f"{code}/groupcam"), REFERENCES, slow=REFERENCES[1:]),
        Case(
            "group-cam",
            code,
            stored(f"{code}/groupcam"),
            REFERENCES,
            rule=ours(METHODS[f"group-cam:{code}"]),
            why=f"It does not denoise the sums of the groups, and sets negative gains to 0. {GROUP_CAM[code]}",
            right=NOT_READ + "ours follows the public code of the method's authors: values of a sum below its 70th "
            "percentile are set to 0, and gains keep their signs.",
            slow=REFERENCES[1:],
        ),
    ]
SHARED_CODES = {"score-cam": "scorecam", "union-cam": "unioncam", "fusion-cam": "fusioncam"}
REFERENCE_CASES += [
    Case(f"{method}:{code}", code, stored(f"{code}/{key}"), REFERENCES[:1], slow=REFERENCES, tolerance=1e-4)
    for method, key in SHARED_CODES.items()
    for code in PEERS[3:]
]
REFERENCE_CASES += [
    Case(
        "score-cam",
        "xplaincam",
        stored("xplaincam/scorecam"),
        REFERENCES[:1],
        rule=ours(METHODS["score-cam:xplaincam"]),
        why="The weights are probabilities without a softmax over the channels. Masks are rescaled before they are "
        "upsampled, and they are summed instead of the channels.",
        right="Public codes differ in all of these, and so do the authors' code (probabilities without a softmax) "
        "and paper (a softmax of increases). Ours follows the paper's algorithm 1, with logits.",
        slow=REFERENCES,
        tolerance=1e-4,
    ),
    Case("score-cam", "official", stored("official/scorecam"), REFERENCES[:1], slow=REFERENCES, tolerance=1e-4),
    Case(
        "union-cam",
        "official",
        stored("official/unioncam"),
        REFERENCES[:1],
        note="where no gain is negative",
        slow=REFERENCES,
        tolerance=1e-4,
    ),
    Case(
        "fusion-cam",
        "official",
        stored("official/fusioncam"),
        REFERENCES[:1],
        rule=ours(METHODS["fusion-cam:official"]),
        why="The second step uses the region map's weight of the first step, which is already divided by the sum of "
        "the gains, and divides it by a sum again. Gains of either sign are divided by their sum.",
        right="The paper's text was not available, and its authors' two codes differ from each other. Ours "
        "normalises the gains in each step and treats negative ones as 0: gains of opposite signs divided by their "
        "sum are unbounded.",
        slow=REFERENCES,
        tolerance=1e-4,
    ),
    *(
        Case(
            method,
            "xplaincam",
            stored(f"xplaincam/{key}"),
            REFERENCES[:1],
            rule=ours(METHODS[f"{method}:xplaincam"]),
            why="The weights are the gains themselves, and the region map is its own Score-CAM (see there).",
            right="The paper's text was not available, and its authors' two codes differ from each other. Ours "
            "normalises the gains, as official does, so that maps with small gains have weight too; a negative gain, "
            "which would invert a map, has weight 0.",
            slow=REFERENCES,
            tolerance=1e-4,
        )
        for method, key in list(SHARED_CODES.items())[1:]
    ),
]
