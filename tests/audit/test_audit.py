"""Audits of a network that reads a stamp, and of one that reads the colour of a square."""

from __future__ import annotations

import csv
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from detectors import confident
from fusioncam.audit import AuditPlan, audit, read_audit
from fusioncam.errors import DatasetError, MissingTruthError, ResultsError, SettingError
from listeners import Notes
from samples import painted
from stamps import COLOURS, reader, write_masks, write_squares

COUNT = 4


def plan_of(data, **settings):
    """Return the plan of an audit with Grad-CAM."""
    return AuditPlan(str(data), **{"model": "stamps:reader", "method": "grad-cam"} | settings)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with images of three colours, of which the red ones are stamped, and masks of their squares."""
    root = tmp_path_factory.mktemp("squares")
    write_squares(root / "data", COUNT)
    write_masks(root / "masks", COUNT)
    return root


@pytest.fixture(scope="module")
def plan(root):
    """The plan of an audit with masks, against the network that reads colours."""
    return plan_of(root / "data", masks=str(root / "masks"), against="stamps:honest")


@pytest.fixture(scope="module")
def result(root, plan, one_thread):
    """The result of that audit, in the folder ``out``."""
    return audit(plan, root / "out")


@pytest.fixture(scope="module")
def stored(root, result):
    """The content of its audit.json."""
    return read_audit(root / "out")


def test_stamp_is_ranked_first(result):
    """The stamp is found at its place, and its removal takes the decision with it; nothing else is confirmed."""
    first, *others = [row for row in result.suspects if row["kind"] == "place"]
    assert (first["label"], first["place"], first["confirmed"]) == ("red", "the lower right corner", True)
    assert len(first["images"]) == COUNT
    assert first["without"] < 0.5 < first["elsewhere"] <= first["whole"] + 0.01
    assert {row["label"] for row in result.suspects if row["confirmed"]} == {"red"}
    assert [row["confirmed"] for row in others] == [False] * len(others)


def test_masks_show_heat_off_the_object(result, stored):
    """The stamped class has nearly no heat on its object, and is also suspected for that."""
    assert [row["label"] for row in result.suspects if row["kind"] == "off-object"] == ["red"]
    on_object = {row["label"]: row["on_object"] for row in stored["classes"]}
    assert on_object["red"] < 0.2
    assert min(on_object["green"], on_object["blue"]) > 0.7


def test_honest_network_has_no_confirmed_shortcut(root, one_thread, tmp_path):
    """The network that reads colours does not look at the stamp, also without masks."""
    found = audit(plan_of(root / "data", model="stamps:honest"), tmp_path / "out").suspects
    assert [row for row in found if row["confirmed"]] == []


def test_no_suspect_is_said_in_words(tmp_path, one_thread):
    """Instead of a progress of 0 of 0 images."""

    class Counts(Notes):
        def started(self, total, done=0, rows=0):
            self.notes.append(total)

    listener = Counts()
    result = audit(plan_of(write_squares(tmp_path / "data", 2)), tmp_path / "out", listener=listener)
    assert result.suspects == ()
    assert listener.notes[-1] == "no shortcut is suspected, so none is tested"
    assert [one for one in listener.notes if isinstance(one, int)] == [6, 6]


def test_files_hold_every_image(root, stored):
    """The tables have a row for each image and each class, and the numbers are those of audit.json."""
    with (root / "out" / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [row["image"] for row in stored["images"]]
    assert [float(row["border"]) for row in rows] == [row["border"] for row in stored["images"]]
    assert {(row["image"].split("/")[0], row["label"]) for row in rows} == {(colour, colour) for colour in COLOURS}
    assert len(rows) == 3 * COUNT
    assert all(row["right"] and row["low_trust"] is False for row in stored["images"] if row["label"] == "red")


def test_second_call_computes_nothing_again(root, plan, result, monkeypatch):
    """All heatmaps and removals are read from the folder."""
    for function in ("fusioncam.audit.removal.removal_of", "fusioncam.bulk.jobs.explain_batches"):
        monkeypatch.setattr(function, None)
    assert audit(plan, root / "out") == result


@pytest.mark.slow
def test_damaged_removals_are_made_again(root, plan, result, tmp_path):
    """A file that is no JSON counts as missing."""
    copy = shutil.copytree(root / "out", tmp_path / "out")
    next((copy / "removals").iterdir()).write_text("{")
    assert audit(plan, copy).suspects == result.suspects


def test_other_network_decides_the_same_by_other_places(stored):
    """The heat of the stamped class moves to the object; no decision changes, because both networks are right."""
    against = stored["against"]
    assert (against["images"], against["changed"]) == (3 * COUNT, [])
    first, *others = against["classes"]
    assert first["label"] == "red"
    assert first["similarity"] < 0.2 < min(row["similarity"] for row in others)
    assert first["on_object_other"] > first["on_object"] + 0.5


def test_other_network_changes_decisions(tmp_path, one_thread):
    """Green images with the stamp are red for the one network only."""
    data = write_squares(tmp_path / "data", 2, stamp="green")
    audit(plan_of(data, against="stamps:honest"), tmp_path / "out")
    against = read_audit(tmp_path / "out")["against"]
    changed = [row for row in against["changed"] if row["image"].startswith("green/")]
    assert [(row["label"], row["label_other"], row["right"], row["right_other"]) for row in changed] == [
        ("red", "green", False, True)
    ] * 2
    red = next(row for row in against["classes"] if row["label"] == "red")
    assert (red["mended"], red["broken"]) == (2, 0)


# -- inputs that say less, or nothing ------------------------------------------------------------------------------


def test_images_without_classes_are_audited_with_a_note(tmp_path):
    """One image a class, and no labels: both are noted, and nothing is suspected."""
    folder = tmp_path / "data"
    folder.mkdir()
    painted(1).save(folder / "a.png")
    result = audit(plan_of(folder), tmp_path / "out")
    stored = read_audit(tmp_path / "out")
    assert result.suspects == ()
    assert [row["right"] for row in stored["images"]] == [None]
    assert [note.split(",")[0] for note in stored["notes"]] == [
        "The classes of the images are unknown",
        "No boxes or masks are known",
        "No class is predicted for 4 images or more",
    ]


def test_faulty_images_are_counted(tmp_path):
    """An image that cannot be opened is a failure, and the others are audited; if all are, that is an error."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.png").write_text("torn")
    with pytest.raises(ResultsError, match=r"no image of .* could be explained"):
        audit(plan_of(folder), tmp_path / "all")
    painted(1).save(folder / "b.png")
    result = audit(plan_of(folder), tmp_path / "out")
    assert (result.images, result.failures, result.failed[0]["image"]) == (2, 1, "a.png")


def test_missing_data_and_masks_are_errors(root, tmp_path):
    """A path that does not exist, a folder without images, and masks of other names or proportions."""
    (tmp_path / "empty").mkdir()
    for path in ("nowhere", "empty"):
        with pytest.raises(DatasetError, match=path):
            audit(plan_of(tmp_path / path), tmp_path / "out")
    with pytest.raises(DatasetError, match="no such folder of masks"):
        audit(plan_of(root / "data", masks=str(tmp_path / "nowhere")), tmp_path / "out")
    with pytest.raises(MissingTruthError, match=r"no image .* has a mask there: .*blue/00.png"):
        audit(plan_of(root / "data", masks=str(tmp_path / "empty")), tmp_path / "out")
    (tmp_path / "empty" / "blue").mkdir()
    Image.new("L", (9, 90), 255).save(tmp_path / "empty" / "blue" / "00.png")
    with pytest.raises(DatasetError, match=r"9 x 90 pixels, and its image 56 x 56"):
        audit(plan_of(root / "data", masks=str(tmp_path / "empty"), limit=30), tmp_path / "out")


def test_folder_of_another_audit_is_refused(root, result):
    """Another method, and other networks to compare with."""
    with pytest.raises(ResultsError, match=r"method.*grad-cam -> .*layer-cam|methods.*layer-cam"):
        audit(plan_of(root / "data", method="layer-cam"), root / "out")
    with pytest.raises(SettingError, match="3 classes and the other network 5"):
        audit(plan_of(root / "data", against="samples:small"), root / "out")
    with pytest.raises(SettingError, match="not a path on this machine"):
        audit(plan_of(root / "data"), "s3://bucket/out")


def test_detectors_are_refused(root, tmp_path, monkeypatch):
    """They decide box by box."""
    monkeypatch.setattr("stamps.honest", lambda: confident()[0])
    with pytest.raises(SettingError, match="is a detector: an audit needs a classifier"):
        audit(plan_of(root / "data", model="stamps:honest"), tmp_path / "out")


def test_changed_checkpoint_is_refused(tmp_path):
    """A file of other weights under the same name would mix heatmaps of two networks."""
    data = write_squares(tmp_path / "data", 1)
    plan = plan_of(data, checkpoint=str(tmp_path / "weights.safetensors"))
    weights = reader().network.state_dict()
    save_file(weights, plan.checkpoint)
    audit(plan, tmp_path / "out")
    save_file(weights | {"fc.bias": torch.ones(3)}, plan.checkpoint)
    with pytest.raises(ResultsError, match="heatmaps of other weights"):
        audit(plan, tmp_path / "out")


@pytest.mark.filterwarnings("ignore:.*constant heatmap")
def test_checkpoint_of_the_same_network_is_compared(tmp_path):
    """``against`` is a file of weights: here of a network that always decides for blue."""
    data, other = write_squares(tmp_path / "data", 1), tmp_path / "other.safetensors"
    save_file(reader().network.state_dict() | {"fc.bias": torch.tensor([0.0, 0, 90])}, other)
    audit(plan_of(data, against=str(other)), tmp_path / "out")
    changed = read_audit(tmp_path / "out")["against"]["changed"]
    assert {row["image"]: row["label_other"] for row in changed} == {"red/00.png": "blue", "green/00.png": "blue"}
