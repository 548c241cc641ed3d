"""Explain one image: the explanation's fields, its overlay and the files that it writes."""

from __future__ import annotations

import json
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import samples
from fusioncam import METHODS, Explanation, explain
from fusioncam.errors import MethodError, OutputError, SettingError, UnknownNameError
from fusioncam.utils.files import to_json
from fusioncam.utils.text import slug
from samples import CAT, LABELS, corners, photo

FAST = "grad-cam"


def strict_json(text: str | bytes) -> dict:
    """Parse JSON as other languages do, where NaN is not a number."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in JSON"))


def explain_small(target: int | str | None = None, method: str = FAST) -> Explanation:
    """Explain the cat with the small network of the samples."""
    return explain(CAT, model=samples.small(), method=method, target=target)


def test_an_explanation_holds_its_facts(lite0):
    """Source, method, model, layer, class, probability, view, preprocessing and cost are fields."""
    explanation = explain(CAT, model=lite0, method=FAST)
    assert explanation.source == str(CAT)
    assert (explanation.method, explanation.model, explanation.layer) == (FAST, "efficientnet_lite0", "bn2")
    assert (explanation.target, explanation.label, explanation.class_name) == (282, "tiger cat", "tiger cat")
    assert 0.3 < explanation.probability < 0.5
    assert explanation.image.size == (263, 263)
    assert explanation.preprocessing == lite0.preprocessing
    assert explanation.passes >= 1
    assert explanation.seconds > 0


def test_heatmap_size_type_and_range(lite0):
    """A heatmap has the input's size, is float32 on the CPU, spans [0, 1] and needs no gradient."""
    heatmap = explain(CAT, model=lite0, method=FAST).heatmap
    assert (heatmap.shape, heatmap.dtype, heatmap.device.type) == ((224, 224), torch.float32, "cpu")
    assert (heatmap.min(), heatmap.max()) == (0, 1)
    assert not heatmap.requires_grad


def test_the_cats_head_is_highlighted(lite0):
    """The heatmap is upright: its maximum is on the head, left of the centre in the upper part; a flip follows."""
    heatmap = explain(CAT, model=lite0, method=FAST).heatmap
    row, column = divmod(int(heatmap.argmax()), 224)
    assert 20 < row < 150
    assert 20 < column < 170
    turned = explain(photo().transpose(Image.Transpose.FLIP_LEFT_RIGHT), model=lite0, method=FAST).heatmap
    assert (heatmap - turned.flip(1)).abs().mean() < 0.1 < (heatmap - turned).abs().mean()


def test_files_images_and_arrays_give_the_same_heatmap():
    """The source of the pixels makes no difference."""
    sources = [CAT, str(CAT), photo(), np.asarray(photo())]
    first, *others = [explain(one, model=samples.small(), method=FAST) for one in sources]
    for other in others:
        assert torch.equal(first.heatmap, other.heatmap)
    assert [Path(one.source).name for one in others] == ["chelsea.png", "image", "ndarray"]


def test_an_opened_image_keeps_its_file_name():
    """PIL stores the name of the file: the explanation and its files are named after it."""
    with Image.open(CAT) as image:
        assert Path(explain(image, model=samples.small(), method=FAST).source).name == "chelsea.png"


def test_default_model_and_method(lite0, monkeypatch):
    """Without arguments the built-in network and Fusion-CAM are used."""
    monkeypatch.setattr(sys.modules[explain.__module__], "as_model", lambda *arguments: samples.small())
    assert explain(CAT).method == "fusion-cam"
    monkeypatch.undo()
    assert explain(CAT, method=FAST).model == lite0.name


def test_the_heatmap_is_the_methods_own(lite0):
    """The heatmap equals what the method returns for the preprocessed image."""
    x = lite0.preprocessing(photo())[None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = METHODS[FAST](lite0, x, torch.tensor([281]))[0]
    torch.testing.assert_close(explain(CAT, model=lite0, method=FAST, target=281).heatmap, expected)


# -- ingredients of a fusion --------------------------------------------------------------------------------------


def test_a_fusion_keeps_its_ingredients():
    """Fusion-CAM's maps have the heatmap's size, are on the CPU and have no batch dimension; gains are floats."""
    explanation = explain_small(method="fusion-cam")
    made = explanation.ingredients
    for one in (made.heatmaps, made.denoised, made.region, made.union):
        assert (one.shape, one.device.type) == (explanation.heatmap.shape, "cpu")
    assert torch.equal(made.heatmaps, explanation.heatmap)
    torch.testing.assert_close(made.region, explain_small(method="score-cam").heatmap)
    assert explanation.gains.keys() == {"denoised", "region", "union"}
    assert all(isinstance(gain, float) for gain in explanation.gains.values())


def test_gains_are_differences_of_probabilities():
    """The gain of the region map is the probability under that mask minus that of the empty image."""
    model = samples.small()
    explanation = explain(CAT, model=model, method="fusion-cam", target=2)
    x = model.preprocessing(photo())[None]
    masks = torch.stack([torch.zeros(1, 32, 32), explanation.ingredients.region[None]])
    empty, seen = model.masked_scores(x, masks, 2, readout="probability")[:, 0]
    assert explanation.gains["region"] == pytest.approx(float(seen - empty), abs=1e-6)


def test_other_methods_have_no_gains():
    """Without a fusion there are no ingredients and no gains."""
    explanation = explain_small()
    assert explanation.ingredients is None
    assert explanation.gains == {}


# -- showing and saving -------------------------------------------------------------------------------------------


def test_an_overlay_without_fading_is_red_at_one_and_blue_at_zero():
    """Opacity 0 shows the image alone."""
    explanation = explain_small()
    overlay = np.asarray(explanation.overlay(1.0, colormap="jet", fade=False, view="crop")).astype(int)
    large = np.asarray(Image.fromarray(explanation.heatmap.numpy()).resize(explanation.image.size, 2))
    hot, cold = overlay[large > 0.97], overlay[large < 0.03]
    assert (hot[:, 0] > hot[:, 2] + 60).all()
    assert (cold[:, 2] > cold[:, 0] + 60).all()
    assert np.array_equal(np.asarray(explanation.overlay(0.0, view="crop")), np.asarray(explanation.image))


@pytest.mark.parametrize("opacity", [-0.1, 1.1, 50])
def test_invalid_opacities_are_reported(opacity):
    """50 in place of 0.5 is an error, not an image of overflowing colours."""
    with pytest.raises(SettingError, match="opacity must be between 0 and 1"):
        explain_small().overlay(opacity)


def test_notebooks_show_the_overlay():
    """The representation in a notebook is the overlay as PNG."""
    content = explain_small()._repr_png_()
    assert content.startswith(b"\x89PNG")


def test_repr_is_one_short_line():
    """The heatmap's numbers are not printed."""
    shown = repr(explain_small(method="fusion-cam"))
    assert len(shown) < 500
    assert "fusion-cam" in shown


@pytest.mark.parametrize("method", ["layer-cam", "fusion-cam(theta=30)", METHODS["score-cam"]])
def test_by_explains_the_same_class_by_another_method(method):
    """Image, class and layer stay; the cost is that of the other method."""
    model = samples.small().with_layer("conv")
    first = explain(CAT, model=model, method=FAST, target="birch")
    other, own = first.by(method), explain(CAT, model=model, method=method, target="birch")

    assert torch.allclose(other.heatmap, own.heatmap, atol=1e-5)
    assert other.gains == pytest.approx(own.gains, abs=1e-6)
    assert (other.ingredients is None) == (own.ingredients is None)
    assert (other.method, other.layer, other.target) == (own.method, "conv", first.target)
    assert (other.source, other.image, other.card) == (first.source, first.image, None)
    assert 0 < other.passes <= own.passes
    assert other.check().questions[0].figures == pytest.approx(own.check().questions[0].figures, abs=1e-4)


def test_by_needs_the_network():
    """A pickled explanation has no network."""
    with pytest.raises(MethodError, match="has no network, because it was pickled"):
        pickle.loads(pickle.dumps(explain_small())).by("layer-cam")
    with pytest.raises(UnknownNameError, match="gradcam"):
        explain_small().by("gradcam")


def test_explanations_can_be_compared_hashed_and_pickled():
    """They can be found in a list, kept in a set and sent to another process."""
    one, other = explain_small(), explain_small()
    assert one in [other, one]
    assert len({one, other, one}) == 2
    assert torch.equal(pickle.loads(pickle.dumps(one)).heatmap, one.heatmap)


def test_save_writes_overlay_heatmap_and_facts(tmp_path):
    """Three files are named after image and method; the heatmap is exact, the overlay has the image's resolution."""
    explanation = explain_small(method="fusion-cam")
    paths = explanation.save(tmp_path / "new" / "out")
    assert [path.name for path in paths] == [f"chelsea.fusion-cam.{end}" for end in ("png", "npy", "json")]
    assert sorted(paths) == sorted((tmp_path / "new" / "out").iterdir())
    assert np.array_equal(np.load(paths[1]), explanation.heatmap.numpy())
    with Image.open(paths[0]) as overlay:
        assert overlay.size == explanation.whole.size == photo().size


def test_facts_are_complete_and_strict_json(tmp_path):
    """The file states the image, class, method, layer, network, preprocessing and versions."""
    explanation = explain_small("birch", "fusion-cam")
    facts = strict_json(explanation.save(tmp_path)[2].read_bytes())
    assert facts["image"] == str(CAT)
    assert (facts["model"], facts["method"], facts["layer"]) == ("sample", "fusion-cam", "act")
    assert (facts["target"], facts["label"]) == (1, "birch, white birch")
    assert facts["probability"] == pytest.approx(explanation.probability)
    assert facts["gains"] == pytest.approx(explanation.gains)
    assert facts["preprocessing"]["size"] == [32, 32]
    assert facts["schema_version"] == 1
    assert {"fusioncam", "torch", "python"} <= facts["versions"].keys()
    assert facts.items() >= json.loads(json.dumps(explanation.facts())).items()


def test_nan_is_not_written_to_json():
    """NaN is an error, not a file that other languages cannot read."""
    with pytest.raises(ValueError, match="nan"):
        to_json({"probability": float("nan")})


def test_the_caller_may_name_the_files(tmp_path):
    """A stem may use any script and contain dots."""
    assert [path.name for path in explain_small().save(tmp_path, "猫 v1.0")][:1] == ["猫 v1.0.png"]


def test_settings_of_a_method_are_escaped_in_file_names(tmp_path):
    """Parentheses and colons are replaced."""
    (first, *_) = explain_small(method="fusion-cam:official(theta=20)").save(tmp_path)
    assert first.name == "chelsea.fusion-cam_official_theta=20.png"


def test_saving_again_replaces_the_files(tmp_path):
    """A second save leaves the same three files and no temporary one."""
    explain_small(0).save(tmp_path, "x")
    explain_small(1).save(tmp_path, "x")
    assert strict_json((tmp_path / "x.json").read_bytes())["target"] == 1
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("folder", ["file/below", "file"])
def test_a_file_in_place_of_a_folder_is_reported(folder, tmp_path):
    """The error names the file, and no option of the command line."""
    (tmp_path / "file").write_text("I am in the way")
    with pytest.raises(OutputError, match=r"cannot write into .*file") as raised:
        explain_small().save(tmp_path / folder)
    assert "--out" not in str(raised.value)


@pytest.mark.parametrize("stem", ["a/b", "n" * 300])
def test_an_invalid_file_name_is_reported(stem, tmp_path):
    """A stem that the system rejects raises an error of the library and leaves no file."""
    with pytest.raises(OutputError, match="cannot write"):
        explain_small().save(tmp_path, stem)
    assert list(tmp_path.iterdir()) == []


def test_long_file_names_are_truncated(tmp_path):
    """A file name may have 255 bytes: names derived from it are truncated."""
    path = tmp_path / ("n" * 250 + ".png")
    corners().save(path)
    assert len(explain(path, model=samples.small(), method=FAST).save(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("grad-cam", "grad-cam"),
        ("../../etc/passwd", "etc_passwd"),
        ("a/b\\c:d*e?f", "a_b_c_d_e_f"),
        ("", "_"),
        ("...", "_"),
        ("猫 é", "猫_é"),
        ("x" * 500, "x" * 80),
    ],
)
def test_slugs_are_valid_file_names(text, name):
    """A slug has no separator, no leading dot, is not empty and not too long."""
    assert slug(text) == name


def test_labels_of_the_samples_match_their_network():
    """The network of the samples has as many classes as labels."""
    assert samples.small().logits(torch.zeros(1, 3, 32, 32)).shape == (1, len(LABELS))
