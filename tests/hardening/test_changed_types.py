"""Stored files, annotations, SPECs and weights of wrong types or sizes: the error says what is wrong, and where."""

from __future__ import annotations

import json
import tracemalloc

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from fusioncam import Preprocessing
from fusioncam.benchmark.journal import Journal
from fusioncam.benchmark.models_file import read_models_file
from fusioncam.benchmark.run_folder import HeatmapStore
from fusioncam.data.datasets import open_dataset
from fusioncam.errors import DatasetError, ResultsError, SettingError, WeightsError
from fusioncam.methods.registry import as_methods
from fusioncam.report.results import read_results
from fusioncam.zoo.checkpoints import load_checkpoint
from fuzzing import COCO, DEEP, LABELS, LONG
from reports import write_run
from runs import stored_row
from samples import Small, painted

OTHER_TYPES = {
    "model": 3,
    "image": None,
    "target": "3",
    "label": 1.5,
    "versions": "[]",
    "method": ["grad-cam"],
    "metric": 1,
    "value": "0.5",
    "curve": [0.1, "x"],
    "protocol": 7,
    "family": True,
    "higher_is_better": "yes",
    "shares_objective": 1,
    "seconds": "1",
    "passes": 10**400,
    "error": False,
}


@pytest.mark.parametrize("column", OTHER_TYPES)
def test_rows_of_other_types_are_refused(tmp_path, column):
    """The error names the line of the journal and the column."""
    journal = Journal(tmp_path / "rows.jsonl")
    journal.append([stored_row("a")])
    journal.append([stored_row("b")])
    first, second = journal.path.read_bytes().splitlines()
    line = json.loads(second)
    (line if column in line else line["rows"][0])[column] = OTHER_TYPES[column]
    journal.path.write_bytes(first + b"\n" + json.dumps(line).encode() + b"\n")
    with pytest.raises(ResultsError, match=rf"line 2 of .*rows\.jsonl is damaged.*\b{column}\b"):
        Journal(journal.path)


def test_numbers_that_are_whole_or_missing_are_accepted(tmp_path):
    """JSON does not tell 1.0 from 1, and a row may lack what is unknown."""
    journal = Journal(tmp_path / "rows.jsonl")
    journal.append([stored_row(value=1, passes=3, curve=[0, None], protocol='{"steps": 4}')])
    (row,) = Journal(journal.path).rows("m", "a")
    assert (row["value"], row["passes"], row["curve"], row["label"]) == (1.0, 3.0, [0.0, None], None)


@pytest.mark.parametrize(
    ("column", "values", "problem"),
    [
        ("value", ["a", "b"], "the column value must be float64, got"),
        ("curve", [["a"], ["b"]], "the column curve must be"),
        ("method", [1, 2], "the column method must be string, got int64"),
        ("value", [0.5, float("inf")], "row 2: value must be finite"),
        ("image", ["a", None], "row 2: it has no image"),
        ("protocol", [None, "{}"], "row 1: it has no protocol"),
    ],
)
def test_parquet_of_other_types_is_refused(tmp_path, column, values, problem):
    """The error names the file, and the row or the column."""
    run = write_run(tmp_path / "run", ["a.png"], methods=("ones",), keep_heatmaps=False)
    rows = pd.read_parquet(run / "rows.parquet")
    rows[column] = pd.Series(values)
    rows.to_parquet(run / "rows.parquet")
    with pytest.raises(ResultsError, match=rf"rows\.parquet.*{problem}"):
        read_results(run)


@pytest.mark.parametrize(
    ("change", "location"),
    [
        ({"size": [2**40, 2]}, "size"),
        ({"size": "32"}, "size"),
        ({"mean": [0.5, "x", 0.5]}, r"mean\.1"),
        ({"interpolation": "sinc"}, "interpolation"),
        ({"std": [0, 1, 1]}, "std"),
    ],
)
def test_models_of_other_types_are_refused(tmp_path, change, location):
    """The error names the file and the setting."""
    run = write_run(tmp_path / "run", ["a.png"], keep_heatmaps=False)
    content = json.loads((run / "models.json").read_text())
    content["models"]["lite0"]["preprocessing"] |= change
    (run / "models.json").write_text(json.dumps(content))
    with pytest.raises(ResultsError, match=rf"models\.json is damaged.*{location}"):
        read_models_file(run)


def test_heatmaps_of_other_types_are_refused(tmp_path):
    """The error names the file, the method and the type."""
    store = HeatmapStore(tmp_path)
    store.save("m", "a", {"grad-cam": torch.rand(8, 8)})
    assert store.load("m", "a")["grad-cam"].shape == (8, 8)
    for tensor in (
        torch.ones(8, 8, dtype=torch.int64),
        torch.full((8, 8), torch.nan),
        torch.rand(0, 8),
        torch.rand(()) + 2,
    ):
        save_file({"grad-cam": tensor}, store.path("m", "a"))
        with pytest.raises(ResultsError, match=r"safetensors: 'grad-cam' is not a heatmap"):
            store.load("m", "a")


def coco_of(tmp_path, text=None, **changes):
    """Return a data set of COCO with some parts changed, or with this text."""
    painted(0).save(tmp_path / "a.png")
    (tmp_path / "instances.json").write_text(text or json.dumps(COCO | changes))
    return open_dataset(tmp_path / "instances.json", labels=LABELS)


def test_a_claimed_size_uses_no_memory(tmp_path):
    """A mask of 2 gigapixels is refused before it is drawn."""
    pytest.importorskip("pycocotools")
    samples = coco_of(
        tmp_path, images=[{"id": 1, "file_name": "a.png", "width": 50_000, "height": 45_000}, *COCO["images"][1:]]
    )
    tracemalloc.start()
    with pytest.raises(DatasetError, match="annotated at 50000 x 45000 pixels, more than"):
        samples[0].truth(Preprocessing((32, 32), 32))
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (json.dumps(COCO).replace("1", LONG, 1), "cannot read"),
        (DEEP * 40, "cannot read"),
        (
            json.dumps(COCO).replace('"id": 7', '"id": "7"').replace('"category_id": 7', '"category_id": "7"'),
            "all numbers or all",
        ),
        (json.dumps(COCO).replace('"id": 7', '"id": true'), "each entry of categories must have id"),
        (json.dumps(COCO).replace("[1, 2, 9, 8]", f"[1, 2, 9, {10**400}]"), "bbox of annotation 1 must be"),
    ],
)
def test_numbers_nesting_and_ids_of_coco_are_checked(tmp_path, text, problem):
    """Each is an error of the data set, in a short message."""
    with pytest.raises(DatasetError, match=problem) as caught:
        coco_of(tmp_path, text)
    assert len(str(caught.value)) < 600 + len(str(tmp_path))


def test_run_lengths_without_end_are_refused(tmp_path):
    """A number of a million digits takes no time."""
    pytest.importorskip("pycocotools")
    annotations = [COCO["annotations"][0] | {"segmentation": {"size": [36, 40], "counts": "o" * 10**6}}]
    with pytest.raises(DatasetError, match="a segment must be a list of polygons"):
        coco_of(tmp_path, annotations=annotations)[0].truth(Preprocessing((32, 32), 32))


@pytest.mark.parametrize("label", [LONG, "--5", "x" * 5000])
def test_labels_of_tables_and_class_maps_are_checked(tmp_path, label):
    """A number of too many digits is a name that is not known."""
    painted(0).save(tmp_path / "a.png")
    (tmp_path / "table.csv").write_text(f"path,label\na.png,{label}\n")
    (tmp_path / "map.csv").write_text(f"0,ash\n{label},elm\n")
    for settings in ({}, {"class_map": tmp_path / "map.csv"}):
        with pytest.raises(DatasetError) as caught:
            open_dataset(tmp_path / "table.csv", labels=LABELS, **settings)
        assert len(str(caught.value)) < 600 + len(str(tmp_path))


def test_the_combinations_of_a_spec_are_bounded():
    """Neither time nor memory is spent on more."""
    many = "|".join(map(str, range(40)))
    assert len(as_methods(f"fusion-cam(theta={many})")) == 40
    for spec in (f"fusion-cam(theta={many}, budget={many})", "a|" * 6000, "(" * 30 + ")" * 30):
        with pytest.raises(SettingError, match=r"more than 1,000 methods|letters|nested more than"):
            as_methods(spec)


@pytest.mark.parametrize(
    ("convert", "problem"),
    [
        (lambda tensor: tensor.to_sparse(), "is sparse"),
        (lambda tensor: tensor.to("meta"), "is a meta tensor"),
        (lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8), "is quantised"),
        (lambda tensor: torch.nested.nested_tensor([tensor[0], tensor[1]]), "is sparse or nested"),
        (lambda tensor: tensor.to(torch.complex64), "has complex"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_tensors_without_plain_values_are_refused(tmp_path, convert, problem):
    """The error names the tensor, and the network stays as it was."""
    network = Small()
    before = network.fc.weight.clone()
    torch.save(
        network.state_dict() | {"conv.weight": convert(network.conv.weight.detach()), "fc.weight": before * 0},
        tmp_path / "a.pt",
    )
    with pytest.raises(WeightsError, match=rf"conv\.weight {problem}"):
        load_checkpoint(network, tmp_path / "a.pt")
    assert network.fc.weight.equal(before)


def test_a_checkpoint_that_contains_itself_is_searched_once(tmp_path):
    """A dictionary of 300 references to itself would have two billion paths."""
    stored = {}
    for n in range(300):
        stored[f"key {n}"] = stored
    torch.save(stored, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="expected a state dict"):
        load_checkpoint(Small(), tmp_path / "a.pt")
