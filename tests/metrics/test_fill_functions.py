"""Metrics whose fill is a function, and the recipe of the documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from fusioncam import METHODS, ExplainedModel
from fusioncam.metrics import FFidelity, protocol
from fusioncam.metrics.adcc import ADCC, Coherency
from fusioncam.metrics.curves import Deletion, Insertion
from fusioncam.metrics.faithfulness import AverageDrop
from fusioncam.metrics.registry import as_metric, settings_of
from fusioncam.metrics.removal import ROAD, LeRF, MoRF
from fusioncam.metrics.single_deletion import IDSDS
from linear_case import heatmaps_for
from toys import problem

RECIPES = Path(__file__).parents[2] / "docs" / "recipes.md"
METRICS = (AverageDrop, Insertion, Deletion, MoRF, LeRF, ROAD, IDSDS, FFidelity, Coherency, ADCC)


def grey(x, masks):
    """Return pixels of the mean colour."""
    return torch.zeros_like(x)


@pytest.mark.parametrize("kind", METRICS, ids=lambda kind: kind.__name__)
def test_a_function_fills_as_the_same_pixels_do(kind):
    """Pixels of zeros are the fill "mean"; other ones change the value."""
    toy, x, target = problem("small", images=2)
    model, maps = ExplainedModel(toy, "features"), heatmaps_for(x)
    needed = {"method": METHODS["grad-cam"]} if kind.needs_method else {}

    values = [kind(fill=fill)(model, x, target, maps, **needed) for fill in ("mean", grey, lambda x, masks: x + 1)]

    torch.testing.assert_close(values[0], values[1])
    assert not values[0].allclose(values[2])


def test_a_function_has_its_name_in_protocols_and_tables():
    """Without its address, which differs from run to run."""
    metric = Deletion(fill=grey)

    assert json.loads(json.dumps(protocol(metric)))["fill"] == "grey"
    assert "fill=grey" in settings_of(metric)
    assert "fill=grey, sigma=50" in as_metric(metric)[0]


def test_the_recipe_of_inpainting_runs():
    """Known pixels stay, and missing ones have colours of their surroundings."""
    pytest.importorskip("cv2")
    blocks = re.findall(r"```python\n(.*?)```", RECIPES.read_text(), re.DOTALL)
    (block,) = [one for one in blocks if "cv2.inpaint" in one]
    space = {}
    exec(block.partition("\n\nvalues")[0], space)  # the documentation's own code
    x = torch.linspace(0, 1, 16).expand(2, 3, 16, 16)
    masks = torch.ones(2, 16, 16)
    masks[:, 6:10, 6:10] = 0

    filled = space["inpainted"](x, masks)

    torch.testing.assert_close(filled, x, atol=0.1, rtol=0)
    assert Deletion(fill=space["inpainted"], steps=2).fill.__name__ == "inpainted"
