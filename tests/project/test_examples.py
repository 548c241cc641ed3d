"""The examples run unchanged, and the pages show their code."""

from __future__ import annotations

import ast
import logging
import re
import runpy
from importlib.util import find_spec
from pathlib import Path

import pytest

from selection import slow_unless

ROOT = Path(__file__).parents[2]
ALL = sorted((ROOT / "examples").glob("*.py"))
TASKS = ("Segmentation", "Detection", "Embedding", "Regression", "MultiLabel")
RECIPES = ("checkpoint", "fine_grained", "hugging_face", "quantus_captum", "several_inputs")
# included by pages of their own, and the package that they need, if it is no part of the extra "test"
GUIDES = {
    "text_prompts": ("text-prompts.md", None),
    "volume": ("volumes.md", None),
    "yolo": ("detectors.md", "ultralytics"),
}
DEFAULT = ("first",)
EXAMPLES = [path for path in ALL if find_spec(GUIDES.get(path.stem, ("", None))[1] or "fusioncam")]
LINE = re.compile(r"<Explanation of .+, .+ at \S+ of \S+>|[\w-]+(\(.*\))?: .*\d.*")
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tasks.md").read_text(), re.DOTALL)


def run(path, folder, monkeypatch, *words):
    """Run an example as a program, in an empty folder."""
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", [str(path), *words])
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(folder.parent / "ultralytics"))
    monkeypatch.setattr(logging.root.manager, "disable", logging.INFO)  # ultralytics writes its log to stdout
    runpy.run_path(str(path), run_name="__main__")


def test_all_examples_are_found():
    """An empty list would pass every test below."""
    assert {*map(str.lower, TASKS), *RECIPES, *GUIDES, "first"} == {path.stem for path in ALL}


def test_the_first_example_writes_nothing_without_a_folder(tmp_path, monkeypatch, capsys):
    """Run as in the docstring."""
    run(ROOT / "examples" / "first.py", tmp_path, monkeypatch)

    assert capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_folder_is_optional(path):
    """What an example does with its folder, it does only if there is one; the docstring shows both commands."""
    (main,) = (node for node in ast.parse(path.read_text()).body if getattr(node, "name", "") == "main")
    optional = [node for node in ast.walk(main) if isinstance(node, ast.If) and is_folder(node.test)]
    inside = [node for one in optional for node in ast.walk(one) if is_folder(node)]

    assert optional
    assert set(inside) == {node for node in ast.walk(main) if is_folder(node)}
    assert f"python examples/{path.name} [FOLDER]" in path.read_text()


def is_folder(node):
    """Return whether a node of a syntax tree is the name of the folder."""
    return isinstance(node, ast.Name) and node.id == "folder"


@pytest.mark.parametrize("path", [slow_unless(one.stem in DEFAULT, one, id=one.stem) for one in EXAMPLES])
def test_examples_write_into_a_folder(path, tmp_path, monkeypatch, capsys):
    """One overlay, heatmap and facts for each printed line, and nothing elsewhere; any warning is an error."""
    run(path, tmp_path, monkeypatch, "maps")

    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(map(LINE.fullmatch, lines))
    assert [one.name for one in tmp_path.iterdir()] == ["maps"]
    written = [path.stem for path in sorted(tmp_path.glob("maps/*.npy"))]
    assert len(written) == len(lines)
    assert set(written) <= {path.stem for path in tmp_path.glob("maps/*.png")}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_include_the_whole_example(name):
    """The page includes the files themselves."""
    assert f'--8<-- "examples/{name}.py"' in (ROOT / "docs" / "recipes.md").read_text()


@pytest.mark.parametrize("name", GUIDES)
def test_guides_include_the_whole_example(name):
    """So do the pages of one kind of network."""
    assert f'--8<-- "examples/{name}.py"' in (ROOT / "docs" / GUIDES[name][0]).read_text()


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
