"""Classifiers of transformers from local files: safetensors only, with their preprocessing and class names."""

from __future__ import annotations

import pytest
import torch

from fusioncam import ExplainedModel, explain, load_model
from fusioncam.errors import FusionCamWarning, WeightsError
from fusioncam.zoo.loading import as_model
from samples import CAT, Small, photo

transformers = pytest.importorskip("transformers")
NAMES = {0: "ash", 1: "birch", 2: "elm"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder as ``save_pretrained`` writes it."""
    path = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        image_size=32, patch_size=8, hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48,
        id2label=NAMES, label2id={name: index for index, name in NAMES.items()},
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(path)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.4] * 3).save_pretrained(path)
    return path


def test_a_folder_is_loaded(folder, capfd):
    """Scores, preprocessing and class names are those of the folder, and nothing is printed."""
    model = load_model(f"hf:{folder}", device="cpu")
    network = transformers.ViTForImageClassification.from_pretrained(folder)
    capfd.readouterr()
    x = model.preprocessing(photo())[None]

    torch.testing.assert_close(model.logits(x), network.eval()(x).logits.detach())
    assert (model.labels, model.preprocessing.mean) == (("ash", "birch", "elm"), (0.4,) * 3)
    assert explain(CAT, model=f"hf:{folder}", method="grad-cam", target="elm").target == 2
    assert "".join(capfd.readouterr()) == ""


def test_missing_and_unsafe_weights_are_reported(folder, tmp_path):
    """A pickle beside the configuration is never loaded."""
    with pytest.raises(WeightsError, match=r"hf:no/such is no image classifier .*hf download no/such"):
        load_model("hf:no/such")
    for file in folder.iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(
        transformers.ViTForImageClassification.from_pretrained(folder).state_dict(), tmp_path / "pytorch_model.bin"
    )
    with pytest.raises(WeightsError, match=r"no image classifier on this machine: .*model.safetensors"):
        load_model(f"hf:{tmp_path}")


def test_class_names_of_a_network_are_used(folder):
    """Also of a network of one's own; the names that transformers makes up are no names."""
    network = transformers.ViTForImageClassification.from_pretrained(folder)
    assert ExplainedModel(network).labels == ("ash", "birch", "elm")
    network.config.id2label = {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert ExplainedModel(network).labels is None
    assert ExplainedModel(network, labels="abc").labels == ("a", "b", "c")


def test_assumed_normalisation_is_a_warning():
    """For a network of one's own; torchvision's weights have that of ImageNet."""
    with pytest.warns(FusionCamWarning, match=r"normalised by ImageNet's mean and deviation; pass what belongs"):
        as_model(Small(), None, None)
