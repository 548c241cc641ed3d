"""SPECs of methods, as users type them, and their errors."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fusioncam import METHODS
from fusioncam.errors import InputTypeError, SettingError, UnknownNameError
from fusioncam.methods.ablation import ReciproCAM
from fusioncam.methods.baselines import Ones
from fusioncam.methods.black_box import RISE
from fusioncam.methods.ensembles import Fuse
from fusioncam.methods.fusion import FusionCAM, UnionCAM
from fusioncam.methods.gradient import DenoisedGradCAM, GradCAM, LayerCAM
from fusioncam.methods.multi_layer import Multiscale, PolyCAM
from fusioncam.methods.registry import as_method, as_methods, expand, parse
from fusioncam.methods.score_cam import ScoreCAM
from fusioncam.methods.smoothing import ExpectedGradients
from fusioncam.utils.spec_grammar import Specs


@pytest.mark.parametrize(
    ("spec", "method"),
    [
        ("grad-cam", GradCAM()),
        (" fusion-cam ", FusionCAM()),
        ("fusion-cam()", FusionCAM()),
        ("fusion-cam(theta=20)", FusionCAM(theta=20)),
        ("fusion-cam( theta = 20 , strict = true )", FusionCAM(theta=20, strict=True)),
        ("grad-cam(layer=features.0)", GradCAM(layer="features.0")),
        ("score-cam(softmax=False, readout=probability)", ScoreCAM(softmax=False, readout="probability")),
        ("union-cam(gradient=grad-cam)", UnionCAM(gradient=GradCAM())),
        ("fusion-cam:official(theta=5)", FusionCAM(gains="official", theta=5)),
        (
            "fusion-cam(gradient=denoised-grad-cam(theta=50), region=score-cam(readout=probability, fill=black))",
            FusionCAM(DenoisedGradCAM(theta=50), ScoreCAM(readout="probability", fill="black")),
        ),
        (
            "fusion-cam(region=fusion-cam(region=score-cam:xplaincam))",
            FusionCAM(region=FusionCAM(region=METHODS["score-cam:xplaincam"])),
        ),
    ],
)
def test_spec_is_parsed(spec, method):
    """A SPEC may hold a name, a preset, settings of all types and nested methods."""
    assert parse(spec) == method


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("gradcam", UnknownNameError, "did you mean 'grad-cam'"),
        ("", UnknownNameError, "choose from cam"),
        ("fusion-cam(thata=20)", UnknownNameError, "did you mean 'theta'"),
        ("fusion-cam(20)", ValueError, "write name=value"),
        ("fusion-cam(theta=ten)", SettingError, "theta must be a number"),
        ("fusion-cam(theta=200)", SettingError, "percentile between 0 and 100, got 200"),
        ("fusion-cam(theta=20", SettingError, "missing"),
        ("fusion-cam(theta=20))", SettingError, "do not match"),
        ("fusion-cam(gradient=grad-cam(layer=a)", SettingError, "missing"),
        ("fusion-cam(gradient=gradcam)", UnknownNameError, "did you mean 'grad-cam'"),
        ("fusion-cam(strict=perhaps)", UnknownNameError, "true, false"),
        ("score-cam(readout=logits)", UnknownNameError, "did you mean 'logit'"),
        ("rise(masks=1.5)", SettingError, "masks must be .*, got '1.5'"),
        ("rise(masks=0)", SettingError, "masks must be a positive integer, got 0"),
        ("ones(theta=1)", UnknownNameError, "ones has no setting 'theta'; it has no settings"),
        ("fuse(partners=[grad-cam])", SettingError, "at least two methods"),
        ("fuse(rule=median)", UnknownNameError, "unknown rule 'median'; choose from"),
        ("meta-cam(top=[200])", SettingError, "between 0 and 100"),
    ],
)
def test_wrong_spec_is_reported(spec, error, message):
    """The error says what is wrong and what is valid."""
    with pytest.raises(error, match=message):
        parse(spec)


@pytest.mark.parametrize(
    ("spec", "method"),
    [
        ("rise(masks=100, keep=0.3)", RISE(masks=100, keep=0.3)),
        ("score-cam(channels=7)", ScoreCAM(channels=7)),
        ("faster-score-cam(channels=none)", ScoreCAM()),
        ("expected-gradients(references=noise)", ExpectedGradients()),
        ("poly-cam(layers=[stem, blocks.4])", PolyCAM(layers=("stem", "blocks.4"))),
        ("fusion-cam:multiscale(weights=[1, 0.5], finer=grad-cam)", Multiscale(finer=GradCAM(), weights=(1, 0.5))),
        (
            "fuse(partners=[grad-cam, score-cam(readout=probability), ones], rule=max)",
            Fuse((GradCAM(), ScoreCAM(readout="probability"), Ones()), "max"),
        ),
        (
            "fusion-cam(gradient=layer-cam(layer=blocks.4), region=recipro-cam, theta=20)",
            FusionCAM(LayerCAM("blocks.4"), ReciproCAM(), 20),
        ),
    ],
)
def test_setting_has_the_type_of_its_field(spec, method):
    """Integers, floats, None, lists and nested methods."""
    assert parse(spec) == method


def test_alternatives_are_expanded():
    """One SPEC describes the grid gradient x region; lists and inner parentheses are not split."""
    grid = "fusion-cam(gradient=grad-cam|layer-cam, region=score-cam|group-cam(groups=8|16))"

    assert [name for name, _ in as_methods(grid)] == [
        f"fusion-cam(gradient={gradient}, region={region})"
        for gradient in ("grad-cam", "layer-cam")
        for region in ("score-cam", "group-cam(groups=8)", "group-cam(groups=16)")
    ]
    assert expand("grad-cam | score-cam") == ["grad-cam", "score-cam"]
    assert expand("fuse(partners=[grad-cam, cam], rule=max|mean)") == [
        "fuse(partners=[grad-cam, cam], rule=max)",
        "fuse(partners=[grad-cam, cam], rule=mean)",
    ]
    with pytest.raises(SettingError, match="names 2 methods"):
        as_method("grad-cam|score-cam")


def test_name_of_a_method_is_its_spec():
    """The name is the SPEC as typed, the name of a known method, or the repr of any other."""
    assert as_method(" fusion-cam(theta=20)") == ("fusion-cam(theta=20)", FusionCAM(theta=20))
    assert as_method(FusionCAM()) == ("fusion-cam", FusionCAM())
    assert as_method(GradCAM(layer="a"))[0] == "GradCAM(layer='a')"


def test_class_instead_of_instance_is_reported():
    """The error shows the call with parentheses."""
    with pytest.raises(InputTypeError, match=r"GradCAM\(\)"):
        as_method(GradCAM)


def test_method_names_are_lower_case_words():
    """Words are joined by hyphens; a preset follows a colon."""
    for name in METHODS:
        assert name == name.strip().lower()
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-+:")


# -- any registry --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cake:
    """A cake (Baker 1900). With layers."""

    layers: int = 2
    filling: Cake | None = None
    sugar: float = 0.5

    def __call__(self):
        """Be eaten."""


CAKES = Specs("cake", {"cake": Cake(), "cake:tall": Cake(5), "cake:same": Cake(), "tart": Cake(1)}, "eat one")


def test_specs_work_with_any_registry():
    """Also nested entries and alternatives."""
    assert CAKES.one("cake(layers=3, filling=cake:tall(sugar=0))") == (
        "cake(layers=3, filling=cake:tall(sugar=0))",
        Cake(3, Cake(5, sugar=0)),
    )
    assert [cake for _, cake in CAKES.many("cake:tall(sugar=0|1)")] == [Cake(5, sugar=0), Cake(5, sugar=1)]
    assert CAKES.one(Cake(5)) == ("cake:tall", Cake(5))
    assert CAKES.one("cake(filling=none)") == ("cake(filling=none)", Cake())


def test_entries_are_described():
    """A base by its docstring without the paper, a preset by the settings that it changes."""
    assert CAKES.described("cake") == "A cake"
    assert CAKES.described("cake:tall") == "cake with layers=5"
    assert CAKES.described("cake:same") == "the same as cake"
    assert CAKES.settings_of(Cake(5, Cake(1))) == ["layers=5", "filling=tart", "sugar=0.5"]
    assert CAKES.settings_of(len) == []


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("cage", UnknownNameError, "unknown cake 'cage'; did you mean 'cake'"),
        ("cake(layers=2", SettingError, "cannot read the cake"),
        ("cake|tart", SettingError, "names 2 cakes: eat one"),
        (Cake, InputTypeError, r"the name of a cake or a callable, got .*make an instance, Cake\(\)"),
        (3, InputTypeError, "the name of a cake or a callable, got 3"),
        ("cake(filling=pie)", UnknownNameError, "unknown cake 'pie'"),
    ],
)
def test_errors_name_the_kind_of_entry(spec, error, message):
    """Messages of any registry name what it holds."""
    with pytest.raises(error, match=message):
        CAKES.one(spec)
