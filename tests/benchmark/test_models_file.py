"""The stored facts about the networks of a run."""

from __future__ import annotations

import pytest

from fusioncam import ExplainedModel, Preprocessing
from fusioncam.benchmark.models_file import read_models_file, write_models_file
from fusioncam.benchmark.plan import Plan
from samples import Small


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing((32, 32), (40, 36)),
        Preprocessing((32, 32), "fit"),
        Preprocessing((32, 32), 32, mean=(0.1,) * 6, std=(0.2,) * 6),
    ],
)
def test_preprocessing_is_read_as_it_was_stored(tmp_path, preprocessing):
    """Also that of detectors, and of more than three channels."""
    model = ExplainedModel(Small(channels=preprocessing.channels), "conv", preprocessing=preprocessing)
    plan = Plan(data="photos", models=["m"], methods=["grad-cam"], metrics=["complexity"])
    write_models_file(tmp_path, plan, {"m": model}, from_data=False)
    assert read_models_file(tmp_path)["m"].preprocessing == preprocessing
