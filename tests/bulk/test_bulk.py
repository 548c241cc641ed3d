"""Bulk runs: the error of small grids, the contents of rows, storage, and continuing a run."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from PIL import Image

import samples
from fusioncam import Preprocessing, explain_each, read_heatmaps
from fusioncam.bulk import BulkPlan, explain_in_bulk
from fusioncam.bulk.compression import as_grid, from_grid, sizes_for
from fusioncam.bulk.storage import Folder, images_at
from fusioncam.cli.main import main
from fusioncam.cli.ray_options import with_address
from fusioncam.distributed.progress import ProgressListener
from fusioncam.distributed.workers import FailedJob, LocalWorkers
from fusioncam.errors import ImageError, OutputError, ResultsError, SettingError, TargetError
from fusioncam.functional.heatmaps import minmax, relu_above_rounding, upsample
from samples import painted, photos

METHODS = ("grad-cam", "fusion-cam")


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of seven small images in the working directory."""
    monkeypatch.chdir(tmp_path)
    return photos(tmp_path / "photos", 7)


def plan_of(*images, **settings):
    """Return a plan for the small network."""
    settings = {"model": "samples:small", "methods": METHODS, "shard": 3} | settings
    return BulkPlan(tuple(map(str, images)), **settings)


class Counted(ProgressListener):
    """A listener that keeps what it receives."""

    def __init__(self):
        self.total, self.before, self.done, self.plans = 0, 0, [], []

    def started(self, total, done=0, rows=0):
        """Keep the counts."""
        self.total, self.before = total, done

    def planned(self, plan):
        """Keep the plan, and how many images were finished before."""
        planned = plan()
        self.plans.append((planned.images, planned.passes, len(self.done)))

    def rows_finished(self, rows):
        """Keep the image."""
        self.done.append(Path(rows[0]["image"]).name)


# -- grids ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(7, 7), (9, 5), (14, 14)])
def test_heatmap_of_a_layer_is_stored_at_the_layer_size(size):
    """An upsampled and scaled map is reproduced up to the rounding of half precision."""
    torch.manual_seed(1)
    heatmap = minmax(upsample(relu_above_rounding(torch.randn(1, *size)), (224, 160)))[0]
    grid = as_grid(heatmap, sizes_for((224, 160), [size]), 0.005)

    assert tuple(grid.values.shape) == size
    assert grid.largest < 1e-3
    assert (from_grid(grid.values, (224, 160)) - heatmap).abs().max().item() == pytest.approx(grid.largest)


def test_heatmap_that_no_small_grid_reproduces_is_stored_in_full():
    """Noise needs a grid of the input size; a larger tolerance needs fewer numbers."""
    heatmap = torch.rand(32, 32)
    fine = as_grid(heatmap, sizes_for((32, 32)), 0.005)
    assert tuple(fine.values.shape) == (32, 32)
    assert fine.largest < 1e-3
    coarse = as_grid(heatmap, sizes_for((32, 32)), 0.5)
    assert coarse.values.numel() == 1
    assert coarse.rms == pytest.approx((from_grid(coarse.values, (32, 32)) - heatmap).square().mean().sqrt().item())


def test_constant_heatmap_needs_the_smallest_grid():
    """A heatmap of zeros uses the smallest grid that is tried."""
    assert as_grid(torch.zeros(64, 48), sizes_for((64, 48)), 0.0).values.numel() == 4


def test_window_is_what_the_network_receives():
    """The window is in pixels of the image and equals the crop of the preprocessing."""
    preprocessing = Preprocessing((20, 20), 32)
    image = samples.corners(60, 40)
    left, top, right, bottom = preprocessing.visible_box(image.size)
    assert (left, right) == (pytest.approx(17.5), pytest.approx(42.5))
    assert (top, bottom) == (pytest.approx(7.5), pytest.approx(32.5))
    view = np.asarray(preprocessing.view(image).convert("RGB"))
    assert view[0, 0].tolist()[0] > 200


# -- runs -----------------------------------------------------------------------------------------------------


def test_rows_equal_explanations(data):
    """Rows have the facts of the explanations, in the order of file names, and the stated error of the heatmap."""
    outcome = explain_in_bulk(plan_of("photos", target="top2"), "maps")
    assert (outcome.images, outcome.heatmaps, outcome.failures) == (7, 28, 0)
    stored = list(read_heatmaps("maps"))
    paths = [f"photos/{n:02}.png" for n in range(7)]
    explanations = list(explain_each(paths, model=samples.small(), methods=METHODS, target="top2"))

    for one, explanation in zip(stored, explanations, strict=True):
        facts = explanation.facts()
        for name in ("image", "method", "layer", "target", "label", "passes", "partial_passes", "gains"):
            assert one.facts[name] == facts[name]
        assert one.probability == facts["probability"]
        assert (one.heatmap - explanation.heatmap).abs().max().item() == pytest.approx(one.largest, abs=1e-6)
        assert one.rms <= 0.005
        assert (one.facts["width"], one.facts["height"]) == (40, 36)
    assert len({one.facts["rows"] for one in stored}) == 1
    overlay = stored[0].overlay(painted(0))
    assert overlay.size == tuple(
        round(b - a) for a, b in zip(stored[0].window[:2], stored[0].window[2:], strict=True)
    )


def test_rows_are_selected_by_image_and_method(data):
    """read_heatmaps finds one heatmap, and pandas with the manifest reads all columns."""
    explain_in_bulk(plan_of("photos"), "maps")

    (one,) = read_heatmaps("maps", image="photos/04.png", method="fusion-cam")
    assert (one.image, one.method) == ("photos/04.png", "fusion-cam")
    table = pd.concat(map(pd.read_parquet, sorted(Path("maps").glob("part-*.parquet"))))
    assert len(table) == 14
    row = table[(table["image"] == "photos/04.png") & (table["method"] == "fusion-cam")].iloc[0]
    grid = np.frombuffer(row["heatmap"], "<f2").reshape(row["rows"], row["columns"])
    assert np.array_equal(grid, one.grid.numpy())
    manifest = json.loads(Path("maps/manifest.json").read_text())
    assert {*manifest["columns"]} == {*table.columns}
    assert (manifest["images"], manifest["heatmaps"], manifest["shards"]) == (7, 14, 3)
    assert manifest["preprocessing"]["size"] == [32, 32]
    assert "torch" in manifest["versions"]


def test_failing_images_are_rows(data):
    """Truncated and empty files are rows with an error; the other images of the batch succeed."""
    (data / "02.png").write_bytes((data / "02.png").read_bytes()[:80])
    (data / "03b.jpg").write_bytes(b"")
    outcome = explain_in_bulk(plan_of("photos"), "maps", workers=LocalWorkers(4))

    assert (outcome.images, outcome.heatmaps, outcome.failures) == (8, 12, 2)
    assert [Path(row["image"]).name for row in outcome.listed_failures] == ["02.png", "03b.jpg"]
    assert "0 bytes" in outcome.listed_failures[1]["error"]
    table = pd.concat(map(pd.read_parquet, sorted(Path("maps").glob("part-*.parquet"))))
    assert sorted(table.loc[table["error"].notna(), "image"]) == ["photos/02.png", "photos/03b.jpg"]
    assert [Path(one.image).name for one in read_heatmaps("maps", method="grad-cam")] == [
        f"{n:02}.png" for n in (0, 1, 3, 4, 5, 6)
    ]
    again = explain_in_bulk(plan_of("photos"), "maps")
    assert (again.heatmaps, again.failures, again.listed_failures) == (12, 2, ())


def test_image_of_a_failed_job_is_a_row(data):
    """An image that ended its workers has a row with the reason."""

    class Losing(LocalWorkers):
        def run(self, set_up, jobs):
            for job, found in super().run(set_up, jobs):
                yield job, FailedJob("it ended") if str(job).endswith("05.png") else found

    outcome = explain_in_bulk(plan_of("photos"), "maps", workers=Losing())
    assert (outcome.heatmaps, outcome.listed_failures) == (12, ({"image": "photos/05.png", "error": "it ended"},))


def test_invalid_request_ends_the_run(data):
    """An error of the request is raised instead of written into every row."""
    with pytest.raises(TargetError, match=r"class 99"):
        explain_in_bulk(plan_of("photos", target="99"), "maps")
    with pytest.raises(SettingError, match="tolerance"):
        plan_of("photos", tolerance=2)


@pytest.mark.parametrize("at", [0, 2, 5])
def test_stopped_run_continues_at_its_shard(data, at):
    """Complete shards stay, none of their images is repeated, and the result equals an undisturbed run."""
    explain_in_bulk(plan_of("photos"), "whole")

    class Stopped(Counted):
        def rows_finished(self, rows):
            super().rows_finished(rows)
            if len(self.done) == at + 1:
                raise KeyboardInterrupt

    outcome = explain_in_bulk(plan_of("photos"), "maps", listener=Stopped())
    assert outcome.interrupted
    kept = (at + 1) // 3 * 3
    assert outcome.images == kept
    listener = Counted()
    assert explain_in_bulk(plan_of("photos"), "maps", listener=listener).images == 7
    assert (listener.total, listener.before, len(listener.done)) == (7, kept, 7 - kept)
    # Grad-CAM has 1 pass, and Fusion-CAM 1 + 6 + 4; they are planned before the first image
    assert listener.plans == [(7 - kept, 12, 0)]
    for one, other in zip(read_heatmaps("maps"), read_heatmaps("whole"), strict=True):
        assert (one.image, one.method) == (other.image, other.method)
        assert one.grid.equal(other.grid)


def test_folder_of_another_plan_or_other_images_is_refused(data):
    """The error states the difference."""
    explain_in_bulk(plan_of("photos"), "maps")
    with pytest.raises(ResultsError, match=r"tolerance: 0\.005 -> 0\.1"):
        explain_in_bulk(plan_of("photos", tolerance=0.1), "maps")
    painted(9).save(data / "00a.png")
    with pytest.raises(ResultsError, match=r"part-0000000\..* holds other images"):
        explain_in_bulk(plan_of("photos"), "maps")


def test_images_added_at_the_end_are_explained(data):
    """Complete shards before them stay unchanged."""
    plan = plan_of("photos", shard=7)
    explain_in_bulk(plan, "maps")
    painted(9).save(data / "z.png")
    listener = Counted()
    assert explain_in_bulk(plan, "maps", listener=listener).images == 8
    assert listener.done == ["z.png"]


def test_overlays_are_written_on_request(data):
    """Each heatmap has a JPEG that its row names, and which a later run does not explain."""
    plan = plan_of(".", overlays=True, target="top2")
    explain_in_bulk(plan, "maps")
    names = [one.facts["overlay"] for one in read_heatmaps("maps")]

    assert len({*names}) == len(names) == 28
    assert {*names} == {str(one.relative_to("maps")) for one in Path("maps").rglob("*.jpg")}
    with Image.open(Path("maps", names[0])) as image:
        assert image.format == "JPEG"
    assert explain_in_bulk(plan, "maps").images == 7


def test_missing_images_are_reported(data):
    """Paths that do not exist and folders without images are errors."""
    Path("empty").mkdir()
    for path, message in (("none.png", "no such file"), ("empty", "no image in empty"), ("no/*.png", "matches")):
        with pytest.raises(ImageError, match=message):
            explain_in_bulk(plan_of(path), "maps")
    with pytest.raises(ResultsError, match="has no heatmaps"):
        next(iter(read_heatmaps("empty")))


def test_images_are_listed_in_a_fixed_order(data):
    """Images are listed folder by folder without hidden and other files; patterns and single files work too."""
    for name in ("b/c.png", "a/d.jpg", ".hidden/e.png", "a/notes.txt"):
        path = data / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    names = [one.name for one in images_at("photos", "maps")]
    assert names == [f"photos/0{n}.png" for n in range(7)] + ["photos/a/d.jpg", "photos/b/c.png"]
    assert [one.name for one in images_at("photos/0[12].png", "maps")] == ["photos/01.png", "photos/02.png"]
    assert [one.name for one in images_at("photos/03.png", "maps")] == ["photos/03.png"]


def test_a_link_to_itself_takes_its_position(data):
    """It becomes a row with its error, as a folder that cannot be read does, and the images after it are listed."""
    (data / "02a.png").symlink_to("02a.png")
    found = list(images_at("photos", "maps"))
    assert [one.name for one in found[2:5]] == ["photos/02.png", "photos/02a.png", "photos/03.png"]
    with pytest.raises(ImageError, match=r"02a\.png: cannot be read: Too many levels of symbolic links"):
        found[3].open()


def write_bands(folder, count=2):
    """Write TIFFs of six bands, and return their paths."""
    folder.mkdir()
    paths = [folder / f"{n}.tif" for n in range(count)]
    for n, path in enumerate(paths):
        pixels = np.random.default_rng(n).integers(0, 256, (40, 50, 6), np.uint8)
        tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig")
    return paths


def test_images_of_six_bands_are_explained_as_by_explain(tmp_path, monkeypatch):
    """From a folder and from a URL; an image of other bands fails by itself."""
    monkeypatch.chdir(tmp_path)
    paths, system = write_bands(tmp_path / "scenes"), fsspec.filesystem("memory")
    painted(0).save(tmp_path / "scenes" / "2.png")
    for path in (tmp_path / "scenes").iterdir():
        system.pipe_file(f"/scenes/{path.name}", path.read_bytes())
    expected = [one.probability for one in explain_each(paths, model=samples.six_bands(), methods=["grad-cam"])]

    for images, out in (("scenes", "a"), ("memory://scenes", "b")):
        explain_in_bulk(plan_of(images, model="samples:six_bands", methods=["grad-cam"]), out)
        rows = pd.concat(map(pd.read_parquet, sorted(Path(out).glob("*.parquet"))))
        assert rows["probability"].dropna().tolist() == pytest.approx(expected)
        assert rows["image"].tolist() == [f"{images}/{name}" for name in ("0.tif", "1.tif", "2.png")]
        assert "2.png: the network's preprocessing takes 6 channels" in rows["error"].iloc[2]


# -- URLs -----------------------------------------------------------------------------------------------------


@pytest.fixture
def memory(data):
    """The images in the memory file system of fsspec."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    for path in data.iterdir():
        system.pipe_file(f"/bucket/in/deep/{path.name}", path.read_bytes())
    yield "memory://bucket"
    system.store.clear()


def test_images_and_heatmaps_at_urls(data, memory):
    """A URL that pyarrow or fsspec supports yields the same grids as a local folder."""
    explain_in_bulk(plan_of("photos"), "maps")
    outcome = explain_in_bulk(plan_of(f"{memory}/in", overlays=True), f"{memory}/maps")

    assert (outcome.images, outcome.heatmaps) == (7, 14)
    for one, other in zip(read_heatmaps(f"{memory}/maps"), read_heatmaps("maps"), strict=True):
        assert one.image == other.image.replace("photos/", "memory://bucket/in/deep/")
        assert one.grid.equal(other.grid)
        assert Folder(f"{memory}/maps").read(one.facts["overlay"])[:2] == b"\xff\xd8"
    listener = Counted()
    explain_in_bulk(plan_of(f"{memory}/in", overlays=True), f"{memory}/maps", listener=listener)
    assert (listener.before, listener.done) == (7, [])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the S3 server
def test_object_store(data, monkeypatch):
    """S3, simulated by a local server, receives complete files and no markers of folders."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    secrets = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**secrets, "AWS_ENDPOINT_URL": address, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    store = boto3.client("s3", endpoint_url=address)
    store.create_bucket(Bucket="bucket")
    for path in data.iterdir():
        store.upload_file(str(path), "bucket", f"in/{path.name}")
    plan = plan_of("s3://bucket/in")

    assert explain_in_bulk(plan, "s3://bucket/maps").heatmaps == 14
    listener = Counted()
    assert explain_in_bulk(plan, "s3://bucket/maps", listener=listener).heatmaps == 14
    assert listener.before == 7
    assert len(list(read_heatmaps("s3://bucket/maps", image="s3://bucket/in/03.png"))) == 2
    names = [one["Key"] for one in store.list_objects_v2(Bucket="bucket", Prefix="maps")["Contents"]]
    assert [name.partition(".")[0] for name in names] == [
        "maps/manifest",
        *(f"maps/part-000000{n}" for n in range(3)),
    ]
    with pytest.raises(OutputError, match=r"s3://none/maps: .*'none'"):
        explain_in_bulk(plan, "s3://none/maps")
    server.stop()


def test_errors_at_urls_are_reported(data, memory):
    """Empty files become rows with errors; URLs that do not exist are errors."""
    import fsspec

    fsspec.filesystem("memory").pipe_file("/bucket/in/deep/03.png", b"")
    (failure,) = explain_in_bulk(plan_of(f"{memory}/in"), f"{memory}/maps").listed_failures
    assert failure["error"] == "memory://bucket/in/deep/03.png: the file is empty (0 bytes)"
    with pytest.raises(ImageError, match="memory://bucket/none: no such file or folder"):
        explain_in_bulk(plan_of(f"{memory}/none"), f"{memory}/maps2")
    with pytest.raises(SettingError, match="'nothing://x' cannot be reached"):
        explain_in_bulk(plan_of("nothing://x"), "maps")


def test_full_disk_leaves_no_partial_shard(data, monkeypatch):
    """The error is reported, and no temporary file is left."""
    explain_in_bulk(plan_of("photos"), "maps")
    Path("maps/part-0000009").mkdir()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fusioncam.utils.files.Path.replace", full)
    with pytest.raises(OutputError, match="No space left"):
        explain_in_bulk(plan_of("photos"), "other")
    assert [one.name for one in Path("other").iterdir() if "part" in one.name] == []


# -- the command line -----------------------------------------------------------------------------------------


@pytest.fixture
def cli(monkeypatch, capsys):
    """Return a function that runs the program in this process."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main replaces it

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["fusioncam", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return ended.value.code or 0, out, err

    return call


SMALL = ("--model", "samples:small", "-m", "grad-cam")


def test_explain_in_bulk_on_the_command_line(cli, data):
    """The program prints failures, and the same command continues."""
    (data / "06.png").write_bytes(b"torn")
    code, out, err = cli("explain", "photos", *SMALL, "--bulk", "--shard", 4, "-o", "maps")
    assert (code, out) == (1, "6 heatmaps of 7 images: maps\nnext: fusioncam report maps\n")
    assert err == "failed: photos/06.png: not an image in a known format (4 bytes)\n"
    code, out, err = cli("explain", "photos", *SMALL, "--bulk", "--shard", 4, "-o", "maps", "--json")
    assert (code, json.loads(out)["failures"]) == (1, 1)
    assert "1 in all, see the column 'error'" in err


def test_cluster_options_are_checked(cli, data):
    """Options that do not apply are errors with exit code 2."""
    for words, message in (
        (("--workers", 2), "--workers applies only to workers on a cluster: add --ray"),
        (("--bulk", "--gpus-per-worker", 1), "--gpus-per-worker applies only to workers on a cluster"),
        (("--ray", "127.0.0.1:9"), "no Ray cluster at '127.0.0.1:9'"),
        (("-o", "s3://bucket/maps"), "'s3://bucket/maps' is not a path on this machine: add --bulk"),
        (("--overlays",), "--overlays applies only to bulk runs"),
        (("--bulk", "--check"), "--check does not apply to bulk runs"),
    ):
        code, _, err = cli("explain", "photos", *SMALL, *words)
        assert (code, message in err) == (2, True), err
    for words, message in ((("--workers", 2), "add --ray"), (("--ray", "127.0.0.1:9"), "no Ray cluster")):
        code, _, err = cli("benchmark", "photos", *SMALL, *words)
        assert (code, message in err) == (2, True), err


@pytest.mark.parametrize(
    ("words", "spelled"),
    [
        ("explain --ray photos", "explain --ray=local photos"),
        ("explain photos --ray", "explain photos --ray=local"),
        ("explain photos --ray --workers 2", "explain photos --ray=local --workers 2"),
        ("explain photos --ray auto", "explain photos --ray=auto"),
        ("explain --ray 10.0.0.1:6379 photos", "explain --ray=10.0.0.1:6379 photos"),
        ("explain --ray ray://head:10001 photos", "explain --ray=ray://head:10001 photos"),
        ("explain --ray [::1]:6379", "explain --ray=[::1]:6379"),
        ("explain --ray=head:6379 photos", "explain --ray=head:6379 photos"),
        ("explain --ray s3://bucket/photos", "explain --ray=local s3://bucket/photos"),
        ("", ""),
    ],
)
def test_ray_address_is_optional(words, spelled):
    """--ray without an address means a local cluster, whatever follows it."""
    assert with_address(words.split()) == spelled.split()
