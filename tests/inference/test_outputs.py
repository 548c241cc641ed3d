"""The scores in an output: a tensor, a part of a dict, tuple or ModelOutput, or what a function returns."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import pytest
import torch
from torch import Tensor, nn

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import ShapeError
from fusioncam.inference.outputs import part_of, scores_of
from samples import Small

SCORES, MAPS, BOXES = torch.rand(2, 5), torch.rand(2, 5, 8, 8), torch.rand(2, 7, 4)


class Output(OrderedDict):
    """An output as transformers' are: a dict whose keys are attributes too."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


Named = namedtuple("Named", ["features", "scores"])


@pytest.mark.parametrize(
    ("output", "read"),
    [
        (SCORES, None),
        (SCORES[:, :, None, None], None),
        ({"logits": SCORES, "features": MAPS}, None),
        (Output(logits=SCORES, features=MAPS), None),
        ([SCORES], None),
        ({"scores": SCORES}, None),
        ({"scores": SCORES, "features": MAPS}, "scores"),
        (Output(features=MAPS, scores=SCORES), "scores"),
        (Output(features=MAPS, scores=SCORES), 1),
        ((MAPS, SCORES), 1),
        ((MAPS, SCORES), -1),
        (Named(MAPS, SCORES), "scores"),
        ({"logits": MAPS, "scores": SCORES}, lambda output: output["scores"]),
        ((MAPS, (MAPS, SCORES)), lambda output: output[1][1]),
    ],
)
def test_scores_are_found(output, read):
    """By key, position or a function; without these where only one part may be meant."""
    assert torch.equal(scores_of(output, 2, read), SCORES)


@pytest.mark.parametrize(
    ("output", "read", "message"),
    [
        (
            (MAPS, SCORES),
            None,
            r"tuple of 0: \(2, 5, 8, 8\), 1: \(2, 5\): pass read=1 to Expl.* for its \(2, 5",
        ),
        (MAPS, None, r"got \(2, 5, 8, 8\): wrap a segmentation network in fusioncam.tasks.Segmentation"),
        ({"out": MAPS, "aux": MAPS}, None, r"fusioncam.tasks.Segmentation\(network\)"),
        (Output(logits=MAPS), None, r"fusioncam.tasks.Segmentation\(network\)"),
        ([{"boxes": BOXES[0], "scores": SCORES[0], "labels": SCORES[0]}], None, "fusioncam.tasks.Detection"),
        (Output(logits=BOXES, pred_boxes=BOXES), None, "fusioncam.tasks.Detection"),
        ((BOXES, [MAPS]), None, "fusioncam.tasks.Detection"),
        ({"a": SCORES, "b": SCORES}, "c", r"no part 'c', it is dict of 'a': \(2, 5\), 'b': \(2, 5\)"),
        ((SCORES, MAPS), 2, "no part 2"),
        ((SCORES, MAPS), 1, r"expected read=1 to return scores \(2, classes\), got \(2, 5, 8, 8\)"),
        ((SCORES, MAPS), lambda output: output, "expected the function read to return scores"),
        (None, None, "got NoneType"),
    ],
)
def test_other_outputs_are_reported(output, read, message):
    """The error shows the structure of the output, and says what to write."""
    with pytest.raises(ShapeError, match=message):
        scores_of(output, 2, read)


def test_parts_are_selected_as_they_are():
    """A part need not be scores."""
    assert part_of({"logits": MAPS}, None) is MAPS
    assert part_of((SCORES, MAPS), 1) is MAPS


@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "ablation-cam"])
def test_read_holds_for_every_pass(method):
    """Recorded, masked and partial passes all read the second part, which has other classes than the first."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Small()

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, self.inner(x)

    x, network = torch.rand(2, 3, 24, 24), Two()
    expected = METHODS[method](ExplainedModel(network.inner), x, [1, 2])
    for read in (1, lambda output: output[1]):
        heatmaps = METHODS[method](ExplainedModel(network, read=read), x, [1, 2])
        torch.testing.assert_close(heatmaps, expected)


def test_probabilities_beside_their_logits_are_read_as_logits():
    """As ultralytics' classifiers return them; two other tensors of one shape are ambiguous."""
    logits = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.0, 1.0]])

    assert scores_of((logits.softmax(1), logits), 2).equal(logits)
    with pytest.raises(ShapeError, match="read=0"):
        scores_of((logits, logits), 2)
