"""Results never replace an input or a file that fusioncam did not write."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

import fusioncam as fc
import samples
from fusioncam.errors import FusionCamWarning, OutputError
from fusioncam.explanations.result_files import RUN_FACTS, RunFiles, distinct_suffixes, listed_results, results_among
from samples import CAT, COFFEE, photo

OURS = {"explanations": [{"files": ["cat.png", "cat.npy"]}], "failures": []}


def image_at(path: Path) -> bytes:
    """Write a small photograph and return its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    photo(CAT, (60, 40)).save(path)
    return path.read_bytes()


def explained(path: Path) -> fc.Explanation:
    """Explain an image with the small network."""
    return fc.explain(path, model=samples.small(), method="grad-cam")


def names(paths: list[Path]) -> list[str]:
    """Return the names of files."""
    return [path.name for path in paths]


# -- Explanation.save and Comparison.save ----------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["cat.png", "../here/cat.png"])
def test_the_image_itself_is_kept(spelling, tmp_path, monkeypatch):
    """A stem that names the image gets a number, however the image's path is spelled."""
    before = image_at(tmp_path / "here" / "cat.png")
    monkeypatch.chdir(tmp_path / "here")
    explanation = explained(Path(spelling))
    with pytest.warns(FusionCamWarning, match=r"other files named cat\.\*.*named cat-2\.\*"):
        paths = explanation.save(".", stem="cat")
    assert names(paths) == ["cat-2.png", "cat-2.npy", "cat-2.json"]
    assert Path("cat.png").read_bytes() == before


def test_a_comparison_keeps_the_image(tmp_path):
    """The grid and the files of all methods get the same number; a second save replaces them."""
    before = image_at(tmp_path / "cat.png")
    comparison = fc.compare(tmp_path / "cat.png", ["grad-cam", "layer-cam"], model=samples.small())
    with pytest.warns(FusionCamWarning, match="cat-2"):
        first = comparison.save(tmp_path)
    assert names(first)[:2] == ["cat-2.png", "cat-2.grad-cam.png"]
    with pytest.warns(FusionCamWarning, match="cat-2"):
        assert comparison.save(tmp_path) == first
    assert (tmp_path / "cat.png").read_bytes() == before


@pytest.mark.parametrize("ending", ["png", "npy", "json"])
def test_files_of_the_user_are_kept(ending, tmp_path):
    """A file of any ending that fusioncam did not write stays, whether the stem is given or not."""
    image_at(tmp_path / "cat.png")
    for stem in ("mine", "cat.grad-cam"):
        Path(tmp_path / f"{stem}.{ending}").write_text('{"image": 1}')
    explanation = explained(tmp_path / "cat.png")
    with pytest.warns(FusionCamWarning):
        assert names(explanation.save(tmp_path, "mine"))[0] == "mine-2.png"
    with pytest.warns(FusionCamWarning):
        assert names(explanation.save(tmp_path))[0] == "cat.grad-cam-2.png"
    assert (tmp_path / f"mine.{ending}").read_text() == '{"image": 1}'
    assert (tmp_path / f"cat.grad-cam.{ending}").read_text() == '{"image": 1}'


def test_an_own_result_is_replaced_without_a_warning(tmp_path):
    """Saving the same image again leaves three files; with a stem also another image replaces them."""
    for folder in ("a", "b"):
        image_at(tmp_path / folder / "cat.png")
    one, other = explained(tmp_path / "a" / "cat.png"), explained(tmp_path / "b" / "cat.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert one.save(tmp_path / "out") == one.save(tmp_path / "out")
        assert len(list((tmp_path / "out").iterdir())) == 3
        assert one.save(tmp_path / "latest", "x") == other.save(tmp_path / "latest", "x")
    facts = json.loads((tmp_path / "out" / "cat.grad-cam.json").read_text())
    assert facts["files"] == [f"cat.grad-cam.{ending}" for ending in ("png", "npy", "json")]


def test_another_image_of_the_same_name_does_not_replace_a_result(tmp_path):
    """Two folders may both contain a cat.png: without a stem both results are kept."""
    for folder in ("a", "b"):
        image_at(tmp_path / folder / "cat.png")
    first = explained(tmp_path / "a" / "cat.png").save(tmp_path)
    with pytest.warns(FusionCamWarning):
        second = explained(tmp_path / "b" / "cat.png").save(tmp_path)
    assert set(first).isdisjoint(second)
    assert json.loads(first[2].read_text())["image"] == str(tmp_path / "a" / "cat.png")


def test_a_result_that_is_explained_is_kept(tmp_path):
    """An overlay that was saved earlier is an input, although fusioncam wrote it."""
    overlay = explained(CAT).save(tmp_path, "x")[0]
    before = overlay.read_bytes()
    with pytest.warns(FusionCamWarning):
        assert names(explained(overlay).save(tmp_path, "x"))[0] == "x-2.png"
    assert overlay.read_bytes() == before


def test_facts_of_a_run_are_kept(tmp_path):
    """The stem 'explanations' does not replace the list of a run."""
    (tmp_path / RUN_FACTS).write_text(json.dumps(OURS))
    with pytest.warns(FusionCamWarning):
        explained(CAT).save(tmp_path, "explanations")
    assert json.loads((tmp_path / RUN_FACTS).read_text()) == OURS


def test_methods_with_long_names_are_compared_in_separate_files(tmp_path):
    """SPECs that differ only after the 80th character do not replace each other."""
    spec = "fusion-cam(region=score-cam(readout=probability, softmax=false, normalise=before), theta={})"
    comparison = fc.compare(COFFEE, [spec.format(10), spec.format(90)], model=samples.small())
    assert len(set(comparison.save(tmp_path))) == 7


# -- the files of a run ----------------------------------------------------------------------------------------------


def grid(stem: str) -> list[str]:
    """Return the name of the only file of a result in these tests."""
    return [f"{stem}.png"]


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_links_to_an_input_are_kept(link, tmp_path):
    """An input is recognised by its inode, also if an earlier run lists the name of the link."""
    image_at(tmp_path / "in" / "a.png")
    getattr(tmp_path / "cat.png", link)(tmp_path / "in" / "a.png")
    (tmp_path / RUN_FACTS).write_text(json.dumps(OURS))
    assert RunFiles(tmp_path, [tmp_path / "in" / "a.png"]).stem("cat", grid) == "cat-2"
    assert RunFiles(tmp_path).stem("cat", grid) == "cat"


def test_only_listed_files_are_replaced(tmp_path):
    """A file that is not listed, a folder and a broken link are kept."""
    (tmp_path / RUN_FACTS).write_text(json.dumps(OURS))
    for name in ("cat.png", "dog.png"):
        image_at(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("nowhere")
    files = RunFiles(tmp_path)
    assert [files.stem(stem, grid) for stem in ("cat", "dog", "folder", "link", "new")] == [
        "cat", "dog-2", "folder-2", "link-2", "new"
    ]  # fmt: skip
    assert files.renamed == 3


def test_names_differ_without_case_and_normalisation(tmp_path):
    """Cat and cat, and the two spellings of an accent, are one file on other systems."""
    files = RunFiles(tmp_path)
    stems = [files.stem(stem, grid) for stem in ("Cat", "cat", "caf\u00e9", "cafe\u0301", "CAFE\u0301")]
    assert stems == ["Cat", "cat-2", "caf\u00e9", "cafe\u0301-2", "CAFE\u0301-3"]
    assert files.renamed == 0
    assert distinct_suffixes(["crane", "Crane", "crane-2"]) == ["crane", "Crane-2", "crane-2-2"]


def test_earlier_results_stay_listed(tmp_path):
    """Results of earlier runs that still exist and were not written again remain known."""
    facts = OURS | {"earlier_files": ["old.png", "gone.png"]}
    (tmp_path / RUN_FACTS).write_text(json.dumps(facts))
    for name in ("cat.png", "cat.npy", "old.png"):
        (tmp_path / name).touch()
    assert RunFiles(tmp_path).earlier(["cat.npy"]) == ["cat.png", "old.png"]


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"explanations": [{"text": "mine"}]}', '{"explanations": 3}', "[" * 100_000]
)
def test_explanations_json_of_another_program_is_kept(text, tmp_path):
    """The error names the file and what to do; for inputs such a file lists nothing."""
    (tmp_path / RUN_FACTS).write_text(text)
    with pytest.raises(OutputError, match="exists, and fusioncam did not write it: choose another"):
        RunFiles(tmp_path)
    assert results_among([tmp_path / "cat.png"]) == set()


def test_a_list_names_files_of_its_own_folder_only(tmp_path):
    """Paths, numbers and dots in a list are ignored."""
    facts = {"explanations": [{"files": ["../a.png", "/b.png", "c/d.png", 5, "..", "cat.png"]}]}
    (tmp_path / RUN_FACTS).write_text(json.dumps(facts))
    assert listed_results(tmp_path) == {"cat.png"}
