"""Tables of synthetic rows: what is bold, marked, left out and noted, and how it is written."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pandas as pd
import pytest

from fusioncam import METHODS
from fusioncam.errors import MissingExtraError, OutputError, ResultsError, UnknownNameError
from fusioncam.report.method_names import (
    BASELINES,
    ablations,
    base_name,
    find_grids,
    find_sweeps,
    main_methods,
    split_spec,
)
from fusioncam.report.results import read_results, results_of
from fusioncam.report.run_report import write_report
from fusioncam.report.statistics import interval
from fusioncam.report.stored_rows import COLUMNS
from fusioncam.report.tables.latex import latex
from fusioncam.report.tables.means import pages
from fusioncam.report.tables.model import markdown
from runs import ERROR, results, row, rows_of, save, shifted_values

NAN = float("nan")


def page_of(found, name="faithfulness"):
    """Return the page of a name."""
    return {page.name: page for page in pages(found)}[name]


def cells_of(table):
    """Return the cells of a table by method, those of baselines included."""
    return dict((*table.body, *table.footer))


def styles_of(*shifts, names=("fusion-cam", "score-cam", "grad-cam"), **facts):
    """Return the styles of the methods' cells."""
    found = results(rows_of(dict(zip(names, shifted_values(*shifts), strict=True)), **facts))
    return [cells_of(page_of(found).tables[0])[name][0].style for name in names]


# -- MaxBoxAcc ----------------------------------------------------------------------------------------------------


def box_rows(curves, **facts):
    """Return rows of box accuracy with curves ``{method: [one per image]}``."""
    about = {"metric": "box-accuracy", "family": "localization"} | facts
    about.setdefault("protocol", '{"metric": "BoxAccuracy", "deltas": [0.3, 0.7]}')
    return [
        row(method=method, image=f"{place}.jpg", value=0.5, curve=curve, **about)
        for method, own in curves.items()
        for place, curve in enumerate(own)
    ]


def test_max_box_acc_uses_one_threshold_for_all_images():
    """Each IoU has the threshold that is best over all images; methods without curves are left out."""
    zeros = [0.0] * 97
    low, high, never = [0.5, 1.0, 0.0, *zeros], [0.0, 0.5, 1.0, *zeros], [0.0, 0.0, 0.5, *zeros]
    found = results(
        box_rows({"fusion-cam": [low, high, never], "grad-cam": [never] * 3, "random": [None] * 3}),
        [row(image="0.jpg", curve=[0.0, 1.0])],  # insertion has curves, but not of boxes
    )

    (table,) = page_of(found, "max-box-acc").tables

    assert table.header == ("method", "mean ↑", "IoU 0.3 ↑", "IoU 0.7 ↑")
    cells = cells_of(table)
    assert set(cells) == {"fusion-cam", "grad-cam"}
    # two of three images reach 0.3 at the second or third threshold, one reaches 0.7
    assert [cell.text[:4] for cell in cells["fusion-cam"]] == ["0.50", "0.67", "0.33"]
    assert [cell.text[-6:] for cell in cells["fusion-cam"][1:]] == ["(0.01)", "(0.01)"]
    assert cells["fusion-cam"][0].interval
    assert [cell.text[:3] for cell in cells["grad-cam"]] == ["0.5", "1.0", "0.0"]
    assert cells["grad-cam"][0].interval == ""


@pytest.mark.slow
def test_max_box_acc_is_written_like_other_tables(tmp_path):
    """The CSV has a line per method with thresholds; without curves there is no page."""
    save(tmp_path, box_rows({"fusion-cam": [[0.5, 1.0] * 50] * 2}))
    write_report(tmp_path)

    (line,) = csv.DictReader((tmp_path / "tables" / "max-box-acc.csv").read_text().splitlines())

    assert (line["method"], line["iou_0.3"], line["threshold_0.7"]) == ("fusion-cam", "1.0", "0.01")
    assert (tmp_path / "figures" / "curves-others-lite0.png").exists()
    assert "max-box-acc" not in {page.name for page in pages(results(box_rows({"fusion-cam": [None] * 2})))}


# -- what is bold ----------------------------------------------------------------------------------------------


def test_significantly_best_method_is_bold():
    """The other methods have no style."""
    assert styles_of(0.3, 0.0, 0.05) == ["bold", "", ""]
    assert styles_of(0.0, 0.3, 0.05) == ["", "bold", ""]
    assert styles_of(0.3, 0.0, 0.05, higher_is_better=False) == ["", "italic", "italic"]


def test_tied_methods_are_italic():
    """Methods that differ only by chance share the lead."""
    assert styles_of(0.3, 0.3, 0.0) == ["italic", "italic", ""]
    assert styles_of(0.0, 0.0, 0.0) == ["italic"] * 3


def test_one_method_alone_is_not_bold():
    """There is no other method to be better than."""
    assert styles_of(0.3, names=("fusion-cam",)) == [""]


def test_better_baseline_does_not_lead_and_is_noted():
    """It stands below the line, and a note says that it is better and whether that is significant."""
    names = ("fusion-cam", "score-cam", "ones")
    values = dict(zip(names, shifted_values(0.3, 0.0, 0.6), strict=True))
    table = page_of(results(rows_of(values))).tables[0]

    assert [name for name, _ in table.body] == ["fusion-cam", "score-cam"]
    assert [name for name, _ in table.footer] == ["ones"]
    assert cells_of(table)["fusion-cam"][0].style == "bold"
    assert cells_of(table)["ones"][0].style == ""
    assert (
        "insertion: the baseline ones has a better mean than fusion-cam; the difference is significant (p < 0.001)."
        in (table.notes)
    )
    values["fusion-cam"] = np.round(values["fusion-cam"] * 64) / 64  # so that equal differences are equal
    values["ones"] = values["fusion-cam"] + np.array([0.5, -0.25, *[0.25, -0.25] * 19])
    notes = page_of(results(rows_of(values))).tables[0].notes
    assert any("the difference is not significant" in note for note in notes)
    notes = page_of(results(rows_of(values, higher_is_better=False))).tables[0].notes
    assert not any("baseline" in note for note in notes)
    values["ones"] = values["score-cam"] - 1
    notes = page_of(results(rows_of(values, higher_is_better=False))).tables[0].notes
    assert any(
        "the baseline ones has a better mean than score-cam; the difference is significant" in note for note in notes
    )


def test_duplicate_of_a_method_does_not_prevent_bold():
    """The same method with a default setting written out is bold too."""
    best, other = shifted_values(0.3, 0.0)
    values = {"fusion-cam": best, "score-cam": other, "fusion-cam(theta=10)": best}
    column = page_of(results(rows_of(values))).tables[0]

    assert cells_of(column)["fusion-cam"][0].style == "bold"
    assert cells_of(column)["score-cam"][0].style == ""


def test_costs_have_no_leader():
    """Seconds and passes have intervals but no style."""
    table = page_of(results(rows_of(dict(zip("ab", shifted_values(0, 1), strict=True)))), "cost").tables[0]

    assert table.header == ("method", "seconds ↓", "passes ↓")
    assert {cell.style for _, cells in table.body for cell in cells} == {""}
    assert [cell.text for cell in cells_of(table)["a"]] == ["2", "100"]


def test_costs_have_three_digits():
    """Each method has its own number of decimals, at most four, because costs differ by orders of magnitude."""
    long = rows_of({"a": [0.1, 0.2]})
    long[0]["seconds"], long[1]["seconds"] = 12.3456, 14.5678
    short = rows_of({"b": [0.1, 0.2], "c": [0.1, 0.2]}, seconds=0.00012345)
    short[0]["seconds"] = short[1]["seconds"] = 0.0123456
    cells = cells_of(page_of(results(long, short), "cost").tables[0])

    assert [cells[name][0].text for name in "abc"] == ["13.5", "0.0123", "0.0001"]


def test_partial_passes_have_a_column_if_there_are_any():
    """The column appears if one method has passes that start at the layer."""
    rows = [*rows_of({"a": [0.1, 0.2]}), *rows_of({"ablation-cam": [0.1, 0.2]}, partial_passes=1280.0)]
    table = page_of(results(rows), "cost").tables[0]

    assert table.header[-1] == "partial passes ↓"
    assert [cells[-1].text for _, cells in table.body] == ["0", "1280"]


# -- numbers and marks -----------------------------------------------------------------------------------------


def test_cell_shows_mean_and_interval():
    """Two digits of the median half width are shown."""
    values = {"fusion-cam": shifted_values(0.0)[0], "score-cam": shifted_values(0.2)[0]}
    found = interval(values["score-cam"])
    cell = cells_of(page_of(results(rows_of(values))).tables[0])["score-cam"][0]

    assert cell.text == f"{found.mean:.3f}"
    assert cell.interval == f"[{found.low:.3f}, {found.high:.3f}]"


def test_methods_that_optimise_a_metric_are_marked_in_every_table():
    """The dagger stands in the cell and is explained below."""
    best, other, ones = shifted_values(0.3, 0.0, 0.1)
    rows = [
        *rows_of({"fusion-cam": best, "union-cam": best - 0.01}, metric="average-drop", shares_objective=True),
        *rows_of({"score-cam": other, "grad-cam": other + 0.01, "ones": ones}, metric="average-drop"),
        *rows_of({"fusion-cam": best, "union-cam": best - 0.01, "score-cam": other}, metric="insertion"),
    ]
    found = results(rows)

    marked = {name: [cell.marked for cell in cells] for name, cells in cells_of(page_of(found).tables[0]).items()}
    assert marked["fusion-cam"] == marked["union-cam"] == [True, False]
    assert marked["score-cam"] == [*marked["ones"][:1], False] == [False, False]
    paired = cells_of(page_of(found, "paired").tables[0])
    assert {name: cells[0].marked for name, cells in paired.items()} == {
        "union-cam": True,
        "score-cam": False,
        "grad-cam": False,
        "ones": False,
    }
    for name in ("faithfulness", "paired", "ranks"):
        page = page_of(found, name)
        assert any(note.startswith("† This method optimises") for note in page.notes)
        assert "†" in markdown(page).split("## Notes")[0]
        assert r"$^{\dagger}$" in latex(page)
    assert (
        "† The reference, fusion-cam, optimises what this metric measures."
        in page_of(found, "paired").tables[0].notes
    )
    assert not page_of(found, "paired").tables[1].notes


def test_undefined_failed_and_missing_values_are_noted():
    """The notes count failed images, undefined values, failed methods, and values without a row."""
    rows = [
        *rows_of({"fusion-cam": [0.1, NAN, 0.3, 0.4], "score-cam": [0.1, 0.2, 0.3]}),
        *rows_of({"fusion-cam": [NAN] * 4, "score-cam": [NAN] * 4}, metric="adcc"),
        row(**ERROR),
        row(image="003.jpg", method="score-cam", metric="", value=None, error="no memory"),
        row(image="000.jpg", method="grad-cam", value=None, error="no memory"),
    ]
    page = page_of(results(rows))
    notes = page.tables[0].notes

    assert notes[0] == "4 images; 1 more failed, first error: torn.jpg: truncated."
    assert (
        "Images on which a method or its metric failed: grad-cam 1, score-cam 1; first error: 000.jpg: no memory."
        in notes
    )
    assert "Images on which insertion is undefined, which are left out: fusion-cam 1." in notes
    assert "Images on which adcc is undefined, which are left out: 4 for every method." in notes
    assert "insertion: 4 values are missing from the stored rows." in notes
    assert cells_of(page.tables[0])["fusion-cam"][1].text == "\N{EN DASH}"
    counts = {
        (record["metric"], record["method"]): (record["images"], record["undefined"]) for record in page.records
    }
    assert counts["insertion", "fusion-cam"] == (3, 1)


def test_metrics_with_different_images_are_counted_separately():
    """Some metrics need boxes, which only some images have."""
    rows = [*rows_of({"a": [0.1, 0.2, 0.3]}), *rows_of({"a": [0.1]}, metric="road")]

    assert page_of(results(rows)).tables[0].notes[0] == "Images: insertion 3, road 1."


def test_one_image_makes_a_table():
    """The table has no intervals and no bold cell."""
    found = results(rows_of({"fusion-cam": [0.5], "score-cam": [0.25], "grad-cam": [0.1], "ones": [1.0]}))
    cells = cells_of(page_of(found).tables[0])

    assert (cells["fusion-cam"][0].text, cells["fusion-cam"][0].interval) == ("0.500", "")
    assert {row_cells[0].style for row_cells in cells.values()} == {"", "italic"}
    assert "ranks" not in {page.name for page in pages(found)}


def test_protocols_are_noted_once():
    """There is one note per metric, whatever the number of models."""
    rows = [one for model in ("lite0", "lite2") for one in rows_of({"a": [0.1, 0.2], "b": [0.2, 0.1]}, model=model)]
    page = page_of(results(rows))

    assert page.notes.count("Protocol of insertion: Insertion(steps=4, fill=blur).") == 1
    assert "Made with fusioncam 0.1.0." in page.notes
    assert [table.title for table in page.tables] == ["Faithfulness, lite0", "Faithfulness, lite2"]


def test_layers_of_one_model_count_as_models():
    """Their rows are not mixed."""
    rows = [*rows_of({"a": [0.1, 0.2]}), *rows_of({"a": [0.5, 0.6]}, layer="bn2")]

    assert results(rows).models == ("lite0 at blocks.6", "lite0 at bn2")


def test_methods_are_in_the_order_of_the_plan_and_baselines_last():
    """The order of the rows does not matter."""
    found = results(rows_of({name: [0.1] for name in ("ones", "b", "a", "c")}), plan={"methods": ["a", "ones", "b"]})

    assert found.methods == ("a", "b", "c", "ones")


def test_several_classes_of_an_image_count_once():
    """Their mean counts."""
    rows = [*rows_of({"a": [0.1, 0.5]}), *rows_of({"a": [0.3, 0.5]}, target=7)]
    column = results(rows).column("lite0", "insertion")

    assert column.values_of("a").tolist() == pytest.approx([0.2, 0.5])


# -- pairs and ranks -------------------------------------------------------------------------------------------


def test_paired_tests_against_the_reference():
    """A method is worse on every image; values of 0 and 1 are compared by McNemar's test."""
    values = {"fusion-cam": np.linspace(0, 1, 10), "score-cam": np.linspace(0, 1, 10) - 0.25}
    hits = {"fusion-cam": [1.0] * 9 + [0.0], "score-cam": [0.0] * 10}
    page = page_of(results(rows_of(values), rows_of(hits, metric="pointing-game", family="localization")), "paired")
    insertion, pointing = page.tables

    assert insertion.header[2] == "p (Wilcoxon, Holm)"
    assert pointing.header[2] == "p (McNemar, Holm)"
    difference, p, effect, wins = cells_of(insertion)["score-cam"]
    assert difference.text == "\N{MINUS SIGN}0.2500"
    assert (p.text, p.style) == ("0.002", "bold")
    assert (effect.text, wins.text) == ("\N{MINUS SIGN}1.00", "0 / 0 / 10")
    assert cells_of(pointing)["score-cam"][1].text == f"{2 / 2**9:.3f}"
    assert page.records[0]["p"] == pytest.approx(2 / 2**10)


def test_p_values_are_corrected_within_one_metric_and_model():
    """Of two tests of one metric, the smaller p-value is doubled; other metrics do not count."""
    values = dict(zip(("fusion-cam", "a", "b"), shifted_values(0.1, 0.0, 0.1), strict=True))
    found = results(rows_of(values), rows_of(values, metric="deletion"), rows_of(values, model="lite2"))
    records = page_of(found, "paired").records

    assert len(records) == 6
    assert records[0]["p_holm"] == pytest.approx(2 * records[0]["p"])


def test_reference_comes_from_the_plan():
    """Without a plan and without any fusion-cam nothing is compared."""
    rows = rows_of(dict(zip(("a", "b"), shifted_values(0, 1), strict=True)))

    assert "paired" not in {page.name for page in pages(results(rows))}
    assert page_of(results(rows, plan={"reference": "b"}), "paired").title == "Paired tests against b"
    with pytest.raises(UnknownNameError, match="unknown method of these rows 'c'"):
        pages(results(rows, plan={"reference": "c"}))
    variants = rows_of(dict(zip(("a", "fusion-cam(budget=9)"), shifted_values(0, 1), strict=True)))
    assert results(variants).reference == "fusion-cam(budget=9)"


def test_mean_ranks_leave_baselines_out():
    """Three methods in a fixed order have ranks 1, 2, 3 despite a better baseline."""
    base = np.random.default_rng(0).random(20)
    values = {"a": base + 2, "b": base + 1, "c": base, "ones": base + 9}
    table = page_of(results(rows_of(values)), "ranks").tables[0]

    assert [(name, cells[0].text) for name, cells in table.body] == [("a", "1.00"), ("b", "2.00"), ("c", "3.00")]
    assert [(name, cells[0].text) for name, cells in table.footer] == [
        ("CD", "0.74"),
        ("Friedman's p", "< 0.001"),
        ("images", "20"),
    ]


# -- ablations -------------------------------------------------------------------------------------------------

ABLATION = [
    "fusion-cam",
    "grad-cam",
    "fusion-cam(theta=0)",
    "fusion-cam(theta=50)",
    "fusion-cam(theta=5)",
    "fusion-cam(gradient=grad-cam, region=group-cam)",
    "fusion-cam(gradient=grad-cam, region=score-cam)",
    "fusion-cam(gradient=layer-cam(layer=a.b), region=group-cam)",
    "fusion-cam(gains=raw)",
    "fuse(partners=[grad-cam, layer-cam], rule=max)",
    "ones",
]


def test_ablations_are_found_by_their_settings():
    """There is a sweep in numeric order, a grid, and the variants, each with the plain methods."""
    lists = ablations(ABLATION)

    assert lists["theta"] == ["fusion-cam", "fusion-cam(theta=0)", "fusion-cam(theta=5)", "fusion-cam(theta=50)"]
    assert lists["gradient-region"] == ["fusion-cam", *ABLATION[5:8]]
    assert lists["variants"] == ["fusion-cam", "grad-cam", *ABLATION[8:10]]
    assert main_methods(ABLATION, lists) == ["fusion-cam", "grad-cam", "ones"]
    assert [(sweep.setting, list(sweep.methods)) for sweep in find_sweeps(ABLATION)] == [("theta", [0, 5, 50])]
    assert [(grid.rows, grid.columns, len(grid.methods)) for grid in find_grids(ABLATION)] == [
        ("gradient", "region", 3)
    ]


def test_setting_without_its_plain_method_is_not_an_ablation():
    """Such a method counts as a main method."""
    methods = ["grad-cam", "fusion-cam(region=group-cam)", "ones", "random(seed=3)"]

    assert ablations(methods) == {}
    assert main_methods(methods, {}) == methods


def test_plan_may_name_the_tables():
    """Its lists are used as they are, and `main` names the methods of the other tables."""
    plan = {"tables": {"gains": ["fusion-cam(gains=raw)", "never ran"], "main": ["grad-cam", "ones"], "none": ["x"]}}
    found = results(rows_of({name: [0.1, 0.2] for name in ABLATION}), plan=plan)

    assert [name for name, _ in page_of(found, "ablation-gains").tables[0].body] == ["fusion-cam(gains=raw)"]
    assert list(cells_of(page_of(found).tables[0])) == ["grad-cam", "ones"]
    assert {page.name for page in pages(found)} == {"faithfulness", "cost", "ablation-gains"}


def test_ablations_have_pages():
    """The main tables leave out the methods of ablations."""
    found = results(rows_of({name: [0.1, 0.2] for name in ABLATION}))

    assert [page.name for page in pages(found)][-3:] == [
        "ablation-theta",
        "ablation-gradient-region",
        "ablation-variants",
    ]
    assert list(cells_of(page_of(found).tables[0])) == ["fusion-cam", "grad-cam", "ones"]
    assert page_of(found, "ablation-theta").title == "Ablation: theta"


def test_specs_are_split_into_name_and_settings():
    """Brackets and nested settings stay whole."""
    spec = "fuse(partners=[grad-cam, layer-cam(layer=a.b)], rule=max)"

    assert split_spec(spec) == ("fuse", (("partners", "[grad-cam, layer-cam(layer=a.b)]"), ("rule", "max")))
    assert split_spec("grad-cam") == ("grad-cam", ())
    assert base_name("fusion-cam:official(theta=20)") == "fusion-cam"


def test_baselines_are_those_of_the_library():
    """The report has its own list of their names."""
    families = {name: getattr(method, "family", "") for name, method in METHODS.items()}

    assert set(BASELINES) == {name for name, family in families.items() if family == "baseline"}


# -- how it is written -----------------------------------------------------------------------------------------


def test_markdown_is_aligned():
    """All lines of a grid have one length; numbers are right-aligned; dashes separate the baselines."""
    names = ("fusion-cam", "score-cam", "a|b_c*", "ones")
    text = markdown(page_of(results(rows_of(dict(zip(names, shifted_values(0.3, 0, 0, 0), strict=True))))))
    grid = [line for line in text.splitlines() if line.startswith("|")]

    assert len({len(line) for line in grid}) == 1
    assert re.fullmatch(r"\| method {5,}\| {4,}insertion ↑ \|", grid[0])
    assert re.fullmatch(r"\| -+ \| -+: \|", grid[1])
    assert re.fullmatch(r"\| fusion-cam +\| \*\*0\.\d+\*\* \[0\.\d+, 0\.\d+\] \|", grid[2])
    assert grid[4].startswith(r"| a\|b_c\* ")
    assert set(grid[5]) <= set("|— ")
    assert grid[6].startswith("| ones ")
    assert text.startswith("# Faithfulness\n\n## Faithfulness, lite0\n\n| method")
    assert "\n\n## Notes\n\n- Cells: mean over images [95 % bootstrap interval" in text


def test_latex_is_valid_and_escaped():
    """Rows have as many cells as the header, environments and braces are closed, and special characters escaped."""
    names = ("fusion-cam", "a_b&c%d#e$f{g}h~i^j\\k", "ones")
    found = results(
        rows_of(dict(zip(names, shifted_values(0.3, 0, 0), strict=True)), model="my_net", metric="road(fill=blur)")
    )
    text = latex(page_of(found))

    for name in ("table*", "tabular", "minipage"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    for rule in ("toprule", "bottomrule"):
        assert text.count(rf"\{rule}") == 1
    assert text.count(r"\midrule") == 2  # below the head, above the baselines
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {1}
    assert r"a\_b\&c\%d\#e\$f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k & " in text
    assert r"\textbf{0.8" in text
    assert r"\label{tab:faithfulness-my-net}" in text
    assert text.isascii()


def test_csv_holds_full_numbers(tmp_path):
    """There is one record per number, with all details that tables leave out."""
    values = dict(zip(("fusion-cam", "score-cam"), shifted_values(0.3, 0.0), strict=True))
    write_report(save(tmp_path / "run", rows_of(values)))

    with (tmp_path / "run/tables/faithfulness.csv").open() as file:
        first = next(csv.DictReader(file))
    assert float(first["mean"]) == pytest.approx(np.mean(values["fusion-cam"]), rel=1e-12)
    assert first["leads"] == "alone"
    assert first["protocol"] == "Insertion(steps=4, fill=blur)"


# -- files -----------------------------------------------------------------------------------------------------


def test_report_is_complete_and_reproducible(tmp_path):
    """Every file is listed, is not empty, and has the same bytes when it is written again."""
    rows = [
        *rows_of(dict(zip(("fusion-cam", "b", "c", "ones"), shifted_values(0.3, 0, 0, 0), strict=True))),
        row(**ERROR),
    ]
    folder = save(tmp_path / "run", rows, {"methods": ["b", "fusion-cam", "c", "ones"]})
    written = write_report(folder)
    first = {path: path.read_bytes() for path in written}

    assert {path for path in folder.rglob("*.*") if path.parent != folder} == set(written)
    assert {path.suffix for path in written} == {".md", ".tex", ".csv", ".png", ".svg", ".pdf"}
    assert all(first.values())
    assert write_report(str(folder)) == written
    assert {path: path.read_bytes() for path in written} == first
    assert [name for name, _ in page_of(read_results(folder)).tables[0].body] == ["b", "fusion-cam", "c"]


def test_unwritable_folder_is_reported(tmp_path):
    """A file stands where the folder should be."""
    folder = save(tmp_path / "run", rows_of({"a": [0.1, 0.2]}))
    (folder / "tables").write_text("not a folder")

    with pytest.raises(OutputError, match="cannot write into"):
        write_report(folder)


def test_missing_files_are_reported(tmp_path):
    """The plan or the rows are missing."""
    with pytest.raises(ResultsError, match=r"plan\.json does not exist: pass the folder of a"):
        write_report(tmp_path / "nowhere")
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(ResultsError, match=r"rows\.parquet does not exist.*has finished"):
        write_report(tmp_path)


@pytest.mark.parametrize("text", ['{"methods": [', "[]", "\udcff"])
def test_invalid_plan_is_reported(tmp_path, text):
    """It is truncated, JSON of another kind, or not text."""
    folder = save(tmp_path / "run", rows_of({"a": [0.1, 0.2]}))
    (folder / "plan.json").write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(ResultsError, match=r"plan\.json is damaged"):
        write_report(folder)


@pytest.mark.parametrize("keep", [0, 100, -9])
def test_truncated_rows_are_reported(tmp_path, keep):
    """The file is empty or truncated."""
    folder = save(tmp_path / "run", rows_of({"a": [0.1, 0.2]}))
    whole = (folder / "rows.parquet").read_bytes()
    (folder / "rows.parquet").write_bytes(whole[:keep])

    with pytest.raises(ResultsError, match=r"rows\.parquet cannot be read, it is truncated or not a Parquet file"):
        write_report(folder)


def test_wrong_columns_are_reported():
    """One is missing, or one is unknown; the message suggests the nearest name."""
    frame = pd.DataFrame(rows_of({"a": [0.1]}))

    with pytest.raises(ResultsError, match="the rows lack value, protocol"):
        results_of(frame.drop(columns=["value", "protocol"]))
    with pytest.raises(ResultsError, match=r"unknown column 'second'.*did you mean 'seconds'"):
        results_of(frame.assign(second=1.0))


def test_rows_without_any_value_are_reported():
    """Every image failed, or there are no rows."""
    with pytest.raises(ResultsError, match=r"all 1 images failed: torn\.jpg: truncated"):
        results([row(**ERROR)])
    with pytest.raises(ResultsError, match="no row with a value"):
        results_of(pd.DataFrame(columns=list(COLUMNS)))


def test_rows_of_two_protocols_are_refused():
    """Their numbers are not comparable."""
    rows = [*rows_of({"a": [0.1]}), *rows_of({"b": [0.1]}, protocol=json.dumps({"metric": "Insertion", "steps": 9}))]

    with pytest.raises(ResultsError, match="'insertion' has more than one protocol"):
        pages(results(rows))
    with pytest.raises(ResultsError, match="the column protocol must contain JSON"):
        pages(results(rows_of({"a": [0.1]}, protocol="{")))


def test_duplicate_row_is_reported():
    """It is unknown which of the two is right."""
    rows = rows_of({"a": [0.1]}) * 2

    with pytest.raises(ResultsError, match=r"two rows of lite0, 000\.jpg, a, insertion"):
        pages(results(rows))


@pytest.mark.parametrize(("package", "needed_by"), [("pandas", "tables"), ("pyarrow", "rows")])
def test_missing_package_of_the_extra_is_reported(tmp_path, monkeypatch, package, needed_by):
    """The message names the extra to install."""
    folder = save(tmp_path / "run", rows_of({"a": [0.1, 0.2]}))
    with monkeypatch.context() as without:
        without.setitem(__import__("sys").modules, package, None)
        with pytest.raises(
            MissingExtraError, match=rf'{needed_by} need {package}: pip install "fusioncam\[benchmark\]"'
        ):
            write_report(folder)
