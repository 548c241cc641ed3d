"""What a benchmark is to do: read from words, refused where they make no sense, told apart from other plans."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fusioncam.benchmark.plan import (
    BASELINES,
    Plan,
    as_plan,
    differences,
    only_adds,
    only_adds_metrics,
    presets,
    stored_plan,
)
from fusioncam.errors import OutputError, ResultsError, UnknownNameError

PLAN = Plan("photos", methods=("grad-cam", *BASELINES), metrics=("increase",), limit=10)


def written(tmp_path, text):
    """Give a plan's file."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_word_of_a_file_is_heard(tmp_path):
    """The words are the options of the command line; what can be several may be one."""
    path = written(
        tmp_path,
        """
        data: ./photos/
        model: timm:resnet18
        method: [grad-cam, fusion-cam(theta=20)]
        metric: insertion(steps=20)
        layer: layer4
        target: label
        limit: 5
        seed: 3
        class-map: maps/../map.csv
        device: cpu
        precision: bfloat16
        keep-heatmaps: true
        """,
    )
    assert as_plan(path) == Plan(
        data="photos",
        models=("timm:resnet18",),
        methods=("grad-cam", "fusion-cam(theta=20)", "ones", "center", "random"),
        metrics=("insertion(steps=20)",),
        layer="layer4",
        target="label",
        limit=5,
        seed=3,
        class_map="map.csv",
        device="cpu",
        precision="bfloat16",
        keep_heatmaps=True,
    )


def test_alternatives_are_written_out_and_each_is_there_once():
    """A SPEC of several methods is several names; baselines come last, and none twice."""
    plan = as_plan(data="x", methods=["grad-cam(layer=a|b)", "random", "grad-cam(layer=a)"], metrics=["road", "road"])

    assert plan.methods == ("grad-cam(layer=a)", "grad-cam(layer=b)", "random", "ones", "center")
    assert plan.metrics == ("road",)


def test_options_override_the_file(tmp_path):
    """What is said on the command line counts, what is not is the file's."""
    path = written(tmp_path, "data: a\nmetric: [insertion]\nlimit: 5\nkeep-heatmaps: true")
    plan = as_plan(path, data="b", limit=7, seed=None, keep_heatmaps=False)

    assert (plan.data, plan.limit, plan.seed, plan.metrics) == ("b", 7, 0, ("insertion",))
    assert not plan.keep_heatmaps


@pytest.mark.parametrize(
    ("options", "layer"),
    [
        ({}, "blocks.6"),
        ({"models": ["efficientnet_lite0"]}, "blocks.6"),
        ({"models": ["timm:resnet18"]}, None),
        ({"models": ["timm:resnet18"], "layer": "layer3"}, "layer3"),
    ],
)
def test_a_layer_goes_with_the_model_that_it_was_said_of(options, layer):
    """Another model without a layer is explained at its own."""
    assert as_plan("paper", data="x", **options).layer == layer


@pytest.mark.parametrize("name", presets())
def test_presets_are_plans(name):
    """Every plan of the package is one, and asks for what there is."""
    plan = as_plan(name, data="x")

    assert {*BASELINES} < {*plan.methods}
    assert plan.metrics


def test_the_papers_plan_has_its_nine_methods_and_baselines():
    """The nine of the paper, and what they must at least beat."""
    assert presets() == ["paper", "paper-ablation", "quick"]
    assert as_plan("paper", data="x").methods == (
        *("grad-cam", "grad-cam++", "xgrad-cam", "score-cam", "group-cam"),
        *("ablation-cam", "is-cam", "union-cam", "fusion-cam", "ones", "center", "random"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method: [grad-cam", "is no YAML"),
        ("\tmethod: grad-cam", "is no YAML"),
        ("a: b: c", "is no YAML"),
        ("!!python/object/apply:os.system ['true']", "is no YAML"),
        (b"\xff\xfe\x00", "is no text"),
        ("", "has no words"),
        ("- grad-cam", "has no words"),
        ("just words", "has no words"),
        ("methods: [grad-cam]", "unknown key in the plan .*did you mean 'method'"),
        ("keep_heatmaps: true", "did you mean 'keep-heatmaps'"),
        ("1: 2", "'1' is no word"),
        ("seed: 1\nseed: 2", "says a word twice"),
        ("method: []", "method is a name or a list of names, got \\[\\]"),
        ("method: {grad-cam: 1}", "method is a name or a list"),
        ("method: [grad-cam, 3]", "method is a name or a list"),
        ("method: ['']", "method is a name or a list"),
        ("method: gradcam", "unknown method 'gradcam'; did you mean 'grad-cam'"),
        ("metric: insert", "unknown metric 'insert'; did you mean 'insertion'"),
        ("metric: insertion(step=3)", "insertion has no setting 'step'; did you mean 'steps'"),
        ("method: grad-cam(", "a '\\)' is missing"),
        ("limit: 0", "limit is a whole number from 1, got 0"),
        ("limit: true", "limit is a whole number from 1, got True"),
        ("limit: '5'", "limit is a whole number"),
        ("seed: -1", "seed is a whole number from 0"),
        ("seed: 1.5", "seed is a whole number from 0"),
        ("target: labels", "'labels' is no target. did you mean 'label'"),
        ("precision: half", "unknown precision 'half'"),
        ("keep-heatmaps: please", "keep-heatmaps is true or false"),
        ("layer: 3", "layer is a text"),
        ("data: [a, b]", "data is a text"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, text, message):
    """The message names the word, what was got, and what is near."""
    with pytest.raises(UnknownNameError, match=message):
        as_plan(written(tmp_path, text), **({} if "data" in str(text) else {"data": "x"}))


def test_what_is_no_file_and_no_preset_is_refused(tmp_path):
    """A near preset is named; a folder is no plan."""
    with pytest.raises(UnknownNameError, match=r"'papr' is not a plan .*did you mean 'paper'"):
        as_plan("papr", data="x")
    with pytest.raises(UnknownNameError, match="is no plan"):
        as_plan(tmp_path, data="x")
    with pytest.raises(UnknownNameError, match="is no plan"):
        as_plan("a\0b", data="x")


def test_options_are_checked_too():
    """What Python hands over is told as what a file says."""
    with pytest.raises(UnknownNameError, match="needs images"):
        as_plan("quick")
    with pytest.raises(UnknownNameError, match="'keep' is no setting of a plan"):
        as_plan(data="x", keep=True)
    with pytest.raises(UnknownNameError, match="metric is a name or a list"):
        as_plan(data="x", metrics=[])


def test_plans_are_told_apart_by_all_but_the_order_of_names():
    """The same names in another order are the same work."""
    assert PLAN.digest == replace(PLAN, methods=PLAN.methods[::-1]).digest
    others = [
        *(replace(PLAN, **{name: "other"}) for name in ("data", "layer", "class_map", "device", "precision")),
        *(replace(PLAN, **{name: ("other",)}) for name in ("models", "methods", "metrics")),
        *(replace(PLAN, target="label"), replace(PLAN, limit=None), replace(PLAN, seed=1)),
        replace(PLAN, keep_heatmaps=True),
    ]
    assert len({PLAN.digest, *(one.digest for one in others)}) == 1 + len(others)
    assert all(len(differences(PLAN, one)) == 1 for one in others)


def test_differences_say_what_was_and_what_is():
    """Names that came and went, and values before and after."""
    other = replace(PLAN, methods=("layer-cam", *BASELINES), layer="act", keep_heatmaps=True)

    assert differences(PLAN, other) == [
        "method: + layer-cam, - grad-cam",
        "layer: none -> act",
        "keep-heatmaps: false -> true",
    ]
    assert differences(PLAN, PLAN) == []


@pytest.mark.parametrize(
    ("changes", "adds", "metrics_alone"),
    [
        ({}, True, True),
        ({"metrics": ("increase", "road")}, True, True),
        ({"metrics": ("road",)}, False, False),
        ({"methods": ("layer-cam", *PLAN.methods)}, True, False),
        ({"models": ("efficientnet_lite0", "timm:resnet18")}, True, False),
        ({"limit": 11}, True, False),
        ({"limit": None}, True, False),
        ({"limit": 9}, False, False),
        ({"seed": 1}, False, False),
        ({"metrics": ("increase", "road"), "layer": "act"}, False, False),
    ],
)
def test_more_of_the_same_is_known(changes, adds, metrics_alone):
    """A plan that asks for all that another asks for, and more, or for more metrics alone."""
    other = replace(PLAN, **changes)

    assert (only_adds(PLAN, other), only_adds_metrics(PLAN, other)) == (adds, metrics_alone)
    assert not only_adds(replace(PLAN, limit=None), PLAN)


def test_a_plan_is_kept(tmp_path):
    """What is written is read again; other tools read it as JSON."""
    path = tmp_path / "plan.json"
    assert stored_plan(path) is None
    PLAN.save(path)

    assert stored_plan(path) == PLAN
    assert json.loads(path.read_text())["methods"] == list(PLAN.methods)
    with pytest.raises(OutputError, match="cannot write"):
        PLAN.save(tmp_path / "none" / "plan.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"digest": "x"}', '{"digest": "x", "data": "a", "new": 1}'])
def test_a_damaged_plan_is_told(tmp_path, text):
    """A file that is no plan is not taken for one, nor for none."""
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(ResultsError, match=r"plan\.json"):
        stored_plan(path)


def test_a_plan_that_was_changed_by_hand_is_told(tmp_path):
    """Rows would be said to be of what they are not."""
    path = tmp_path / "plan.json"
    PLAN.save(path)
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(ResultsError, match="changed by hand"):
        stored_plan(path)
