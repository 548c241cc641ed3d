"""The arithmetic and the stored results of `benchmarks/`; nothing is measured here."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch

import samples

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import cost  # noqa: E402
import figures  # noqa: E402
import harness  # noqa: E402
import meta  # noqa: E402
import peers  # noqa: E402
import speed  # noqa: E402
import tables  # noqa: E402
from fusioncam import METHODS  # noqa: E402
from fusioncam.errors import FusionCamError  # noqa: E402
from fusioncam.methods.score_cam import ScoreCAM, most_varied  # noqa: E402
from fusioncam.metrics.curves import area  # noqa: E402
from subjects import SUBJECTS, ablation, curves, gradient, networks  # noqa: E402
from subjects.budget import Budget  # noqa: E402
from subjects.exact import COMPILED, OPENVINO, OURS, PEERS, Exact  # noqa: E402
from subjects.networks import Networks  # noqa: E402

STORED = sorted(meta.RESULTS.glob("**/*.json"))
GRADCAM, TORCHCAM = PEERS


@pytest.mark.parametrize("path", STORED, ids=lambda path: str(path.relative_to(meta.RESULTS)))
def test_stored_results_are_consistent(path):
    """Every stored file is complete, belongs to the subject in its name, and its figures follow from its rows."""
    result = json.loads(path.read_text())

    assert meta.problems(result) == []
    assert result["subject"] == path.stem
    known = {field.name for field in dataclasses.fields(SUBJECTS[path.stem])}
    given = {name: value for name, value in result["settings"].items() if name in known - {"images"}}
    frozen = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    again = SUBJECTS[path.stem](**frozen).figures(result["rows"])
    assert [one["what"] for one in again] == [one["what"] for one in result["figures"]]
    for one, stored in zip(again, result["figures"], strict=True):
        assert one["median"] == pytest.approx(stored["median"], rel=1e-9)
        assert one["met"] == stored["met"]


def result(**changes):
    """Return a small valid result."""
    rows = [{"image": "cat", "setup": {OURS: 1.0}, "seconds": {OURS: 2.0, GRADCAM: 9.0}}]
    facts = {name: kind() if isinstance(kind, type) else kind[0]() for name, kind in meta.METADATA.items()}
    facts |= {"versions": {"torch": "2"}, "load_before": 0.5, "load_after": 0.5}
    kept = {"planned": 1, "images": 1, "complete": True, "rows": rows, "settings": {}}
    named = {"schema_version": meta.SCHEMA_VERSION, "subject": "exact", "what": "seconds", "metadata": facts}
    return named | kept | {"figures": [figures.figure("times", [4.5], aims={"median": ">= 4"})]} | changes


def test_valid_result_has_no_problems():
    """The example satisfies the schema."""
    assert meta.problems(result()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 2}, "2 images, and 1 rows"),
        ({"planned": 3}, "complete does not match"),
        ({"schema_version": 1}, "schema_version is 1"),
        ({"rows": [{}]}, "row 0 names no image"),
        ({"settings": []}, "settings is not a dict"),
        ({"metadata": {}}, "metadata.commit is missing"),
        ({"metadata": result()["metadata"] | {"threads": "two"}}, "metadata.threads is 'two'"),
        ({"figures": [{"what": "times"}]}, "times: unit is missing"),
        ({"figures": [figures.figure("times", [1.0]) | {"met": True}]}, "met is True, by its aims it is None"),
        ({"figures": [figures.figure("times", [1.0]) | {"median": 9.0}]}, "out of order"),
        ({"figures": [figures.figure("times", [1.0]) | {"count": "1"}]}, "count is '1', not int"),
        ({"figures": [figures.figure("times", [1.0]) | {"extra": 1}]}, "extra is not known"),
    ],
)
def test_problems_of_a_result_are_reported(changes, message):
    """Each rule of the schema is checked."""
    assert any(message in problem for problem in meta.problems(result(**changes)))


def test_a_figure_of_three_numbers():
    """Median, lowest, highest and mean ignore missing values."""
    told = figures.figure("times", [4, None, 1, 7], "x", aims={"median": ">= 4", "lowest": ">= 2"})

    assert [told[name] for name in ("count", "median", "lowest", "highest", "mean")] == [3, 4, 1, 7, 4]
    assert told["met"] is False
    assert figures.figure("times", [2, 3], aims={"lowest": ">= 2"})["met"] is True
    assert figures.figure("nothing", [], aims={"median": ">= 4"})["met"] is None
    assert figures.figure("no aim", [1])["met"] is None


@pytest.mark.parametrize(
    ("value", "aim", "holds"),
    [
        (4, ">= 4", True),
        (3.9, ">= 4", False),
        (400, "<= 400", True),
        (401, "<= 400", False),
        ([-1, 2], "in 0", True),
        ([0.1, 2], "in 0", False),
        ([-2, -0.1], "in 0", False),
    ],
)
def test_aims(value, aim, holds):
    """An aim is a comparison that includes its bound."""
    assert figures.holds(value, aim) is holds


ROWS = [
    {"seconds": {"a": 6.0, "b": 2.0}, "agrees": {"a": True}},
    {"seconds": {"a": 8.0, "b": 1.0}, "agrees": {"a": True}},
    {"seconds": {"a": 99.0, "b": 1.0}, "agrees": {"a": False}},
    {"seconds": {"b": 5.0}, "agrees": {}},
]


def test_ratios_are_of_one_image_and_of_equal_maps():
    """An image without the peer, or with another map of it, has no ratio."""
    assert figures.ratios(ROWS, "a", "b") == [3, 8]
    assert figures.whole_ratio(ROWS, "a", "b") == 14 / 3
    assert figures.whole_ratio(ROWS, "a", "b", setup=4) == 2
    assert figures.whole_ratio(ROWS[2:], "a", "b") is None


def test_correlation():
    """1 for the same shape of map, -1 upside down, None for a constant or broken one."""
    up = torch.tensor([[0.0, 1.0], [2.0, 3.0]])

    assert figures.correlation(up, 5 * up + 1) == pytest.approx(1)
    assert figures.correlation(up, -up) == pytest.approx(-1)
    assert figures.correlation(up, torch.ones(2, 2)) is None
    assert figures.correlation(up, up * torch.nan) is None
    with pytest.raises(ValueError, match="4 and 1 pixels"):
        figures.correlation(up, up[:1, :1])


def test_intervals():
    """The interval of a mean holds it, is the same at every call, and shrinks to a point where all are equal."""
    values = [0.1, -0.2, 0.3, 0.05, 0.0, None, 0.12]

    low, high = figures.interval(values, seed=1)

    assert low < sum(filter(None, values)) / 6 < high
    assert [low, high] == figures.interval(values, seed=1)
    assert figures.interval([0.5, 0.5, 0.5]) == [0.5, 0.5]
    assert figures.interval([0.5]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (5.678, "5.68"),
        (367.2, "367"),
        (12345.6, "12,346"),
        (2.2e-7, "2.2e-07"),
        (0.9994, "0.9994"),
        (0.999999999, "1.000000"),
        (1, "1"),
        (-0.0123, "-0.0123"),
        (-367.2, "-367"),
    ],
)
def test_numbers_are_short(value, text):
    """About three digits, more of them near 1."""
    assert figures.number(value) == text


def test_figures_in_words():
    """A spread where there is one, the interval where that counts, and nothing for nothing."""
    assert figures.shown(figures.figure("", [1, 2, 4], "s")) == "2 s (1 to 4)"
    assert figures.shown(figures.figure("", [3])) == "3"
    assert figures.shown(figures.figure("", [1, 2], interval=[0.5, 2.5])) == "mean 1.5, 95 % interval 0.5 to 2.5"
    assert figures.shown(figures.figure("", [])) == "not measured"


def test_exact_includes_one_time_work():
    """Ratios are the images' own, the whole one has the compile time in it, and belongs to each of ours."""
    rows = [
        {
            "living": 600,
            "setup": {OURS: 0.0, COMPILED: compiling},
            "seconds": {OURS: 3.0, COMPILED: 2.0, GRADCAM: peer, TORCHCAM: 2 * peer},
            "correlation": {GRADCAM: 0.99, TORCHCAM: alike, COMPILED: 1.0},
            "agrees": {GRADCAM: True, TORCHCAM: alike > 0.9, COMPILED: True},
        }
        for compiling, peer, alike in ((6.0, 12.0, 0.99), (0.0, 18.0, 0.2))
    ]

    told = {one["what"]: one for one in Exact().figures(rows)}

    ratio = told[f"{COMPILED}: times as fast as {GRADCAM}"]
    assert (ratio["median"], ratio["lowest"], ratio["highest"], ratio["met"]) == (7.5, 6, 9, True)
    other = told[f"{OURS}: times as fast as {TORCHCAM}"]
    assert (other["median"], other["count"]) == (8, 1)
    whole = Exact.against(rows, COMPILED, GRADCAM)[1]
    assert (whole["median"], whole["count"], whole["met"]) == (3, 2, True)
    assert told["to compile, once"]["median"] == 6


def test_exact_compares_the_engines():
    """With another engine there is a figure for the conversion, and one for the gain."""
    row = {
        "living": 600,
        "setup": {OURS: 0.5, OPENVINO: 4.0},
        "seconds": {OURS: 3.0, OPENVINO: 1.5, GRADCAM: 12.0},
        "correlation": {GRADCAM: 0.99, OPENVINO: 1.0},
        "agrees": {GRADCAM: True, OPENVINO: True},
    }
    told = {one["what"]: one["median"] for one in Exact(engine="openvino").figures([row])}
    assert (told["to convert, once"], told["converted: times as fast as not"]) == (4, 2)
    assert told[f"{OPENVINO}: times as fast as {GRADCAM}"] == 8


def test_budget_has_no_effect_if_interval_contains_0():
    """Layers without an aim have none; a metric that always changes in one direction misses its aim."""
    values = [0.5, 0.7, 0.1, 0.4, 0.6]
    rows = [
        {
            "seconds": {"exact": 12.0, "budget": 1.0},
            "correlation": 0.99,
            "values": {
                name: {"exact": one, "budget": one + shift}
                for name, shift in zip(
                    ("average drop", "increase in confidence", "insertion", "deletion"),
                    (0.1 + one / 10, 0.0, one - 0.45, 0.0),
                    strict=True,
                )
            },
        }
        for one in values
    ]

    told = Budget().at("bn2", rows)
    met = {one["what"].split(": ")[-1].split(",")[0]: one["met"] for one in told}

    assert met["times as fast as exact"] is True
    assert met["correlation with the exact map"] is False
    assert (met["average drop"], met["insertion"], met["deletion"]) == (False, True, True)
    assert all(one["met"] is None for one in Budget().at("conv1", rows)[:4])


def measured(network, seconds, **whole):
    """Return a row of a network whose contestants scored ten masks in ``seconds``, twice and four times as many."""
    given = {name: seconds * times for name, times in zip((networks.OURS, *networks.PEERS), (1, 2, 4), strict=True)}
    row = {"image": "cat", "network": network, "scored": 10, "seconds": given, "agrees": {TORCHCAM: network == "a"}}
    return row | ({"whole": whole} if whole else {})


def test_networks_are_columns():
    """A column per network, then the aims; what is measured once per network is in its first row."""
    part = {
        "budget": {"seconds": {"exact": 8.0, "budget": 2.0}, "correlation": 0.99},
        "ablation": {"seconds": {ablation.OURS: 1.0, ablation.PEER: 60.0}, "agrees": {ablation.PEER: True}},
        "curves": {"seconds": {curves.OURS: 2.0, curves.TORCHCAM: 9.0, curves.ONE: 6.0}, "agrees": {"one": True}},
    }
    rows = [
        measured("a", 1.0, share=0.8, mib=300.0, **part),
        measured("a", 3.0),
        measured("b", 5.0, share=0.95, mib=500.0, **part),
    ]

    told = Networks().figures(rows)
    lines = tables.networks({"figures": told})

    assert all(figures.problems(one) == [] for one in told)
    assert lines[0] == "| what | a | b | aim |"
    by_what = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")[1:] for line in lines[2:]}
    assert by_what[f"a masked pass of {networks.OURS}"][:2] == ["200 ms (100 to 300)", "500 ms"]
    assert by_what[f"a masked pass: times as fast as {GRADCAM}"][:2] == ["2 x", "2 x"]
    assert by_what[f"a masked pass: times as fast as {TORCHCAM}"][:2] == ["4 x", "not measured"]
    assert by_what["share of the best rate that masked passes reach"] == ["80 %, **missed**", "95 %", "90 % or more"]
    assert by_what["fusion-cam(budget=64): times as fast as exact"][0] == "4 x"
    assert by_what["fusion-cam(budget=64): correlation with the exact map"][0] == "0.99"
    assert by_what[f"ablation-cam: times as fast as {ablation.PEER}"] == ["60 x", "60 x", "50 x or more"]
    faster = "insertion and deletion, 113 steps: times as fast as the faster of torch-cam's and the loop"
    assert by_what[faster] == ["3 x", "3 x", "2.5 x or more"]
    assert by_what["fusion-cam: peak memory"] == ["300 MiB", "500 MiB, **missed**", "highest 400 MiB or less"]


def raced(batch, seconds):
    """Return a row of batches where a plain pass took a second, and other libraries four times as long as ours."""
    given = {f"fusioncam {name}": seconds for name in gradient.NAMES} | dict.fromkeys(gradient.PEERS, 4 * seconds)
    given |= {gradient.PLAIN: 1.0, gradient.PLAIN_HERE: 0.5}
    alike = dict.fromkeys(gradient.PEERS, 0.99)
    return {"image": "cat", "network": "a", "batch": batch, "seconds": given, "correlation": alike, "agrees": {}}


def test_gradient_compares_with_a_plain_pass():
    """Times are those of an image, ratios those of a call, and only Grad-CAM has aims."""
    told = {one["what"]: one for one in gradient.Gradient().figures([raced(1, 1.1), raced(16, 1.6)])}

    assert all(figures.problems(one) == [] for one in told.values())
    assert told["a: grad-cam, batch 16"]["median"] == pytest.approx(100)
    assert told["a: grad-cam, batch 1, over a plain pass"]["met"] is True
    assert told["a: grad-cam, batch 16, over a plain pass"]["met"] is False
    assert told["a: grad-cam, batch 16, over a plain pass in our process"]["median"] == pytest.approx(3.2)
    assert told["a: grad-cam, batch 16, times as fast as pytorch-grad-cam"]["met"] is True
    assert {name for name, one in told.items() if one["aims"]} == {
        "a: grad-cam, batch 1, over a plain pass",
        "a: grad-cam, batch 16, over a plain pass",
        "a: grad-cam, batch 16, times as fast as pytorch-grad-cam",
    }


@pytest.mark.parametrize("name", gradient.PEERS)
def test_peers_compute_the_same_gradient_maps(name):
    """The heatmaps of a batch correlate with ours, image by image."""
    model, (peer, method) = samples.small(), gradient.PEERS[name]
    x = torch.stack([model.preprocessing(samples.photo()).flip(-1), model.preprocessing(samples.photo())])
    target = torch.tensor([0, 1])

    given = peer(model, x, target, model.layers.default(x), method)

    assert gradient.lowest(METHODS[method](model, x, target), given) > 0.99


@pytest.mark.parametrize("peer", networks.PEERS.values(), ids=networks.PEERS)
def test_peers_score_the_given_channels(peer):
    """With two of six channels, the heatmap depends on these only."""
    model = samples.small()
    x = model.preprocessing(samples.photo())[None]
    target = model.logits(x).argmax(1)
    layer, activations = model.layers.default(x), model.record(x, target).activations
    chosen = most_varied(activations, activations.flatten(2).std(2) > 0, 2)[0].nonzero()[:, 0]

    given = peer(model, x, target, layer, chosen)

    assert given.shape == x.shape[2:]
    assert figures.correlation(given, ScoreCAM(channels=2)(model, x, target)[0]) > 0.99
    assert figures.correlation(given, peer(model, x, target, layer)) < 0.99


def test_the_peer_ablates_as_the_paper_says():
    """Channels become 0, also in maps with negative values, from which the peer's own layer subtracts 10 million."""
    model = samples.small()
    model.network.act = torch.nn.Identity()
    x = model.preprocessing(samples.photo())[None]
    target = model.logits(x).argmax(1)
    ours = METHODS["ablation-cam"](model, x, target)[0]

    layer = model.layers.default(x)
    zeroed, own = (peers.gradcam_ablation_cam(model, x, target, layer, one) for one in (True, False))

    assert figures.correlation(zeroed, ours) > 0.99
    assert figures.correlation(own, ours) < 0.99


def test_contestants_rotate(monkeypatch):
    """The first contestant changes, results keep one order, and seconds of another process are used."""
    order = []

    def worked(name):
        return lambda: order.append(name) or name.upper()

    contestants = {name: worked(name) for name in "abc"} | {"d": lambda: harness.Elsewhere(7.0, "there")}
    monkeypatch.setattr(harness, "say", lambda text: None)

    seconds, given = harness.in_turn(contestants, first=5)

    assert order == ["b", "c", "a"]
    assert list(seconds) == ["a", "b", "c", "d"]
    assert seconds["d"] == 7
    assert given == {"a": "A", "b": "B", "c": "C", "d": "there"}


def test_images_are_evenly_spaced(tmp_path):
    """They cover the whole folder; without a folder they are those of scikit-image."""
    assert harness.evenly("abcdefghij", 3) == ["a", "d", "g"]
    assert harness.evenly("ab", 3) == ["a", "b"]
    for name in "cab":
        (tmp_path / f"{name}.png").touch()
    assert [path.name for path in harness.chosen(tmp_path, 9)] == ["a.png", "b.png", "c.png"]
    assert len(harness.chosen(None, 4)) == 4


@dataclasses.dataclass(frozen=True)
class Toy(harness.Subject):
    """A subject that measures nothing on three images, and optionally stops after the second."""

    name = "toy"
    what = "nothing"
    count: int = 3
    found: int = 3
    stop: bool = False

    def planned(self):
        """Return the number of rows."""
        return self.count

    def rows(self):
        """Yield a row per image."""
        for number in range(self.found):
            if number == 2 and self.stop:
                raise KeyboardInterrupt
            yield {"image": str(number)}

    def figures(self, rows):
        """Return the number of rows as a figure."""
        return [figures.figure("rows", [len(rows)])]


@pytest.fixture
def facts(monkeypatch):
    """Fixed facts in place of those of the machine."""
    monkeypatch.setattr(meta, "metadata", lambda device: dict(result()["metadata"]))


def test_interrupted_run_keeps_its_rows(tmp_path, facts):
    """The file holds the finished images and states that some are missing."""
    with pytest.raises(KeyboardInterrupt):
        speed.run(Toy(stop=True), tmp_path, "cpu")

    kept = meta.read("toy", tmp_path)
    assert (kept["images"], kept["planned"], kept["complete"]) == (2, 3, False)
    assert meta.problems(kept) == []
    assert tables.unfinished(kept) == " (2 of 3 images)"
    assert [path.name for path in tmp_path.iterdir()] == ["toy.json"]


def test_run_of_a_small_folder_is_complete(tmp_path, facts):
    """A run is complete when the folder is; an empty folder is an error."""
    assert speed.run(Toy(count=9), tmp_path, "cpu")["complete"] is True
    assert meta.read("toy", tmp_path)["planned"] == 3
    with pytest.raises(FusionCamError, match="toy: nothing to measure"):
        speed.run(Toy(found=0), tmp_path / "none", "cpu")
    assert meta.read("toy", tmp_path / "none") is None


def test_subjects_get_the_settings_that_they_have(tmp_path):
    """Missing settings keep the default of each subject, and no path is stored."""
    words = ["--what", "exact", "budget", "memory", "--count", "4", "--layers", "bn2", "--images", str(tmp_path)]

    exact, budget, memory = speed.chosen(speed.parsed([*words, "--peer-count", "2", "--compile"]))

    assert (exact.count, exact.peer_count, exact.compile) == (4, 2, True)
    assert (budget.count, budget.layers, budget.budget) == (4, ("bn2",), 64)
    assert memory == SUBJECTS["memory"]()
    assert exact.settings()["images"] == tmp_path.name
    assert next(speed.chosen(speed.parsed(["--what", "curves"]))).settings()["images"] == "scikit-image's"


@pytest.mark.parametrize(
    "words", [["--count", "0"], ["--count", "x"], ["--what", "speed"], ["--images", "no such folder"]]
)
def test_wrong_arguments_are_reported(words, capsys):
    """argparse reports them without a traceback."""
    with pytest.raises(SystemExit) as stopped:
        speed.parsed(words)
    assert stopped.value.code == 2
    assert "error" in capsys.readouterr().err


class Brightness(torch.nn.Module):
    """A network whose score is the sum of the pixels."""

    def forward(self, x):
        """Return scores ``(N, 2)``: the sum of the pixels, and 0."""
        return torch.stack([x.sum((1, 2, 3)), x.sum((1, 2, 3)) * 0], 1)


def test_plain_curves_by_hand():
    """Four pixels of which one counts: insertion has it from the first step on, deletion only before it."""

    class Given:
        network = Brightness()

    x = torch.zeros(1, 1, 2, 2)
    x[0, 0, 0, 1] = 100.0
    heatmap = torch.tensor([[[0.2, 0.9], [0.1, 0.0]]])
    # the score is a half without the bright pixel and 1 with it; trapezoids over quarters

    for batch in (1, 3, 32):
        insertion, deletion = peers.plain_curves(Given, x, 0, heatmap, 4, batch).tolist()
        assert insertion == pytest.approx((0.75 + 3) / 4)
        assert deletion == pytest.approx((0.75 + 1.5) / 4)
    assert peers.torchcam_curves(Given, x, 0, heatmap, 4).tolist() == pytest.approx([0.9375, 0.5625])


def test_pages_keep_text_outside_of_the_marks():
    """Only the text between the marks changes, and missing marks are reported."""
    page = "a\n<!-- x: begin, written by benchmarks/tables.py -->\nold\n<!-- x: end -->\nb\n"

    once = tables.update(page, {"x": lambda: "new"})

    assert once == page.replace("old", "new")
    assert tables.update(once, {"x": lambda: "new"}) == once
    with pytest.raises(SystemExit, match="no section y"):
        tables.update(page, {"y": lambda: "new"})


def test_lines_of_tables():
    """Measurement, aim, and whether it was met."""
    told = figures.figure("correlation", [0.999, 0.96], aims={"median": ">= 0.97", "lowest": ">= 0.97"})

    assert tables.line(told) == (
        "| correlation | 0.98 (0.96 to 0.999) | 2 | 0.97 or more, lowest 0.97 or more | **missed** |"
    )
    assert tables.aim(figures.figure("", [1], "MiB", aims={"highest": "<= 400"})) == "highest 400 MiB or less"
    assert tables.aim(figures.figure("", [1], "x", interval=[0, 1], aims={"interval": "in 0"})) == "0 in the interval"


def test_machine_is_listed_once(monkeypatch):
    """Subjects of the same machine and versions share a line."""
    first, second = result(), result(subject="share", images=0, complete=False, rows=[])

    (line,) = tables.machines([first, second])

    assert line.startswith("`exact`, `share` (0 of 1 images): ")
    assert "2" in line


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_subject_is_described(name):
    """Each is in the table of subjects and in the tables."""
    assert f"| `{name}` |" in (BENCHMARKS / "README.md").read_text()
    assert name in tables.SUBJECTS


@pytest.mark.parametrize(("steps", "left_out"), [(56, 1), (56, 10), (10, 9)])
def test_points_left_out_of_a_curve_may_change_its_area(steps, left_out):
    """The bound is reached by probabilities of 0 and of 1, and by no others exceeded."""
    shares = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    curves = torch.rand(3, generator=torch.Generator().manual_seed(0)).repeat(steps + 1, 1).double()
    for column, value in enumerate((0.0, 0.5, 1.0)):
        curves[steps - left_out : steps, column] = value
        curves[-1, column] = curves[0, column] = 0.3
        curves[1 : steps - left_out, column] = 0.3
    low, guess, high = area(curves, shares).tolist()
    assert high - guess == pytest.approx(cost.worst_error(left_out, steps)) == pytest.approx(guess - low)


def test_the_aim_of_the_cost_is_met_at_the_passes_that_it_states():
    """Twice as many passes as Score-CAM with its metrics, and more with more passes a heatmap."""
    assert cost.ratio(300, cost.most_passes(300)) == pytest.approx(2)
    assert cost.ratio(300, cost.metric_passes(56)) > 3
