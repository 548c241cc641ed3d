"""The examples run unchanged, and the pages show their code."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from selection import slow_unless

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TASKS = ("Segmentation", "Detection", "Embedding", "Regression", "MultiLabel")
RECIPES = ("checkpoint", "fine_grained", "hugging_face", "quantus_captum", "several_inputs", "volume")
DEFAULT = ("first",)
LINE = re.compile(r"<Explanation of .+, .+ at \S+ of \S+>|[\w-]+(\(.*\))?: .*\d.*")
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tasks.md").read_text(), re.DOTALL)


def run(path, folder, monkeypatch, *words):
    """Run an example as a program, in an empty folder."""
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", [str(path), *words])
    runpy.run_path(str(path), run_name="__main__")


def test_all_examples_are_found():
    """An empty list would pass every test below."""
    assert {*map(str.lower, TASKS), *RECIPES, "first"} == {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("path", [slow_unless(one.stem == "first", one, id=one.stem) for one in EXAMPLES])
def test_examples_print_lines_and_write_nothing(path, tmp_path, monkeypatch, capsys):
    """Run as in the docstring, without a folder; any warning is an error."""
    run(path, tmp_path, monkeypatch)

    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(map(LINE.fullmatch, lines))
    assert list(tmp_path.iterdir()) == []
    assert f"python examples/{path.name} [FOLDER]" in path.read_text()


@pytest.mark.parametrize("path", [slow_unless(one.stem in DEFAULT, one, id=one.stem) for one in EXAMPLES])
def test_examples_write_into_a_folder(path, tmp_path, monkeypatch, capsys):
    """One overlay, heatmap and facts for each printed line."""
    run(path, tmp_path, monkeypatch, "maps")

    lines = capsys.readouterr().out.splitlines()
    written = [path.stem for path in sorted(tmp_path.glob("maps/*.npy"))]
    assert len(written) == len(lines)
    assert set(written) <= {path.stem for path in tmp_path.glob("maps/*.png")}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_include_the_whole_example(name):
    """The page includes the files themselves."""
    assert f'--8<-- "examples/{name}.py"' in (ROOT / "docs" / "recipes.md").read_text()


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split(" ")[0] for block in BLOCKS])
def test_blocks_of_the_tasks_page_are_from_examples(block):
    """Each block is part of an example that runs."""
    assert any(unindented(block) in unindented(path.read_text()) for path in EXAMPLES)


def test_the_first_page_shows_the_first_example():
    """The Python block is part of the example."""
    page, example = ((ROOT / path).read_text() for path in ("docs/index.md", "examples/first.py"))
    (block,) = re.findall(r"    ```python\n(    explanation = .*?)    ```", page, re.DOTALL)
    assert unindented(block) in unindented(example)


def unindented(text):
    """Return the text with every line stripped."""
    return "\n".join(map(str.strip, text.strip().splitlines()))


def test_the_page_shows_every_task():
    """There is at least one block for each task."""
    shown = "".join(BLOCKS)

    assert len(BLOCKS) >= 5
    assert all(f"{task}(" in shown or f"{task}." in shown for task in TASKS)
