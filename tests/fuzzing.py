"""Hostile inputs of six kinds, each drawn from a seed, for which the library must work or raise a FusionCamError.

As a program: ``fuzzing.py KIND SECONDS [FIRST SEED]``; it prints how many inputs were tried and what was refused.
"""

from __future__ import annotations

import copy
import io
import json
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import save_file

from fusioncam import Preprocessing
from fusioncam.benchmark.api import collect_results
from fusioncam.benchmark.journal import Journal
from fusioncam.benchmark.models_file import read_models_file
from fusioncam.benchmark.plan import Plan, as_plan, load_plan
from fusioncam.benchmark.run_folder import HeatmapStore, open_run
from fusioncam.benchmark.run_setup import changed_versions
from fusioncam.bulk import BulkPlan
from fusioncam.bulk.plan import require_same
from fusioncam.bulk.storage import Folder
from fusioncam.data.datasets import open_dataset
from fusioncam.data.datasets.annotations import read_header
from fusioncam.data.images import open_image
from fusioncam.errors import FusionCamError
from fusioncam.methods.registry import as_methods
from fusioncam.metrics.registry import as_metrics
from fusioncam.report.html import write_html_report
from fusioncam.report.html.stored_explanations import read_explanations, read_heatmap
from fusioncam.report.results import read_results
from fusioncam.report.tables.means import pages
from reports import write_explanations, write_run
from runs import stored_row
from samples import painted

LONG = "9" * 5000  # a number of more digits than Python converts
DEEP = "[" * 3000 + "]" * 3000
VALUES = [None, True, False, -1, 0, 3, 2**70, 10**400, 0.5, 1e300, float("nan"), float("inf"), "", "x", "y" * 3000]
VALUES += [
    "\0",
    "\udcff",
    "../x",
    "nan",
    "2020-01-01",
    "=1+1",
    [],
    {},
    [[]],
    {"a": 1},
    [None],
    ["a", 1],
    "@LONG@",
    "@DEEP@",
]
PREPROCESSING = Preprocessing((32, 32), 32)


# -- changes ---------------------------------------------------------------------------------------------------------


def changed_json(rng: random.Random, content: object) -> bytes:
    """Return JSON of the content with one or two values replaced, removed or added anywhere, sometimes torn."""
    content = json.loads(json.dumps(content))
    for _ in range(rng.choice([1, 1, 2])):
        content = changed_value(rng, content)
    text = json.dumps(content).replace('"@LONG@"', LONG).replace('"@DEEP@"', DEEP)
    data = text.encode()
    return changed_bytes(rng, data) if rng.random() < 0.2 else data


def changed_value(rng: random.Random, content: object) -> object:
    """Return the content with one value changed, at a random depth."""
    inner = list(
        content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    )
    if not inner or rng.random() < 0.15:
        return copy.deepcopy(rng.choice(VALUES))
    key, value = rng.choice(inner)
    action = rng.random()
    if action < 0.1:
        del content[key]
    elif action < 0.2 and isinstance(content, dict):
        content[rng.choice(["", "x" * 500, "a", "1"])] = value
    elif action < 0.2:
        content.insert(key, copy.deepcopy(rng.choice(VALUES)))
    else:
        content[key] = changed_value(rng, value)
    return content


def changed_bytes(rng: random.Random, data: bytes) -> bytes:
    """Return the bytes torn, with some changed, repeated, removed or inserted."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 20])):
        start = rng.randrange(len(changed) + 1)
        end = min(len(changed), start + rng.choice([1, 4, 50]))
        new = rng.choice([b"", b"\xff" * 4, b"\0" * 4, rng.randbytes(end - start), bytes(changed[start:end]) * 3])
        changed[start:end] = new
    return bytes(changed[: rng.randrange(len(changed) + 1)] if rng.random() < 0.2 else changed)


# -- kinds -----------------------------------------------------------------------------------------------------------


def images(rng: random.Random, folder: Path) -> None:
    """Open a damaged image."""
    kind, mode = (
        rng.choice(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA"]),
        rng.choice(["RGB", "L", "P"]),
    )
    buffer = io.BytesIO()
    image = Image.fromarray(
        np.random.default_rng(rng.randrange(9)).integers(0, 256, (24, 20), np.uint16).astype(np.uint8)
    )
    image = (
        Image.fromarray(np.arange(480, dtype=np.uint16).reshape(24, 20))
        if kind == "PNG" and rng.random() < 0.3
        else image.convert(mode)
    )
    image.convert("RGB" if kind in ("JPEG", "WEBP") else image.mode if kind != "PPM" else "L").save(buffer, kind)
    path = folder / f"image.{kind.lower()}"
    path.write_bytes(changed_bytes(rng, buffer.getvalue()))
    assert open_image(path).mode == "RGB"
    read_header(path)


TOKENS = [
    "grad-cam",
    "fusion-cam",
    "score-cam",
    "layer-cam",
    "insertion",
    "road",
    "iou",
    "ones",
    "smooth",
    "(",
    ")",
    "(",
    ")",
]
TOKENS += [
    "[",
    "]",
    ",",
    "=",
    "|",
    "theta",
    "gradient",
    "region",
    "steps",
    "layer",
    "20",
    "-1",
    "1e9",
    "nan",
    "none",
    "true",
    LONG,
]
TOKENS += [
    "a|" * 300,
    "(" * 30,
    "1|2|3|4|5|6|7|8|9",
    "\0",
    "\x1b[2J",
    " ",
    "é",
    "theta=" + "|".join(map(str, range(60))),
]


def specs(rng: random.Random, folder: Path) -> None:
    """Parse the SPEC of methods and of metrics."""
    tokens = rng.choices(TOKENS, k=rng.randrange(1, 14))
    if rng.random() < 0.5:
        settings = ", ".join(f"{rng.choice(TOKENS)}={rng.choice(TOKENS)}" for _ in range(rng.randrange(4)))
        tokens = [rng.choice(TOKENS), "(", settings, ")", *rng.choices(TOKENS, k=rng.randrange(2))]
    for parse in (as_methods, as_metrics):
        try:
            found = parse("".join(tokens))
        except FusionCamError as error:
            require_short(error)
            continue
        assert len(found) <= 1000


PLAN = """data: photos
model: [samples:small, efficientnet_lite0]
method: [grad-cam, fusion-cam(theta=20)]
metric: average-drop
limit: 3
seed: 1
layer: conv
"""
YAML = [
    "&a [*a]",
    "*a",
    "2020-01-01",
    "2020-13-45",
    "!!python/object:os.system x",
    "!!int x",
    "!!timestamp x",
    "!!binary x",
]
YAML += [
    "!!set {a}",
    "{a: b}",
    "{<<: {a: 1}}",
    "0x" + "f" * 5000,
    LONG,
    DEEP,
    "~",
    "[]",
    "[[a]]",
    "1e400",
    ".nan",
    "? x",
    "'",
    "|",
    "\t",
    "%",
]
YAML += [
    "&b [x, x]",
    "[*b, *b]",
    "!!bool x",
    "!!float x",
    "!!null x",
    "<<",
    "- a",
    ": :",
    "\0",
    "é",
    "---\n",
    "...\n",
    "!",
    "1:30",
    "yes",
]
ALIASES = ["&a0 [x, x]", *(f"&a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))]
BOMB = f"method: [{', '.join(ALIASES)}]\n"
MERGES = "\n".join(["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40)), ""])


def yaml(rng: random.Random, folder: Path) -> None:
    """Read a plan."""
    lines = PLAN.splitlines()
    for _ in range(rng.randrange(1, 4)):
        key = rng.choice(["data", "model", "method", "metric", "limit", "seed", "layer", "device", "<<", "x", LONG])
        lines.insert(rng.randrange(len(lines) + 1), f"{key}: {rng.choice(YAML)}")
        del lines[rng.randrange(len(lines))]
    text = "\n".join(lines) + "\n"
    text = rng.choice([text, text, text, BOMB + text, text + MERGES, rng.choice(YAML), rng.choice(YAML) + text])
    data = text.encode()
    path = folder / "plan.yaml"
    path.write_bytes(changed_bytes(rng, data) if rng.random() < 0.3 else data)
    assert isinstance(as_plan(path), Plan)


COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 36}, {"id": 2, "file_name": "a.png"}],
    "categories": [{"id": 1, "name": "ash"}, {"id": 7, "name": "elm"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 9, 8], "segmentation": [[1, 1, 9, 1, 9, 9]]},
        {"id": 2, "image_id": 1, "category_id": 7, "segmentation": {"size": [36, 40], "counts": [100, 40, 1300]}},
        {"id": 3, "image_id": 2, "category_id": 7, "segmentation": {"size": [36, 40], "counts": "52203"}},
    ],
}
LABELS = ("ash", "birch", "cedar", "dogwood", "elm")


def coco(rng: random.Random, folder: Path) -> None:
    """Read a data set of COCO with its boxes and masks."""
    painted(0).save(folder / "a.png")
    file = folder / "instances.json"
    content = json.loads(json.dumps(COCO))
    if rng.random() < 0.3:
        content["images"][0] |= {"width": 40 * 10 ** rng.randrange(6), "height": 36 * 10 ** rng.randrange(6)}
    file.write_bytes(changed_json(rng, content))
    read_all(open_dataset(file, labels=LABELS))


CSV = [
    ["path", "label", "x0", "y0", "x1", "y1"],
    ["a.png", "ash", "1", "2", "9", "8"],
    ["a.png", "4", "", "", "", ""],
]
CELLS = [
    "",
    "a.png",
    "x" * 300,
    "x" * 140_000,
    "/etc/passwd",
    "..",
    LONG,
    "--5",
    "-1",
    "٣",
    "²",
    "nan",
    "1e999",
    '"',
    "a\nb",
    "\0",
    "ash",
    "=1",
]


def csv(rng: random.Random, folder: Path) -> None:
    """Read a table of images, and a class map."""
    painted(0).save(folder / "a.png")
    rows = [list(row) for row in CSV]
    for _ in range(rng.randrange(1, 4)):
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = rng.choice(CELLS)
        rows.append([rng.choice(CELLS) for _ in range(rng.randrange(1, 7))] if rng.random() < 0.2 else list(row))
    data = "\n".join(map(",".join, rows)).encode(errors="replace")
    (folder / "table.csv").write_bytes(changed_bytes(rng, data) if rng.random() < 0.3 else data)
    (folder / "map.csv").write_text(f"0,ash\n{rng.choice(CELLS)},{rng.choice(CELLS)}\n", errors="replace")
    class_map = folder / "map.csv" if rng.random() < 0.5 else None
    read_all(open_dataset(folder / "table.csv", labels=LABELS, class_map=class_map))


def read_all(samples) -> None:
    """Open every sample with its truth."""
    for sample in samples:
        try:
            sample.open()
            sample.truth(PREPROCESSING)
        except FusionCamError as error:
            require_short(error)


def run_folders(rng: random.Random, folder: Path) -> None:
    """Read the folder of a run whose files are changed in one place."""
    reader, write = rng.choice(
        [(read_benchmark, write_benchmark), (read_explain, write_explain), (read_bulk, write_bulk)]
    )
    write(rng, folder / "run")
    reader(folder / "run", report=rng.random() < 0.02)


def write_benchmark(rng: random.Random, run: Path) -> None:
    """Write the folder of a benchmark, with one file changed."""
    write_run(run, ["a.png"], methods=("grad-cam", "ones"))
    lines = [
        stored_row(image, versions='{"torch": "2"}', protocol="{}", curve=[0.5, None], target=1) for image in "ab"
    ]
    journal = Journal(run / "rows.jsonl")
    for line in lines:
        journal.append([line])
    name = rng.choice(["plan.json", "models.json", "rows.jsonl", "rows.parquet", "heatmaps"])
    if name.endswith(".json"):
        (run / name).write_bytes(changed_json(rng, json.loads((run / name).read_bytes())))
    elif name == "rows.jsonl":
        stored = (run / name).read_bytes().splitlines()
        stored[rng.randrange(2)] = changed_json(rng, json.loads(stored[0]))
        (run / name).write_bytes(b"\n".join(stored) + b"\n")
    elif name == "rows.parquet":
        change_parquet(rng, run / name)
    else:
        change_heatmaps(rng, next((run / "heatmaps").rglob("*.safetensors")))


def change_parquet(rng: random.Random, path: Path) -> None:
    """Give one column other values or another type, or damage the file."""
    if rng.random() < 0.2:
        path.write_bytes(changed_bytes(rng, path.read_bytes()))
        return
    table = pq.read_table(path)
    name = rng.choice(table.schema.names)
    values = [
        [rng.choice([None, 1, 2])],
        [rng.choice(["x", "{}", "=1", None])],
        [0.5],
        [float("inf")],
        [True],
        [[0.5, None]],
    ]
    values += [[["x"]], [{"a": 1}], [b"x"], [[[0.5]]], [None]]
    column = pa.array(rng.choice(values) * len(table))
    pq.write_table(table.set_column(table.schema.names.index(name), name, column), path)


def change_heatmaps(rng: random.Random, path: Path) -> None:
    """Store other tensors than heatmaps, or damage the file."""
    tensors = [
        torch.ones(48, 48, dtype=torch.int64),
        torch.full((48, 48), torch.nan),
        torch.rand(48),
        torch.rand(0, 5),
    ]
    tensors += [
        torch.rand(2, 3, 4, 5),
        torch.tensor(True),
        torch.rand(48, 48) * 9,
        torch.rand(48, 48).bfloat16(),
        torch.rand(7, 9),
    ]
    tensors += [torch.rand(4, 4, dtype=torch.complex64)]
    if rng.random() < 0.3:
        path.write_bytes(changed_bytes(rng, path.read_bytes()))
    else:
        save_file({rng.choice(["grad-cam", "x", ""]): rng.choice(tensors)}, path)


def read_benchmark(run: Path, *, report: bool) -> None:
    """Use every file of a benchmark's folder."""
    results = read_results(run)
    for page in pages(results):
        assert page.name
    for info in read_models_file(run).values():
        assert info.class_name(1)
    HeatmapStore(run / "heatmaps").load("lite0", "a.png")
    plan = load_plan(run / "plan.json")
    journal = open_run(run, plan, extend=True) if plan else Journal(run / "rows.jsonl")
    rows = [journal.rows(*key) for key in journal.images()]
    assert all(rows)
    assert list(changed_versions(journal, [])) == []
    collect_results(run)
    if report:
        write_html_report(run)


def write_explain(rng: random.Random, run: Path) -> None:
    """Write the folder of explanations, with one file changed."""
    write_explanations(run, ["a.png"], trust_card=None)
    path = run / "explanations.json"
    if rng.random() < 0.8:
        path.write_bytes(changed_json(rng, json.loads(path.read_bytes())))
    else:
        heatmap = rng.choice(sorted(run.glob("*.npy")))
        heatmap.write_bytes(changed_bytes(rng, heatmap.read_bytes()))


def read_explain(run: Path, *, report: bool) -> None:
    """Use every file of a folder of explanations."""
    for heatmap in run.glob("*.npy"):
        read_heatmap(heatmap)
    stored = read_explanations(run)
    assert all(one.caption and one.title for one in stored.explanations)
    if report:
        write_html_report(run)


def write_bulk(rng: random.Random, run: Path) -> None:
    """Write a manifest, changed in one place."""
    run.mkdir()
    (run / "manifest.json").write_bytes(changed_json(rng, {"plan": {"images": ["a"], "shard": 512, "model": "m"}}))


def read_bulk(run: Path, *, report: bool) -> None:
    """Compare the manifest with a plan."""
    require_same(Folder(str(run)), BulkPlan(("a",)))


KINDS = {"images": images, "specs": specs, "yaml": yaml, "coco": coco, "csv": csv, "run folders": run_folders}


# -- running ---------------------------------------------------------------------------------------------------------


def require_short(error: FusionCamError) -> None:
    """Fail for a message that repeats a large part of the input."""
    assert len(error.explained()) < 5000, error.explained()[:300]


def attempt(kind: str, seed: int) -> str:
    """Try one input, and return the name of the error that refused it, or "worked"."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            KINDS[kind](random.Random(f"{kind} {seed}"), Path(folder))
        except FusionCamError as error:
            require_short(error)
            return type(error).__name__
        except BaseException as error:
            error.add_note(f"{kind}, seed {seed}")
            raise
    return "worked"


def fuzz(kind: str, seconds: float, first: int = 0) -> Counter:
    """Try inputs for so many seconds, and return how often each result came."""
    found, end, seed = Counter(), time.monotonic() + seconds, first
    while time.monotonic() < end:
        found[attempt(kind, seed)] += 1
        seed += 1
    return found


if __name__ == "__main__":
    kind, seconds, first = sys.argv[1], float(sys.argv[2]), int([*sys.argv, "0"][3])
    found = fuzz(kind, seconds, first)
    print(
        f"{kind}: seeds {first} to {first + found.total() - 1}, {found.total():,} inputs: {dict(found.most_common())}"
    )
