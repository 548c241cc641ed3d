"""Figures of synthetic rows: what they contain, not how they look."""

from __future__ import annotations

import json
import re
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from fusioncam.errors import ResultsError, ShapeError
from fusioncam.report.figures.costs import cost_figure
from fusioncam.report.figures.critical_difference import critical_difference_figure
from fusioncam.report.figures.curves import curves_figure, highlighted_methods
from fusioncam.report.figures.point_labels import Label, draw_labels
from fusioncam.report.figures.settings import grid_figure, sweep_figure
from fusioncam.report.figures.side_by_side import side_by_side_figure
from fusioncam.report.figures.style import method_styles, new_figure, render, styled
from fusioncam.report.method_names import find_grids, find_sweeps
from fusioncam.report.statistics import interval
from fusioncam.report.write import draw_figures
from runs import results, row, rows_of, shifted_values

NAMES = ("fusion-cam", "union-cam", "grad-cam", "ones")


def curve_rows(metric="insertion", methods=NAMES, steps=5, **facts):
    """Return rows with curves: method m has the points p + m t on image p."""
    t = np.linspace(0, 1, steps)
    return [
        row(
            method=method,
            image=f"{p}.jpg",
            metric=metric,
            curve=[float(one) for one in p + m * t],
            value=p,
            **facts,
        )
        for m, method in enumerate(methods)
        for p in range(4)
    ]


def lines_of(axes):
    """Return the lines of a panel by name."""
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def texts_of(figure):
    """Return all texts of a figure, also outside of its panels."""
    from matplotlib.text import Text

    return [one.get_text() for one in figure.findobj(Text) if one.get_text()]


# -- curves ----------------------------------------------------------------------------------------------------


def test_curves_are_means_with_bands():
    """Figure 3 of the paper: one panel per metric, the mean at every share, with a band."""
    found = results(curve_rows(), curve_rows("deletion", higher_is_better=False))
    figure = curves_figure(found, "lite0", ["insertion", "deletion"], NAMES)

    insertion, deletion = figure.axes
    assert insertion.get_title(loc="left") == "insertion ↑"
    assert deletion.get_title(loc="left") == "deletion ↓"
    assert insertion.get_xlabel() == "share of pixels shown"
    assert deletion.get_xlabel() == "share of pixels removed"
    lines = lines_of(insertion)
    assert set(lines) == set(NAMES)
    assert lines["grad-cam"].get_xdata() == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert lines["grad-cam"].get_ydata() == pytest.approx([1.5, 2, 2.5, 3, 3.5])
    bands = [one.get_paths()[0].vertices for one in insertion.collections]
    assert len(bands) == 4
    assert all(band[:, 1].min() < line.get_ydata()[0] for band, line in zip(bands, insertion.lines, strict=True))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(NAMES)


def test_thin_lines_are_drawn_over_thick_ones():
    """Fusion-CAM does not hide a method with equal values, and a baseline does not hide a method."""
    drawn = list(lines_of(curves_figure(results(curve_rows()), "lite0", ["insertion"], NAMES).axes[0]))

    assert drawn == ["ones", "fusion-cam", "union-cam", "grad-cam"]


def test_at_most_four_methods_are_highlighted():
    """The reference and the best three have a colour and a band; the others, also better baselines, are grey."""
    means = {"ones": 0.9, "a": 0.1, "b": 0.2, "fusion-cam": 0.15, "c": 0.3, "d": 0.4}
    rows = [
        row(method=method, image=f"{n}.jpg", value=mean, curve=[mean, mean + 0.01 * n], higher_is_better=True)
        for method, mean in means.items()
        for n in range(3)
    ]
    found = results(rows)
    figure = curves_figure(found, "lite0", ["insertion"], found.methods)

    column = found.column("lite0", "insertion")
    highlighted = highlighted_methods([column], list(means), "fusion-cam")
    assert highlighted == ["b", "fusion-cam", "c", "d"]
    assert highlighted_methods([column], ["a", "ones"]) == ["a", "ones"]
    lines = lines_of(figure.axes[0])
    assert len({lines[name].get_color() for name in highlighted}) == 4
    assert lines["a"].get_color() == lines["ones"].get_color() == "#B8B8B8"
    assert len(figure.axes[0].collections) == 4
    assert figure.legends[0].get_texts()[-1].get_text() == "others:\na\nones"
    assert figure.axes[0].get_ylabel() == "probability of the class"


def test_curves_of_two_methods():
    """Figure 5 of the paper."""
    figure = curves_figure(results(curve_rows()), "lite0", ["insertion"], ["fusion-cam", "union-cam"])

    assert set(lines_of(figure.axes[0])) == {"fusion-cam", "union-cam"}


def test_abscissa_comes_from_the_protocol():
    """Points lie at the protocol's list of as many numbers, else at their steps."""
    protocol = json.dumps({"metric": "ROAD", "shares": [0.1, 0.2, 0.5], "fill": "noise"})
    road = curve_rows("road", steps=3, protocol=protocol)
    figure = curves_figure(results(road, curve_rows("randomisation")), "lite0", ["road", "randomisation"], NAMES)

    assert lines_of(figure.axes[0])["ones"].get_xdata() == pytest.approx([0.1, 0.2, 0.5])
    assert figure.axes[0].get_xlabel() == "shares"
    assert lines_of(figure.axes[1])["ones"].get_xdata() == pytest.approx(range(5))


def test_without_curves_there_is_no_figure():
    """Curves of different lengths raise an error."""
    assert curves_figure(results(rows_of({"a": [0.1, 0.2]})), "lite0", ["insertion"], ["a"]) is None
    mixed = [*curve_rows(methods=("a",)), *curve_rows(methods=("b",), steps=7)]
    with pytest.raises(ResultsError, match=r"the curves of 'insertion' have \[5, 7\] points"):
        curves_figure(results(mixed), "lite0", ["insertion"], ["a", "b"])


# -- cost, settings ----------------------------------------------------------------------------------------------


def test_cost_figure_has_a_point_per_method():
    """A point lies at mean cost and mean value; it is hollow if the method optimises what the metric measures."""
    best, other = shifted_values(0.3, 0.0)
    rows = [
        *rows_of({"fusion-cam": best}, metric="average-drop", seconds=9.0, shares_objective=True),
        *rows_of({"grad-cam": other}, metric="average-drop", seconds=0.03, passes=1.0),
        *rows_of({"ones": other}, metric="average-drop", seconds=0.001, passes=0.0),
    ]
    figure = cost_figure(results(rows), "lite0", ("fusion-cam", "grad-cam", "ones"), "seconds")

    axes = figure.axes[0]
    points = {bar.get_label(): bar.lines[0] for bar in axes.containers}
    assert axes.get_xscale() == "log"
    assert points["fusion-cam"].get_xdata() == pytest.approx([9])
    assert points["fusion-cam"].get_ydata() == pytest.approx([best.mean()])
    assert to_hex(points["fusion-cam"].get_markerfacecolor()) == "#ffffff"
    assert to_hex(points["grad-cam"].get_markerfacecolor()) != "#ffffff"
    assert "hollow: optimises what\nthe metric measures" in texts_of(figure)
    ends = next(bar for bar in axes.containers if bar.get_label() == "grad-cam").lines[2][1].get_segments()[0][:, 1]
    assert ends == pytest.approx([interval(other).low, interval(other).high])

    passes = cost_figure(results(rows), "lite0", ("fusion-cam", "grad-cam", "ones"), "passes").axes[0]
    assert passes.get_xscale() == "symlog"  # room for 0
    assert passes.get_xlim()[0] < 0


def test_partial_passes_are_in_the_legend():
    """A method with 2 full and 1,280 partial passes is distinct from one with 2 full passes alone."""
    rows = [
        *rows_of({"ablation-cam": [0.1, 0.2]}, passes=2.0, partial_passes=1280.0),
        *rows_of({"grad-cam": [0.1, 0.2]}, passes=2.0),
    ]
    names = ("grad-cam", "ablation-cam")
    figure = cost_figure(results(rows), "lite0", names, "passes")

    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "grad-cam", "ablation-cam\n+ 1,280 partial",
    ]  # fmt: skip
    assert figure.axes[0].get_xlabel() == "full passes per image"
    assert not any("partial" in one for one in texts_of(cost_figure(results(rows), "lite0", names, "seconds")))


CROWD = [
    "fusion-cam",
    "union-cam",
    "score-cam",
    "grad-cam",
    "grad-cam++",
    "xgrad-cam",
    "hires-cam",
    "fusion-cam(theta=5)",
]


def test_names_beside_points_cover_nothing():
    """Eight methods of nearly the same cost and value have their names within the panel, beside points and bars."""
    values = dict(zip(CROWD, shifted_values(*np.linspace(0, 0.02, len(CROWD))), strict=True))
    rows = [one for place, name in enumerate(CROWD) for one in rows_of({name: values[name]}, seconds=1 + 0.1 * place)]
    figure = cost_figure(results(rows), "lite0", CROWD, "seconds")

    axes = figure.axes[0]
    texts = [text for text in axes.texts if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    points = axes.transData.transform([bar.lines[0].get_xydata()[0] for bar in axes.containers])
    assert len(texts) >= 6
    assert {text.get_text() for text in texts} <= {*CROWD[:-1], "fusion-cam\n(theta=5)"}
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert not any(box.contains(*point) for box in boxes for point in points)
    assert all(axes.bbox.contains(*corner) for box in boxes for corner in (box.min, box.max))


def test_names_without_room_are_left_out():
    """They are returned, and nothing is drawn."""
    with styled():
        figure = new_figure(1.2, 1.2)
        axes = figure.subplots()
        figure.draw_without_rendering()
        left_out = draw_labels(figure, axes, [Label(0.5, 0.5, 0.4, 0.6, "a name that is far too long", "black")])

    assert left_out == ["a name that is far too long"]
    assert not axes.texts


def test_methods_without_a_cost_have_no_point():
    """The others are drawn."""
    rows = [*rows_of({"grad-cam": [1, 2]}, seconds=1.0), *rows_of({"ones": [1, 2]}, seconds=None)]
    figure = cost_figure(results(rows), "lite0", ("grad-cam", "ones"), "seconds")

    assert [bar.get_label() for bar in figure.axes[0].containers] == ["grad-cam"]


def test_without_quality_there_is_no_cost_figure():
    """Sanity checks do not measure quality."""
    assert cost_figure(results(rows_of({"a": [1, 2]}, family="sanity")), "lite0", ["a"]) is None


def test_sweep_is_a_line_of_means():
    """The points are in numeric order; a horizontal line shows the reference."""
    names = ["fusion-cam", "fusion-cam(theta=50)", "fusion-cam(theta=0)", "fusion-cam(theta=10)"]
    values = dict(zip(names, shifted_values(0.0, 0.1, 0.2, 0.3), strict=True))
    found = results(rows_of(values))
    axes = sweep_figure(found, "lite0", find_sweeps(names)[0], "fusion-cam").axes[0]

    line, level = axes.lines
    assert list(line.get_xdata()) == [0, 10, 50]
    assert line.get_ydata() == pytest.approx([values[f"fusion-cam(theta={theta})"].mean() for theta in (0, 10, 50)])
    assert level.get_ydata() == pytest.approx([values["fusion-cam"].mean()] * 2)
    assert axes.get_xlabel() == "theta"


@pytest.mark.parametrize(("higher", "where"), [(True, (1, 1)), (False, (0, 0))])
def test_grid_is_a_table_of_means(higher, where):
    """The best cell is the darkest and is framed for either direction; an empty cell has a dash."""
    cells = {("grad", "score"): 0.1, ("grad", "group"): 0.2, ("layer", "group"): 0.4}
    names = {f"fusion-cam(gradient={one}, region={other})": value for (one, other), value in cells.items()}
    found = results(rows_of({name: [value, value] for name, value in names.items()}, higher_is_better=higher))
    axes = grid_figure(found, "lite0", find_grids(names)[0]).axes[0]

    shades = axes.images[0].get_array()
    assert np.unravel_index(np.nanargmax(shades), shades.shape) == where
    assert [text.get_text() for text in axes.texts] == ["0.1000", "0.2000", "\N{EN DASH}", "0.4000"]
    frame = axes.patches[0]
    assert (round(frame.get_y()), round(frame.get_x())) == where
    assert [text.get_text() for text in axes.get_xticklabels()] == ["score", "group"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["grad", "layer"]


# -- ranks -------------------------------------------------------------------------------------------------------


def test_critical_differences_by_hand():
    """Four methods in one order on 40 images: ranks 1 to 4, a CD of 0.74, and no bar."""
    base = np.random.default_rng(0).random(40)
    column = results(rows_of({name: base + place for place, name in enumerate("abcd")})).column("lite0", "insertion")
    figure = critical_difference_figure(column)

    texts = texts_of(figure)
    assert {"1.00", "2.00", "3.00", "4.00", "CD = 0.74"} <= set(texts)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["d", "c", "b", "a"]
    assert "Friedman p < 0.001, 40 images, lite0" in figure.axes[0].get_xlabel()
    assert not bars_of(figure)
    dots = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert dots == [1, 2, 3, 4]


def bars_of(figure):
    """Return the rows between which the thick bars reach."""
    return [tuple(line.get_ydata()) for line in figure.axes[0].lines if line.get_linewidth() == 3.5]


def test_bars_join_tied_methods():
    """Two methods that alternate in front of the third are joined."""
    base = np.random.default_rng(0).random(40)
    turn = np.resize([0.1, -0.1], 40)
    values = {"fusion-cam": base + 2 + turn, "b": base + 2, "c": base}
    rows = [*rows_of({"fusion-cam": values.pop("fusion-cam")}, shares_objective=True), *rows_of(values)]
    figure = critical_difference_figure(results(rows).column("lite0", "insertion"))

    assert bars_of(figure) == [pytest.approx((-0.2, 1.2))]
    assert {"fusion-cam †", "1.50"} <= set(texts_of(figure))
    assert "† optimises what the metric measures" in " ".join(texts_of(figure))


def test_texts_of_critical_differences_do_not_cover_each_other():
    """Also with many methods of similar ranks and long names; all of them are inside the figure."""
    rng = np.random.default_rng(0)
    names = [f"fusion-cam:multiscale(layers=[blocks.{n}, blocks.6])" for n in range(14)]
    figure = critical_difference_figure(
        results(rows_of({name: rng.random(30) for name in names})).columns("lite0")[0]
    )
    figure.canvas.draw()

    texts = [text for text in (*figure.axes[0].texts, *figure.axes[0].get_yticklabels()) if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    assert len(boxes) == 2 * 14 + 1
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_two_methods_have_no_diagram():
    """Friedman's test needs three methods."""
    assert (
        critical_difference_figure(results(rows_of({"a": [1, 2], "b": [2, 3]})).column("lite0", "insertion")) is None
    )


# -- side by side ------------------------------------------------------------------------------------------------


def test_images_side_by_side():
    """There is one row per image and one column per method; the image itself comes first."""
    images = [("cat", Image.new("RGB", (30, 20), "red")), ("dog", Image.new("L", (20, 30)))]
    maps = {"grad-cam": [np.zeros((4, 4), np.float32)] * 2, "fusion-cam": [np.ones((4, 4), np.float32)] * 2}
    figure = side_by_side_figure(images, maps)

    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["image", "grad-cam", "fusion-cam", "", "", ""]
    assert [figure.axes[place].get_ylabel() for place in (0, 3)] == ["cat", "dog"]
    assert figure.axes[0].images[0].get_array().shape == (20, 30, 3)
    assert figure.axes[0].images[0].get_array()[0, 0].tolist() == [255, 0, 0]
    corner = figure.axes[4].images[0].get_array()[0, 0]
    assert corner.tolist() == [0, 0, 0]  # nothing is drawn where the heat is 0
    with pytest.raises(ShapeError, match="a heatmap of grad-cam for each of 2 images, got 1"):
        side_by_side_figure(images, {"grad-cam": maps["grad-cam"][:1]})


# -- style and files -----------------------------------------------------------------------------------------------


def test_styles_are_stable_and_distinct():
    """Common methods have the same style in every run, and no two methods share one."""
    many = [*NAMES, *(f"method{place}" for place in range(25)), "center", "random", "edges"]
    looks = method_styles(many)

    assert method_styles(["grad-cam", "fusion-cam"])["fusion-cam"] == looks["fusion-cam"]
    assert len({(look.colour, str(look.dashes)) for look in looks.values()}) == len(many)
    assert len({method_styles(["a", "b", "c"])[name].marker for name in "abc"}) == 3
    fine = cost_figure(results(rows_of({"grad-cam": [1, 2], "ones": [2, 3]})), "lite0", ("grad-cam", "ones"))
    lines = {bar.get_label(): bar.lines[0] for bar in fine.axes[0].containers}
    assert lines["grad-cam"].get_color() == looks["grad-cam"].colour


def test_more_methods_than_styles_are_possible():
    """Some methods share a style then."""
    assert len(method_styles([f"method{place}" for place in range(99)])) == 99


def test_user_settings_are_ignored_and_restored(monkeypatch):
    """The figures do not depend on the user's matplotlib settings and do not change them."""
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "lines.linewidth", 17)
    with styled():
        assert mpl.rcParams["lines.linewidth"] != 17
    assert mpl.rcParams["lines.linewidth"] == 17


@pytest.mark.slow
def test_figures_of_a_run_have_unique_names():
    """Names that contain mathematical signs are drawn as plain text."""
    names = [*NAMES, "$x_1$", *(f"fusion-cam(theta={one})" for one in (0, 10, 20))]
    names += [f"fusion-cam(gradient={one}, region={other})" for one in "ab" for other in "cd"]
    found = results(
        curve_rows(methods=names),
        curve_rows("road", methods=names),
        curve_rows("adcc", methods=names, family="sanity"),
    )
    drawn = dict(draw_figures(found))

    assert list(drawn) == [
        "curves-lite0",
        "curves-union-fusion-lite0",
        "curves-others-lite0",
        "cost-seconds-lite0",
        "cost-passes-lite0",
        "sweep-theta-fusion-cam-lite0",
        "grid-gradient-region-fusion-cam-lite0",
        "critical-difference-insertion-lite0",
        "critical-difference-road-lite0",
        "critical-difference-adcc-lite0",
    ]
    assert set(lines_of(drawn["curves-lite0"].axes[0])) == {*NAMES, "$x_1$"}
    assert not any(text.get_parse_math() for text in drawn["curves-lite0"].legends[0].get_texts())
    assert render(drawn["curves-lite0"], "png")[1:4] == b"PNG"


@pytest.mark.slow
def test_files_are_reproducible():
    """The files hold no date and no random ids."""
    one, other = (
        [
            render(curves_figure(results(curve_rows()), "lite0", ["insertion"], NAMES), kind)
            for kind in ("svg", "png", "pdf")
        ]
        for _ in range(2)
    )

    assert one == other
    assert b"<svg" in one[0]
    assert one[2].startswith(b"%PDF")
    assert b"CreationDate" not in one[2]
    assert b"/FontFile2" in one[2]  # TrueType
    assert not re.search(rb"<dc:date>|20\d\d-\d\d-\d\d", one[0])
