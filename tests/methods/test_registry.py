"""What users type becomes a method, or an error that says what is known and what is nearest."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fusioncam import METHODS
from fusioncam.errors import UnknownNameError
from fusioncam.methods.ablation import ReciproCAM
from fusioncam.methods.baselines import Ones
from fusioncam.methods.ensembles import Fuse
from fusioncam.methods.fusion import FusionCAM, UnionCAM
from fusioncam.methods.gradient import DenoisedGradCAM, GradCAM, LayerCAM
from fusioncam.methods.multi_layer import Multiscale, PolyCAM
from fusioncam.methods.registry import as_method, as_methods, expand, parse
from fusioncam.methods.score_cam import RISE, ScoreCAM
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
def test_specs_are_read(spec, method):
    """Names, presets, settings of all kinds and methods within methods."""
    assert parse(spec) == method


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("gradcam", "did you mean 'grad-cam'"),
        ("", "choose from cam"),
        ("fusion-cam(thata=20)", "did you mean 'theta'"),
        ("fusion-cam(20)", "write name=value"),
        ("fusion-cam(theta=ten)", "theta is a number"),
        ("fusion-cam(theta=200)", "percentile from 0 to 100"),
        ("fusion-cam(theta=20", "missing"),
        ("fusion-cam(theta=20))", "do not match"),
        ("fusion-cam(gradient=grad-cam(layer=a)", "missing"),
        ("fusion-cam(gradient=gradcam)", "did you mean 'grad-cam'"),
        ("fusion-cam(strict=perhaps)", "true, false"),
        ("score-cam(readout=logits)", "did you mean 'logit'"),
        ("rise(masks=1.5)", "masks is a whole number, got '1.5'"),
        ("rise(masks=0)", "masks is a whole number above 0, got 0"),
        ("ones(theta=1)", "'theta' is no setting of ones. It has none"),
        ("fuse(partners=[grad-cam])", "two methods or more"),
        ("fuse(rule=median)", "choose from fusion, union, meta, mean, max, product"),
        ("meta-cam(top=[200])", "between 0 and 100"),
    ],
)
def test_wrong_specs_are_told(spec, told):
    """The error says what is wrong and what would be right."""
    with pytest.raises(UnknownNameError, match=told):
        parse(spec)


@pytest.mark.parametrize(
    ("spec", "method"),
    [
        ("rise(masks=100, keep=0.3)", RISE(masks=100, keep=0.3)),
        ("score-cam(channels=7)", ScoreCAM(channels=7)),
        ("faster-score-cam(channels=none)", ScoreCAM()),
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
def test_settings_are_read_as_what_they_are(spec, method):
    """Whole numbers, fractions, nothing, lists, and methods among them."""
    assert parse(spec) == method


def test_alternatives_are_written_out():
    """The grid gradient x region is one line; lists and inner parentheses keep together."""
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
    with pytest.raises(UnknownNameError, match="asks for 2 methods"):
        as_method("grad-cam|score-cam")


def test_a_method_is_shown_by_the_name_it_was_typed_by():
    """Tables show a SPEC as typed, a known method by its name, any other by its repr."""
    assert as_method(" fusion-cam(theta=20)") == ("fusion-cam(theta=20)", FusionCAM(theta=20))
    assert as_method(FusionCAM()) == ("fusion-cam", FusionCAM())
    assert as_method(GradCAM(layer="a"))[0] == "GradCAM(layer='a')"


def test_a_class_is_not_a_method():
    """Who forgets the parentheses is told so."""
    with pytest.raises(UnknownNameError, match=r"GradCAM\(\)"):
        as_method(GradCAM)


def test_method_names_are_well_spelled():
    """Names are lower case words with hyphens, presets after one colon."""
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


def test_a_grammar_serves_any_registry():
    """Entries within entries, by the name of their kind, and alternatives."""
    assert CAKES.one("cake(layers=3, filling=cake:tall(sugar=0))") == (
        "cake(layers=3, filling=cake:tall(sugar=0))",
        Cake(3, Cake(5, sugar=0)),
    )
    assert [cake for _, cake in CAKES.many("cake:tall(sugar=0|1)")] == [Cake(5, sugar=0), Cake(5, sugar=1)]
    assert CAKES.one(Cake(5)) == ("cake:tall", Cake(5))
    assert CAKES.one("cake(filling=none)") == ("cake(filling=none)", Cake())


def test_a_registry_describes_its_entries():
    """A base by its docstring, a preset by what it changes, with the paper left out."""
    assert CAKES.described("cake") == "A cake"
    assert CAKES.described("cake:tall") == "cake with layers=5"
    assert CAKES.described("cake:same") == "the same as cake"
    assert CAKES.settings_of(Cake(5, Cake(1))) == ["layers=5", "filling=tart", "sugar=0.5"]
    assert CAKES.settings_of(len) == []


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("cage", r"'cage' is no cake\. did you mean 'cake'"),
        ("cake(layers=2", "cannot read the cake"),
        ("cake|tart", "asks for 2 cakes: eat one"),
        (Cake, r"a cake's name or a callable, got .*make an instance, Cake\(\)"),
        (3, "a cake's name or a callable, got 3"),
        ("cake(filling=pie)", "'pie' is no cake"),
    ],
)
def test_errors_name_the_kind(spec, told):
    """Whatever the registry holds."""
    with pytest.raises(UnknownNameError, match=told):
        CAKES.one(spec)
