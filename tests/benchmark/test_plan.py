"""Test plans: reading, validation, comparison and storage."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fusioncam.benchmark.plan import (
    BASELINES,
    Plan,
    as_plan,
    load_plan,
    presets,
)
from fusioncam.benchmark.plan_comparison import differences, only_adds, only_adds_metrics
from fusioncam.errors import OutputError, ResultsError, SettingError, UnknownNameError

PLAN = Plan("photos", methods=("grad-cam", *BASELINES), metrics=("increase",), limit=10)


def write_plan(tmp_path, text):
    """Write a plan and return its path."""
    path = tmp_path / "plan.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_key_of_a_file_is_read(tmp_path):
    """The keys are the options of the command line; a list may be a single name."""
    path = write_plan(
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


def test_alternatives_are_expanded_without_duplicates():
    """A SPEC with alternatives becomes several names; baselines are added at the end unless they are there."""
    plan = as_plan(data="x", methods=["grad-cam(layer=a|b)", "random", "grad-cam(layer=a)"], metrics=["road", "road"])

    assert plan.methods == ("grad-cam(layer=a)", "grad-cam(layer=b)", "random", "ones", "center")
    assert plan.metrics == ("road",)


def test_options_override_the_file(tmp_path):
    """Options of the command line override those of the file; others are the file's."""
    path = write_plan(tmp_path, "data: a\nmetric: [insertion]\nlimit: 5\nkeep-heatmaps: true")
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
def test_the_layer_of_a_preset_applies_to_its_own_model_only(options, layer):
    """Another model without a layer is explained at its default layer."""
    assert as_plan("paper", data="x", **options).layer == layer


@pytest.mark.parametrize("name", presets())
def test_presets_are_valid_plans(name):
    """Every preset can be read and has the baselines and metrics."""
    plan = as_plan(name, data="x")

    assert {*BASELINES} < {*plan.methods}
    assert plan.metrics


def test_the_papers_plan_has_its_nine_methods_and_baselines():
    """The preset has the nine methods of the paper and the baselines."""
    assert presets() == ["families", "localization", "paper", "paper-ablation", "quick", "retraining"]
    assert as_plan("paper", data="x").methods == (
        *("grad-cam", "grad-cam++", "xgrad-cam", "score-cam", "group-cam"),
        *("ablation-cam", "is-cam", "union-cam", "fusion-cam", "ones", "center", "random"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method: [grad-cam", "is not YAML"),
        ("\tmethod: grad-cam", "is not YAML"),
        ("a: b: c", "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        ("", "has no settings"),
        ("- grad-cam", "has no settings"),
        ("just words", "has no settings"),
        ("seed: 1\nseed: 2", "has a key twice, got seed, seed"),
        ("method: []", "method must be a name or a list of names, got \\[\\]"),
        ("method: {grad-cam: 1}", "method must be a name or a list"),
        ("method: [grad-cam, 3]", "method must be a name or a list"),
        ("method: ['']", "method must be a name or a list"),
        ("method: grad-cam(", "a '\\)' is missing"),
        ("limit: 0", "limit must be an integer of at least 1, got 0"),
        ("limit: true", "limit must be an integer of at least 1, got True"),
        ("limit: '5'", "limit must be an integer of at least 1, got '5'"),
        ("seed: -1", "seed must be an integer of at least 0"),
        ("seed: 1.5", "seed must be an integer of at least 0"),
        ("keep-heatmaps: please", "keep-heatmaps must be true or false"),
        ("layer: 3", "layer must be text"),
        ("data: [a, b]", "data must be a path"),
    ],
)
def test_bad_values_and_malformed_files_are_reported(tmp_path, text, message):
    """The message names the setting, what it must be and the value given."""
    with pytest.raises(SettingError, match=message):
        as_plan(write_plan(tmp_path, text), **({} if "data" in str(text) else {"data": "x"}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("methods: [grad-cam]", "unknown key in the plan .*did you mean 'method'"),
        ("keep_heatmaps: true", "did you mean 'keep-heatmaps'"),
        ("1: 2", "unknown key in the plan .* '1'"),
        ("method: gradcam", "unknown method 'gradcam'; did you mean 'grad-cam'"),
        ("metric: insert", "unknown metric 'insert'; did you mean 'insertion'"),
        ("metric: insertion(step=3)", "insertion has no setting 'step'; did you mean 'steps'"),
        ("target: labels", "unknown target 'labels'; did you mean 'label'"),
        ("precision: half", "unknown precision 'half'"),
    ],
)
def test_unknown_names_in_a_plan_are_reported(tmp_path, text, message):
    """The message suggests the nearest name."""
    with pytest.raises(UnknownNameError, match=message):
        as_plan(write_plan(tmp_path, text), data="x")


def test_an_unknown_plan_is_reported(tmp_path):
    """The nearest preset is suggested; a folder is not a plan."""
    with pytest.raises(UnknownNameError, match=r"'papr' is not a plan .*did you mean 'paper'"):
        as_plan("papr", data="x")
    with pytest.raises(UnknownNameError, match="is not a plan"):
        as_plan(tmp_path, data="x")
    with pytest.raises(UnknownNameError, match="is not a plan"):
        as_plan("a\0b", data="x")


def test_options_are_validated():
    """Options from Python have the same errors as those of a file."""
    with pytest.raises(SettingError, match="needs images"):
        as_plan("quick")
    with pytest.raises(UnknownNameError, match="unknown setting of a plan 'keep'"):
        as_plan(data="x", keep=True)
    with pytest.raises(SettingError, match="metric must be a name or a list"):
        as_plan(data="x", metrics=[])


def test_the_digest_depends_on_all_settings_but_not_on_the_order_of_names():
    """The same names in another order are the same plan."""
    assert PLAN.digest == replace(PLAN, methods=PLAN.methods[::-1]).digest
    others = [
        *(replace(PLAN, **{name: "other"}) for name in ("data", "layer", "class_map", "device", "precision")),
        *(replace(PLAN, **{name: ("other",)}) for name in ("models", "methods", "metrics")),
        *(replace(PLAN, target="label"), replace(PLAN, limit=None), replace(PLAN, seed=1)),
        replace(PLAN, keep_heatmaps=True),
    ]
    assert len({PLAN.digest, *(other.digest for other in others)}) == 1 + len(others)
    assert all(len(differences(PLAN, other)) == 1 for other in others)


def test_heatmaps_of_few_images_are_kept_by_default():
    """A plan of an earlier version, which kept none by default, is the same plan."""
    default = replace(PLAN, keep_heatmaps=None)
    assert [default.keeps_heatmaps(images) for images in (200, 201)] == [True, False]
    assert replace(PLAN, keep_heatmaps=True).keeps_heatmaps(201)
    assert not replace(PLAN, keep_heatmaps=False).keeps_heatmaps(1)
    assert default.digest == replace(PLAN, keep_heatmaps=False).digest
    assert only_adds(replace(PLAN, keep_heatmaps=False), default)


def test_differences_of_two_plans():
    """Lists have added and removed names; other settings have the values before and after."""
    other = replace(PLAN, methods=("layer-cam", *BASELINES), layer="act", keep_heatmaps=True)

    assert differences(PLAN, other) == [
        "method: + layer-cam, - grad-cam",
        "layer: none -> act",
        "keep-heatmaps: false -> true",
    ]
    assert differences(PLAN, PLAN) == []


@pytest.mark.parametrize(
    ("changes", "adds", "only_metrics"),
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
def test_plans_that_only_add_to_another(changes, adds, only_metrics):
    """A plan may add names, images, or metrics only."""
    other = replace(PLAN, **changes)

    assert (only_adds(PLAN, other), only_adds_metrics(PLAN, other)) == (adds, only_metrics)
    assert not only_adds(replace(PLAN, limit=None), PLAN)


def test_a_plan_is_stored(tmp_path):
    """A stored plan can be loaded, and is JSON for other tools."""
    path = tmp_path / "plan.json"
    assert load_plan(path) is None
    PLAN.save(path)

    assert load_plan(path) == PLAN
    assert json.loads(path.read_text())["methods"] == list(PLAN.methods)
    with pytest.raises(OutputError, match="cannot write"):
        PLAN.save(tmp_path / "none" / "plan.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"digest": "x"}', '{"digest": "x", "data": "a", "new": 1}'])
def test_a_damaged_plan_is_reported(tmp_path, text):
    """A file that is not a plan is an error, not a missing plan."""
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(ResultsError, match=r"plan\.json"):
        load_plan(path)


def test_a_plan_that_was_edited_by_hand_is_reported(tmp_path):
    """Its rows would no longer match it."""
    path = tmp_path / "plan.json"
    PLAN.save(path)
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(ResultsError, match="edited by hand"):
        load_plan(path)
