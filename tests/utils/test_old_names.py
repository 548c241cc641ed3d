"""Test that names of version 0.1 still work."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

import fusioncam as fc
from fusioncam.data.datasets.sample import Sample
from fusioncam.errors import InputTypeError
from fusioncam.tasks import Embedding
from samples import small
from toys import problem

PIXELS = np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)


def test_picture_is_an_alias_of_image(tmp_path):
    """It is read as `image` is, and is not a field of its own."""
    explanation = fc.explain(picture=PIXELS, model=small(), method="grad-cam")
    comparison = fc.compare(picture=PIXELS, model=small(), methods=["grad-cam"])
    assert explanation.picture is explanation.image
    assert comparison.picture("a").size == comparison.image("a").size
    assert [path.name for path in explanation.save_map(tmp_path, "a")] == ["a.png", "a.npy"]
    assert Sample("a", picture := PIXELS).picture is picture
    assert "picture" not in inspect.signature(fc.Explanation).parameters


def test_old_keyword_arguments_are_accepted():
    """They are passed on under their new names, also of generators and methods."""
    (explanation,) = fc.explain_each(pictures=[PIXELS], model=small(), methods=["grad-cam"])
    preprocessing = explanation.preprocessing
    assert torch.equal(preprocessing(picture=explanation.image), preprocessing(explanation.image))
    assert preprocessing.view(picture=explanation.image) == preprocessing.view(image=explanation.image)
    assert next(iter(inspect.signature(fc.explain).parameters)) == "image"


def test_both_names_at_once_are_refused():
    """Nothing decides between two values."""
    with pytest.raises(InputTypeError, match="picture is the earlier name of image: pass image only"):
        fc.explain(image=PIXELS, picture=PIXELS, model=small())


def test_old_methods_of_a_model_work():
    """`at`, `finer` and `background` are other names of the same methods."""
    network, x, _ = problem("pyramid")
    model = fc.ExplainedModel(network)
    assert model.at("features.0").layer == "features.0"
    assert model.finer(x) == model.layers.higher_resolution(x)
    assert torch.equal(model.background(x, "mean"), model.fill_pixels(x, "mean"))
    assert Embedding.of_pictures(network, x).references.shape == (2, 3)
