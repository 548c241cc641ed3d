"""Images become heatmaps that can be looked at, saved and traced back, and one that fails spoils no other."""

from __future__ import annotations

import itertools
import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import samples
from fusioncam import METHODS, ExplainedModel, Explanation, Preprocessing, explain, explain_each
from fusioncam.errors import (
    FlatHeatmapWarning,
    FusionCamError,
    ImageError,
    LayerError,
    MethodError,
    NonFiniteError,
    OutputError,
    ShapeError,
    TargetError,
    UnknownNameError,
    WeightsError,
)
from fusioncam.utils.files import to_json
from fusioncam.utils.text import slug
from samples import CAT, COFFEE, LABELS, ROCKET, corners, photo

PHOTOS = [CAT, COFFEE, ROCKET]
FAST = "grad-cam"


def strict(text: str | bytes) -> dict:
    """Read JSON as other languages do, to which NaN is no number."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in JSON"))


def of_small(target: int | str | None = None, method: str = FAST) -> Explanation:
    """Explain the cat by the network of the samples."""
    return explain(CAT, model=samples.small(), method=method, target=target)


# -- one image -----------------------------------------------------------------------------------------------


def test_an_explanation_knows_what_it_is_of(lite0):
    """Everything that made the heatmap is told with it."""
    explanation = explain(CAT, model=lite0, method=FAST)
    assert explanation.source == str(CAT)
    assert (explanation.method, explanation.model, explanation.layer) == (FAST, "efficientnet_lite0", "bn2")
    assert (explanation.target, explanation.label, explanation.class_name) == (282, "tiger cat", "tiger cat")
    assert 0.3 < explanation.probability < 0.5
    assert explanation.image.size == (263, 263)
    assert explanation.preprocessing == lite0.preprocessing
    assert explanation.passes >= 1
    assert explanation.seconds > 0


def test_a_heatmap_is_what_users_expect(lite0):
    """It has the input's size, is float32 on the CPU, spans [0, 1] and needs no gradient."""
    heatmap = explain(CAT, model=lite0, method=FAST).heatmap
    assert (heatmap.shape, heatmap.dtype, heatmap.device.type) == ((224, 224), torch.float32, "cpu")
    assert (heatmap.min(), heatmap.max()) == (0, 1)
    assert not heatmap.requires_grad


def test_the_cats_face_is_what_is_looked_at(lite0):
    """The map is upright and in place: the head, left of the middle and in the upper part, is warmest."""
    heatmap = explain(CAT, model=lite0, method=FAST).heatmap
    row, column = divmod(int(heatmap.argmax()), 224)
    assert 20 < row < 150
    assert 20 < column < 170
    turned = explain(photo().transpose(Image.Transpose.FLIP_LEFT_RIGHT), model=lite0, method=FAST).heatmap
    assert (heatmap - turned.flip(1)).abs().mean() < 0.1 < (heatmap - turned).abs().mean()


def test_files_images_and_arrays_give_the_same_map():
    """Where the pixels come from makes no difference."""
    sources = [CAT, str(CAT), photo(), np.asarray(photo())]
    first, *others = [explain(one, model=samples.small(), method=FAST) for one in sources]
    for other in others:
        assert torch.equal(first.heatmap, other.heatmap)
    assert [Path(one.source).name for one in others] == ["chelsea.png", "image", "ndarray"]


def test_a_image_that_was_opened_from_a_file_keeps_its_name():
    """PIL knows which file it opened: the explanation is called by it, and so are its files."""
    with Image.open(CAT) as image:
        assert Path(explain(image, model=samples.small(), method=FAST).source).name == "chelsea.png"


def test_the_default_is_the_default_model_and_fusion_cam(lite0, monkeypatch):
    """Who gives an image alone gets the built-in network and the method of the paper."""
    monkeypatch.setattr("fusioncam.explanations.explain.as_model", lambda *asked: samples.small())
    assert explain(CAT).method == "fusion-cam"
    monkeypatch.undo()
    assert explain(CAT, method=FAST).model == lite0.name


def test_the_result_is_the_methods_own(lite0):
    """The heatmap is what the method gives for the preprocessed image: nothing is added on the way."""
    x = lite0.preprocessing(photo())[None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = METHODS[FAST](lite0, x, torch.tensor([281]))[0]
    torch.testing.assert_close(explain(CAT, model=lite0, method=FAST, target=281).heatmap, expected)


# -- the target ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "index"),
    [(1, 1), ("1", 1), (" 1 ", 1), ("birch", 1), ("White BIRCH", 1), ("birch, white birch", 1), (0, 0), (4, 4)],
)
def test_targets_are_indices_or_names(target, index):
    """An index, an index as text, or a name in any case."""
    assert of_small(target).target == index


def test_the_prediction_is_the_default_and_other_classes_have_other_maps(lite0):
    """Nothing asked for is the best class; another class by name gives another map of the same image."""
    best, other = (explain(CAT, model=lite0, method=FAST, target=target) for target in (None, "tusker"))
    assert (best.target, other.target) == (282, 101)
    assert best.probability > 100 * other.probability
    assert (best.heatmap - other.heatmap).abs().mean() > 0.05


@pytest.mark.parametrize(
    "target", [np.int64(2), np.argmax([0, 1, 5, 2]), torch.tensor(2), torch.tensor([0, 0, 9]).argmax()]
)
def test_targets_of_numpy_and_torch_are_indices_too(target):
    """What argmax gives can be handed on as it is."""
    assert of_small(target).target == 2


@pytest.mark.parametrize("call", [explain, lambda image, **rest: list(explain_each([image], **fix(rest)))])
@pytest.mark.parametrize(
    ("target", "told"),
    [
        (5, "class 5 of 5 classes: give an index from 0 to 4"),
        (-1, "class -1 of 5 classes"),
        ("-1", "class -1 of 5 classes"),
        ("bitch", "did you mean 'birch'"),
        ("", "is no class"),
        ("top 3 classes", "is no class"),
        (1.5, "1.5"),
        (True, "bool|True"),
        ([1], r"\[1\]"),
        (b"elm", "elm"),
        (torch.tensor([1, 2]), "tensor"),
    ],
)
def test_wrong_targets_are_told(call, target, told):
    """A class that is not there, and things that are no class at all, are told with what was given."""
    with pytest.raises(TargetError, match=told):
        call(CAT, model=samples.small(), method=FAST, target=target)


def fix(settings: dict) -> dict:
    """Turn the settings of ``explain`` into those of ``explain_each``."""
    return settings | {"methods": [settings.pop("method")]}


def test_a_name_needs_class_names():
    """A network without class names is explained by index, and the error says how to give names."""
    nameless = samples.explained(samples.Small(), labels=None)
    with pytest.raises(TargetError, match=r"no class names: give an index"):
        explain(CAT, model=nameless, method=FAST, target="elm")
    explanation = explain(CAT, model=nameless, method=FAST, target=3)
    assert (explanation.label, explanation.class_name) == (None, "3")


def test_the_first_name_is_the_class_in_tables():
    """A class of several names goes by the first, and keeps them all."""
    explanation = of_small("white birch")
    assert (explanation.class_name, explanation.label) == ("birch", "birch, white birch")


def test_the_wrong_number_of_names_is_told():
    """Three names for five classes would name the wrong ones."""
    with pytest.raises(TargetError, match="3 class names for a network of 5 classes"):
        explain(CAT, model=samples.explained(samples.Small(), ("a", "b", "c")), method=FAST)


@pytest.mark.parametrize("target", ["top3", "top-3", "TOP3", " top3 "])
def test_the_best_classes_come_in_order(target):
    """top3 gives three maps of an image, of the most probable class first."""
    three = list(explain_each([CAT], model=samples.small(), methods=[FAST], target=target))
    probabilities = [one.probability for one in three]
    assert len({one.target for one in three}) == 3
    assert probabilities == sorted(probabilities, reverse=True)
    assert three[0].target == of_small().target


def test_several_classes_are_not_for_explain():
    """explain gives one map: the error names what gives several."""
    with pytest.raises(TargetError, match=r"explain_each\(\.\.\., target='top3'\)"):
        of_small("top3")
    assert of_small("top1").target == of_small().target


@pytest.mark.parametrize("target", ["top0", "top6", "top99999999999999999999"])
def test_more_classes_than_there_are_is_told(target):
    """The error says how many there are."""
    with pytest.raises(TargetError, match="ask for top1 to top5"):
        list(explain_each([CAT], model=samples.small(), methods=[FAST], target=target))


def test_a_class_may_be_called_like_a_request():
    """A class called 'topaz' or 'top hat' is found by its name."""
    model = samples.explained(samples.Small(), ("topaz", "top hat", "a", "b", "c"))
    assert explain(CAT, model=model, method=FAST, target="topaz").target == 0
    assert explain(CAT, model=model, method=FAST, target="top hat").target == 1


# -- many images ---------------------------------------------------------------------------------------------


def test_a_batch_gives_what_its_images_give_alone(lite0):
    """Three images at once: the same classes, probabilities and maps as one by one."""
    together = list(explain_each(PHOTOS, model=lite0, methods=[FAST], batch_size=3))
    alone = [explain(one, model=lite0, method=FAST) for one in PHOTOS]
    for one, other in zip(together, alone, strict=True):
        assert (one.source, one.target, one.label) == (other.source, other.target, other.label)
        assert one.probability == pytest.approx(other.probability, abs=1e-5)
        torch.testing.assert_close(one.heatmap, other.heatmap, atol=1e-3, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 10])
def test_the_order_is_image_class_method(batch_size):
    """Explanations come image by image, for each class, for each method, whatever the batch."""
    methods = [FAST, "score-cam"]
    found = explain_each(PHOTOS, model=samples.small(), methods=methods, target="top2", batch_size=batch_size)
    got = [(one.source, one.target, one.method) for one in found]
    classes = {source: list(dict.fromkeys(target for name, target, _ in got if name == source)) for source, *_ in got}
    assert got == [(str(one), target, method) for one in PHOTOS for target in classes[str(one)] for method in methods]
    assert all(len(targets) == 2 for targets in classes.values())


@pytest.mark.parametrize("method", ["fusion-cam", "union-cam", "score-cam"])
def test_ingredients_and_maps_of_a_batch_belong_to_their_image(method):
    """In a batch no image gets its neighbour's maps or gains."""
    model = samples.small()
    together = list(explain_each(PHOTOS, model=model, methods=[method], batch_size=3, target=1))
    for one, path in zip(together, PHOTOS, strict=True):
        alone = explain(path, model=model, method=method, target=1)
        torch.testing.assert_close(one.heatmap, alone.heatmap, atol=1e-4, rtol=0)
        assert one.gains == pytest.approx(alone.gains, abs=1e-5)


def test_images_are_taken_as_they_are_needed():
    """An endless stream of images is explained one after the other."""
    stream = explain_each(itertools.cycle(PHOTOS), model=samples.small(), methods=[FAST])
    assert [Path(next(stream).source).stem for _ in range(4)] == ["chelsea", "coffee", "rocket", "chelsea"]


def test_methods_share_what_they_have_in_common():
    """Fusion-CAM beside its own ingredients costs the passes of its gains alone: 4 for one image."""
    methods = [FAST, "score-cam", "fusion-cam"]
    shared = list(explain_each([CAT], model=samples.small(), methods=methods))
    assert shared[2].passes == 4
    assert explain(CAT, model=samples.small(), method="fusion-cam").passes > 4
    torch.testing.assert_close(shared[2].heatmap, of_small(method="fusion-cam").heatmap)


def test_no_images_give_no_explanations():
    """An empty list is no error."""
    assert list(explain_each([], model=samples.small(), methods=[FAST])) == []


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "2"])
def test_a_batch_size_is_a_number_of_images(batch_size):
    """Zero, a fraction and a text are told."""
    with pytest.raises(FusionCamError, match="batch_size"):
        list(explain_each([CAT], model=samples.small(), methods=[FAST], batch_size=batch_size))


@pytest.mark.parametrize("images", ["cat.jpg", CAT], ids=["text", "path"])
def test_one_path_in_place_of_many_is_told(images):
    """A text is not taken letter by letter: the error says that a list is wanted."""
    with pytest.raises(FusionCamError, match=r"list|several|explain\("):
        list(explain_each(images, model=samples.small(), methods=[FAST]))


def test_one_method_in_place_of_many_is_told():
    """A method's name is not taken letter by letter: the error says that a list is wanted."""
    with pytest.raises(FusionCamError, match="list"):
        list(explain_each([CAT], model=samples.small(), methods=FAST))


# -- methods and layers ----------------------------------------------------------------------------------------


def test_a_callable_is_a_method():
    """Whatever gives heatmaps is a method, without being registered; its name is short."""

    def middle(model: ExplainedModel, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return torch.eye(32).expand(len(x), 32, 32)

    explanation = explain(CAT, model=samples.small(), method=middle)
    assert torch.equal(explanation.heatmap, torch.eye(32))
    assert "middle" in explanation.method
    assert "0x" not in explanation.method


@pytest.mark.parametrize(
    "maps",
    [
        torch.rand(7),
        torch.rand(1, 8, 8),
        torch.rand(3, 32, 32),
        torch.full((1, 32, 32), torch.nan),
        torch.rand(1, 32, 32) * 50 - 20,
        None,
    ],
    ids=["shape", "size", "count", "nan", "range", "nothing"],
)
def test_what_a_callable_gives_is_checked(maps):
    """Maps of another shape, outside of [0, 1] or none at all are told instead of saved."""
    with pytest.raises(FusionCamError):
        explain(CAT, model=samples.small(), method=lambda model, x, target: maps)


@pytest.mark.parametrize(
    ("method", "told"), [("gradcam", "did you mean 'grad-cam'"), (None, "expected a method"), (type, "callable")]
)
def test_wrong_methods_are_told(method, told):
    """A wrong name is told with the nearest, and before the image is opened."""
    with pytest.raises(UnknownNameError, match=told):
        explain("no such image.jpg", model=samples.small(), method=method)


def test_a_wrong_method_is_told_when_it_is_given():
    """explain_each checks what it was given when it is called, not when the first result is taken."""
    with pytest.raises(UnknownNameError, match="did you mean 'grad-cam'"):
        explain_each([CAT], model=samples.small(), methods=["gradcam"])


def test_the_layer_can_be_chosen():
    """A layer by name is the one explained, and is told."""
    at_conv = explain(CAT, model=samples.small(), method=FAST, layer="conv")
    assert (at_conv.layer, of_small().layer) == ("conv", "act")
    assert not torch.equal(at_conv.heatmap, of_small().heatmap)


def test_a_methods_own_layer_is_told():
    """Where the method names its own layer, that is what the explanation tells."""
    assert of_small(method="grad-cam(layer=conv)").layer == "conv"


@pytest.mark.parametrize(
    ("make", "layer", "told"),
    [
        (samples.small, "cnv", "did you mean 'conv'"),
        (samples.small, "fc", "not feature maps"),
        (samples.twice, "act", "ran 2 times"),
    ],
)
def test_wrong_layers_are_told(make, layer, told):
    """A layer that is missing, gives no maps or runs twice is told by name."""
    with pytest.raises(LayerError, match=told) as caught:
        explain(CAT, model=make(), method=FAST, layer=layer)
    assert layer in str(caught.value)


# -- what goes wrong -------------------------------------------------------------------------------------------


def test_without_on_error_the_first_failure_is_raised():
    """The error says which image, and what was good before it was given."""
    found = explain_each([CAT, "nope.png", COFFEE], model=samples.small(), methods=[FAST])
    assert next(found).source == str(CAT)
    with pytest.raises(ImageError, match=r"nope\.png: no such file") as caught:
        next(found)
    assert "image: nope.png, model: sample" in caught.value.explained()


def test_what_is_good_before_a_failure_is_given_in_batches_too():
    """A batch does not swallow the image before the one that fails."""
    found = explain_each([CAT, "nope.png"], model=samples.small(), methods=[FAST], batch_size=2)
    assert next(found).source == str(CAT)
    with pytest.raises(ImageError):
        next(found)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4])
def test_one_bad_image_spoils_no_other(batch_size):
    """With on_error the bad ones are handed over with their errors, and the good ones come as they would alone."""
    failures = []
    images = [CAT, "nope.png", corners(), np.zeros((4, 4)), COFFEE]
    found = explain_each(
        images,
        model=samples.small(),
        methods=[FAST],
        batch_size=batch_size,
        on_error=lambda image, error: failures.append((image, type(error))),
    )
    good = list(found)
    assert [Path(one.source).stem for one in good] == ["chelsea", "image", "coffee"]
    assert [kind for _, kind in failures] == [ImageError, ImageError]
    assert failures[0][0] == "nope.png"
    assert failures[1][0] is images[3]
    torch.testing.assert_close(good[0].heatmap, of_small().heatmap, atol=1e-4, rtol=0)


def test_errors_of_the_network_are_handed_over_too():
    """User code may raise anything: it is handed over as it is, image by image."""
    failures = []
    found = explain_each(
        PHOTOS, model=samples.broken(), methods=[FAST], on_error=lambda image, error: failures.append(error)
    )
    assert list(found) == []
    assert [str(error) for error in failures] == ["'weights of the attention'"] * 3


def test_ctrl_c_is_not_taken_for_a_bad_image():
    """An interruption goes through, on_error or not."""

    def stop(model: ExplainedModel, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(explain_each([CAT], model=samples.small(), methods=[stop], on_error=lambda image, error: None))


@pytest.mark.parametrize("method", [FAST, "score-cam", "fusion-cam"])
@pytest.mark.parametrize("target", [None, 0, 1])
@pytest.mark.parametrize("make", [samples.nan, samples.nan_first])
def test_a_network_that_gives_nan_is_told(make, target, method):
    """NaN anywhere in the scores makes every probability NaN: it is an error, not a map with NaN in its facts."""
    with pytest.raises(NonFiniteError, match=r"(?i)nan"):
        explain(CAT, model=make(), method=method, target=target)


def test_a_constant_map_is_warned_of_and_zero():
    """A network that sees nothing gives zeros and a warning that names the image."""
    with pytest.warns(FlatHeatmapWarning) as caught:
        explanation = explain(CAT, model=samples.flat(), method=FAST)
    assert not explanation.heatmap.any()
    assert "chelsea.png" in str(caught[0].message)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        ("nope.png", ImageError),
        (np.zeros((8, 8)), ImageError),
        (torch.zeros(3, 8, 8), ImageError),
        (None, ImageError),
    ],
    ids=["missing", "float", "tensor", "None"],
)
def test_wrong_images_are_told(image, error):
    """What is no image is an error of the library."""
    with pytest.raises(error):
        explain(image, model=samples.small(), method=FAST)


def test_a_network_that_gives_no_row_of_scores_is_told():
    """A network of dictionaries is told to be wrapped."""

    class Wrapped(samples.Small):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": super().forward(x)}

    with pytest.raises(ShapeError, match="wrap it so that a row of scores comes out"):
        explain(CAT, model=Wrapped(), method=FAST)


def test_an_unknown_model_is_told():
    """The name of a model that does not exist is told before the image is opened."""
    with pytest.raises(UnknownNameError, match="is no model"):
        explain("no such image.jpg", model="efficientnet_lite9")
    with pytest.raises((WeightsError, UnknownNameError)):
        explain("no such image.jpg", model="samples:fails")


def test_a_grey_network_is_explained():
    """A network of one channel is explained on colour photographs."""
    grey = ExplainedModel(
        samples.Small(channels=1), preprocessing=Preprocessing((32, 32), 32, mean=(0.5,), std=(0.5,))
    )
    explanation = explain(CAT, model=grey, method="fusion-cam")
    assert explanation.heatmap.shape == (32, 32)
    assert explanation.image.mode == "RGB"


@pytest.mark.parametrize("size", [(2, 2), (3, 500), (2000, 40)])
def test_images_of_odd_sizes_are_explained(size):
    """Tiny and very long images give a map of the input's size and an overlay of the view's."""
    explanation = explain(photo(size=size), model=samples.small(), method=FAST)
    assert explanation.heatmap.shape == (32, 32)
    assert explanation.overlay().size == explanation.image.size


def test_the_network_is_left_as_it_was():
    """Training flags, gradients and weights of the caller's network are not touched."""
    network = samples.Small().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    explain(CAT, model=network, method=FAST)
    assert all(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


# -- what a fusion was made of ---------------------------------------------------------------------------------


def test_a_fusion_carries_its_ingredients():
    """Fusion-CAM's maps and gains come along, each of the heatmap's size, on the CPU, without a batch side."""
    explanation = of_small(method="fusion-cam")
    made = explanation.ingredients
    for one in (made.heatmaps, made.denoised, made.region, made.union):
        assert (one.shape, one.device.type) == (explanation.heatmap.shape, "cpu")
    assert torch.equal(made.heatmaps, explanation.heatmap)
    torch.testing.assert_close(made.region, of_small(method="score-cam").heatmap)
    assert explanation.gains.keys() == {"denoised", "region", "union"}
    assert all(isinstance(gain, float) for gain in explanation.gains.values())


def test_gains_are_differences_of_probabilities():
    """The gain of the region map is the probability seen through it less that of the empty image."""
    model = samples.small()
    explanation = explain(CAT, model=model, method="fusion-cam", target=2)
    x = model.preprocessing(photo())[None]
    masks = torch.stack([torch.zeros(1, 32, 32), explanation.ingredients.region[None]])
    empty, seen = model.masked_scores(x, masks, 2, readout="probability")[:, 0]
    assert explanation.gains["region"] == pytest.approx(float(seen - empty), abs=1e-6)


def test_other_methods_have_no_gains():
    """Where nothing was fused there is nothing to tell."""
    explanation = of_small()
    assert explanation.ingredients is None
    assert explanation.gains == {}


# -- looking and saving ----------------------------------------------------------------------------------------


def test_an_overlay_is_red_where_the_map_is_one_and_blue_where_it_is_zero():
    """The colours say what they are said to, and opacity 0 shows the image alone."""
    explanation = of_small()
    overlay = np.asarray(explanation.overlay(1.0)).astype(int)
    large = np.asarray(Image.fromarray(explanation.heatmap.numpy()).resize(explanation.image.size, 2))
    hot, cold = overlay[large > 0.97], overlay[large < 0.03]
    assert (hot[:, 0] > hot[:, 2] + 60).all()
    assert (cold[:, 2] > cold[:, 0] + 60).all()
    assert np.array_equal(np.asarray(explanation.overlay(0.0)), np.asarray(explanation.image))


@pytest.mark.parametrize("opacity", [-0.1, 1.1, 50])
def test_an_opacity_is_a_share(opacity):
    """50 in place of 0.5 does not give an image of overflown colours."""
    with pytest.raises(FusionCamError, match="opacity"):
        of_small().overlay(opacity)


def test_notebooks_show_the_overlay():
    """The object shows itself as a PNG of its overlay."""
    content = of_small()._repr_png_()
    assert content.startswith(b"\x89PNG")


def test_an_explanation_prints_shortly():
    """In a terminal the object is a line, not a thousand numbers."""
    shown = repr(of_small(method="fusion-cam"))
    assert len(shown) < 500
    assert "fusion-cam" in shown


@pytest.mark.parametrize("method", ["layer-cam", "fusion-cam(theta=30)", METHODS["score-cam"]])
def test_another_method_explains_the_same(method):
    """The image is not opened again, class and layer stay, and what it cost is its own."""
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


def test_another_method_needs_the_network():
    """Which a pickled explanation has not."""
    with pytest.raises(MethodError, match="network is not with it"):
        pickle.loads(pickle.dumps(of_small())).by("layer-cam")
    with pytest.raises(UnknownNameError, match="gradcam"):
        of_small().by("gradcam")


def test_explanations_can_be_compared_hashed_and_pickled():
    """They can be looked for in a list, kept in a set and sent to another process."""
    one, other = of_small(), of_small()
    assert one in [other, one]
    assert len({one, other, one}) == 2
    assert torch.equal(pickle.loads(pickle.dumps(one)).heatmap, one.heatmap)


def test_save_writes_overlay_map_and_facts(tmp_path):
    """Three files, named by image and method; the map is exact and the overlay has the image's resolution."""
    explanation = of_small(method="fusion-cam")
    paths = explanation.save(tmp_path / "new" / "out")
    assert [path.name for path in paths] == [f"chelsea.fusion-cam.{end}" for end in ("png", "npy", "json")]
    assert sorted(paths) == sorted((tmp_path / "new" / "out").iterdir())
    assert np.array_equal(np.load(paths[1]), explanation.heatmap.numpy())
    with Image.open(paths[0]) as overlay:
        assert overlay.size == explanation.image.size


def test_facts_are_complete_and_strict_json(tmp_path):
    """Which image, class, method, layer, network, pixels and versions made the map is in the file."""
    explanation = of_small("birch", "fusion-cam")
    facts = strict(explanation.save(tmp_path)[2].read_bytes())
    assert facts["image"] == str(CAT)
    assert (facts["model"], facts["method"], facts["layer"]) == ("sample", "fusion-cam", "act")
    assert (facts["target"], facts["label"]) == (1, "birch, white birch")
    assert facts["probability"] == pytest.approx(explanation.probability)
    assert facts["gains"] == pytest.approx(explanation.gains)
    assert facts["preprocessing"]["size"] == [32, 32]
    assert facts["schema_version"] == 1
    assert {"fusioncam", "torch", "python"} <= facts["versions"].keys()
    assert facts.items() >= json.loads(json.dumps(explanation.facts())).items()


def test_facts_that_are_no_numbers_are_not_written():
    """A NaN that came so far is an error, not a file that other languages cannot read."""
    with pytest.raises(ValueError, match="nan"):
        to_json({"probability": float("nan")})


def test_names_of_files_are_the_callers(tmp_path):
    """A stem of one's own is taken, also in another script and with dots."""
    assert [path.name for path in of_small().save(tmp_path, "猫 v1.0")][:1] == ["猫 v1.0.png"]


def test_a_setting_in_the_method_is_fit_for_a_file_name(tmp_path):
    """Parentheses and colons do not come into file names."""
    (first, *_) = of_small(method="fusion-cam:official(theta=20)").save(tmp_path)
    assert first.name == "chelsea.fusion-cam_official_theta=20.png"


def test_saving_again_replaces(tmp_path):
    """A second save leaves the same three files and no half one."""
    of_small(0).save(tmp_path, "x")
    of_small(1).save(tmp_path, "x")
    assert strict((tmp_path / "x.json").read_bytes())["target"] == 1
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("folder", ["file/below", "file"])
def test_a_folder_that_cannot_be_is_told(folder, tmp_path):
    """A file in the way is told by name, in words that fit a caller in Python."""
    (tmp_path / "file").write_text("I am in the way")
    with pytest.raises(OutputError, match=r"cannot write into .*file") as caught:
        of_small().save(tmp_path / folder)
    assert "--out" not in str(caught.value)


@pytest.mark.parametrize("stem", ["a/b", "n" * 300])
def test_a_name_that_cannot_be_is_told(stem, tmp_path):
    """A stem that the system does not take is the library's own error, and leaves nothing behind."""
    with pytest.raises(OutputError, match="cannot write"):
        of_small().save(tmp_path, stem)
    assert list(tmp_path.iterdir()) == []


def test_a_long_name_of_a_image_can_be_saved(tmp_path):
    """A file name may have 255 bytes: what is made from it is cut, not refused."""
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
def test_slugs_are_fit_for_file_names(text, name):
    """No separator, no leading dot, never empty, not too long."""
    assert slug(text) == name


def test_labels_of_the_samples_fit():
    """The samples' own network has as many classes as names."""
    assert samples.small().logits(torch.zeros(1, 3, 32, 32)).shape == (1, len(LABELS))
