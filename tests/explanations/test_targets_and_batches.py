"""A target for each image: lists, folders, tables and the labels of batches; contrasts; batches of a DataLoader."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import samples
from fusioncam import ExplainedModel, Preprocessing, explain, explain_each
from fusioncam.errors import DatasetError, InputTypeError, ShapeError, TargetError
from samples import CAT, COFFEE, ROCKET

PHOTOS = [CAT, COFFEE, ROCKET]
CONTRAST = [0.0, 1.0, -0.5, 0.0, 0.0]


def explained(images, target=None, **settings):
    """Return the explanations of the small network by Grad-CAM."""
    return list(explain_each(images, model=samples.small(), methods=["grad-cam"], target=target, **settings))


@pytest.mark.parametrize("target", [CONTRAST, np.array([CONTRAST]), {"birch": 1, "cedar": -0.5}, {1: 1.0, "2": -0.5}])
def test_a_contrast_is_described_by_its_classes(target, tmp_path):
    """Its probability is the sum of the probabilities, and it is saved as text."""
    explanation = explain(CAT, model=samples.small(), method="grad-cam", target=target)
    one, two = (explain(CAT, model=samples.small(), method="grad-cam", target=index) for index in (1, 2))

    assert (explanation.target, explanation.label) == ("1 - 0.5 * 2", "birch - 0.5 * cedar")
    assert explanation.probability == pytest.approx(one.probability - 0.5 * two.probability)
    facts = json.loads(explanation.save(tmp_path)[-1].read_text())
    assert (facts["target"], facts["class_name"]) == ("1 - 0.5 * 2", "birch - 0.5 * cedar")
    assert explanation.by("layer-cam").target == explanation.target
    with pytest.raises(TargetError, match="a check needs the index of one class"):
        explanation.check()


def test_a_function_is_a_target():
    """It has its name, and is applied to the probabilities too."""

    def elm_over_ash(scores):
        return scores[:, 4] - scores[:, 0]

    explanation = explain(CAT, model=samples.small(), method="grad-cam", target=elm_over_ash)
    contrast = explain(CAT, model=samples.small(), method="grad-cam", target=[-1.0, 0, 0, 0, 1.0])
    assert (explanation.target, explanation.label, explanation.class_name) == ("elm_over_ash", None, "elm_over_ash")
    torch.testing.assert_close(explanation.heatmap, contrast.heatmap)
    assert explanation.probability == pytest.approx(contrast.probability)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("targets", [[4, "birch", None], ["elm", {1: 1, 0: -1}, 2], np.array([3, 0, 1])])
def test_each_image_has_its_own_target(targets, batch_size):
    """As if it were explained alone, in batches of any size."""
    together = explained(PHOTOS, targets, batch_size=batch_size)
    for explanation, photo, target in zip(together, PHOTOS, targets, strict=True):
        alone = explain(photo, model=samples.small(), method="grad-cam", target=target)
        assert (explanation.target, explanation.label) == (alone.target, alone.label)
        torch.testing.assert_close(explanation.heatmap, alone.heatmap)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([1, 2], "2 targets for more images"),
        ([1, 2, 3, 4], "4 targets for 3 images"),
        (["top2", 1, 2], "target 'top2' among those of several images"),
        ([1, 2, lambda scores: scores[:, 0]], "explain with batch_size=1"),
    ],
)
def test_targets_that_do_not_fit_are_reported(target, message):
    """As errors of the request."""
    with pytest.raises(TargetError, match=message):
        explained(PHOTOS, target, batch_size=3)


def test_labels_are_names_of_folders(tmp_path):
    """An image in no folder of a class fails alone."""
    for folder in ("elm", "white_birch", "3", "oak"):
        (tmp_path / folder).mkdir()
        samples.photo(size=(40, 40)).save(tmp_path / folder / "leaf.png")
    paths = [tmp_path / folder / "leaf.png" for folder in ("elm", "white_birch", "3", "oak")]
    failures = []
    found = explained(paths, "label", on_error=lambda image, error: failures.append((image, error)))

    assert [one.target for one in found] == [4, 1, 3]
    assert [image for image, _ in failures] == [paths[3]]
    with pytest.raises(DatasetError, match="its label 'oak' is no class of the network"):
        raise failures[0][1]
    with pytest.raises(DatasetError, match="image has no label"):
        explained([samples.photo()], "label")


def test_labels_come_from_a_table(tmp_path):
    """By paths relative to the table, or file names; the column may be named."""
    for name in ("a.png", "b.png", "c.png"):
        samples.photo(size=(40, 40)).save(tmp_path / name)
    table = tmp_path / "leaves.csv"
    table.write_text("Path,label,second\na.png,elm,0\nb.png,birch,cedar\n")
    paths = [tmp_path / name for name in ("a.png", "b.png")]

    assert [one.target for one in explained(paths, str(table))] == [4, 1]
    assert [one.target for one in explained(paths, f"{table}:second")] == [0, 2]
    with pytest.raises(DatasetError, match=r"c.png: .*leaves.csv has no label for it"):
        explained([tmp_path / "c.png"], table)
    with pytest.raises(DatasetError, match="expected a header with a column 'third', got path, label, second"):
        explained(paths, f"{table}:third")
    with pytest.raises(DatasetError, match="cannot read"):
        explained(paths, "missing.csv")


def test_batches_of_a_loader_are_inputs():
    """They are not preprocessed again, and shown as the image that they come from."""
    model = samples.small()
    x = torch.stack([model.preprocessing(samples.photo(path)) for path in PHOTOS])
    loader = DataLoader(TensorDataset(x, torch.tensor([4, 0, 2])), batch_size=2)
    found, photos = explained(loader, "label", batch_size=2), explained(PHOTOS, [4, 0, 2])

    assert [one.target for one in found] == [4, 0, 2]
    for one, photo, path in zip(found, photos, PHOTOS, strict=True):
        torch.testing.assert_close(one.heatmap, photo.heatmap)
        shown = np.asarray(one.image, float)
        expected = np.asarray(model.preprocessing.view(samples.photo(path)).resize(one.image.size), float)
        assert np.abs(shown - expected).mean() < 8


@pytest.mark.parametrize(
    "form", [lambda x: [x], lambda x: [{"image": x, "label": [1, 2]}], lambda x: [(x.numpy(), "ab")]]
)
def test_batches_have_several_forms(form):
    """A tensor, a dict as MONAI's, or an array with labels."""
    x = torch.rand(2, 3, 48, 48)
    assert [one.heatmap.shape for one in explained(form(x))] == [(48, 48)] * 2


def test_one_input_is_explained():
    """A tensor (1, C, H, W) is an input, and a batch is for explain_each."""
    x = torch.rand(1, 3, 48, 48)
    assert explain(x, model=samples.small(), method="grad-cam").heatmap.shape == (48, 48)
    with pytest.raises(InputTypeError, match=r"got a batch \(2, 3, 48, 48\): use explain_each"):
        explain(x.expand(2, -1, -1, -1), model=samples.small())


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([(torch.rand(2, 3, 8, 8), [1])], ShapeError, "a batch of 2 images has 1 labels"),
        ([torch.rand(2, 4, 8, 8)], ShapeError, "have 4 channels, and the model's preprocessing has 3"),
        ([{"pixels": torch.rand(2, 3, 8, 8)}], InputTypeError, "got a dict of the keys pixels"),
        ([(CAT, 3)], InputTypeError, "got a tuple of"),
    ],
)
def test_other_batches_are_reported(images, error, message):
    """The message says what a batch is."""
    with pytest.raises(error, match=message):
        explained(images)


class Meta(torch.Tensor):
    """A tensor with metadata, as MONAI's."""

    meta = {"filename_or_obj": "scans/patient_7.nii.gz"}  # noqa: RUF012 # as MONAI's


def test_a_tensor_with_metadata_has_the_name_of_its_file():
    """And is read as any tensor."""
    image = torch.rand(3, 60, 60)
    model = ExplainedModel(samples.Small(), preprocessing=Preprocessing((48, 48), 48))
    found = explain(image.as_subclass(Meta), model=model, method="grad-cam")
    assert found.source == "scans/patient_7.nii.gz"
    torch.testing.assert_close(found.heatmap, explain(image, model=model, method="grad-cam").heatmap)
