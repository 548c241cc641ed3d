"""Imports point down only, and one file alone may call the network."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import fusioncam

SOURCE = Path(fusioncam.__file__).parent
FLOORS = [
    {"errors"},
    {"extras"},
    {
        "allocator",
        "checkpoints",
        "copies",
        "files",
        "folding",
        "hooks",
        "layers",
        "layouts",
        "maps",
        "masks",
        "parameters",
        "preprocessing",
        "quiet",
    }
    | {"readout", "render", "sharing", "specs", "speed", "sweep", "truth"},
    {"ablation", "attention", "caller", "model"},
    {"methods", "metrics", "tasks"},
    {"datasets", "images", "labels", "outcome", "targets", "trust", "zoo"},
    {"explanation", "statistics"},
    {"explaining"},
    {"comparison"},
    {"cluster", "doctor", "doctor_tables", "report", "run", "studio"},
    {"app", "benchmark", "bulk", "cli_words"},
    {"cli_cluster", "html"},
    {"cli_app", "cli_benchmark"},
    {"cli", "__init__"},
    {"__main__"},
]
# a neighbour on the same floor that is needed, and what for
NEIGHBOURS = {
    ("ablation", "caller"): "its passes start at a layer of the network",
    ("attention", "caller"): "one pass of the network serves all blocks",
    ("folding", "copies"): "the network folded is a copy that shares the rest",
    ("folding", "hooks"): "what is behind a convolution is seen in a traced pass",
    ("datasets", "images"): "its pictures are opened as others are",
    ("datasets", "labels"): "its categories may be named as the classes are",
    ("layers", "hooks"): "layers are judged by what a traced pass saw",
    ("layers", "layouts"): "and by whether that holds maps",
    ("masks", "maps"): "masks are stretched maps",
    ("metrics", "methods"): "some choose by what is measured, and are marked",
    ("model", "ablation"): "one of its answers, with a file of its own",
    ("model", "attention"): "another",
    ("model", "caller"): "it alone may ask the network",
    ("parameters", "readout"): "weights are made precise as scores are",
    ("sharing", "sweep"): "what is shared is counted, to tell what each would cost alone",
    ("targets", "labels"): "a class may be asked for by its name",
    ("zoo", "labels"): "weights come with class names",
}
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(SOURCE.rglob("*.py"))


def room_of(path):
    """Give the module or package right below fusioncam that a file is in."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(path):
    """List the rooms that a file imports from."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = (*path.relative_to(SOURCE).parts[:-1],)
            base = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((*base, *name.split("."))[0] for name in names)


def test_every_file_has_a_floor():
    """A new file must be given its place."""
    assert {room_of(path) for path in FILES} == set(FLOOR_OF)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path):
    """A file knows those below it and itself, and its neighbours only with a reason."""
    here = room_of(path)
    for room in imports_of(path):
        reason = room == here or (here, room) in NEIGHBOURS
        assert reason or FLOOR_OF[room] < FLOOR_OF[here], f"{here} imports {room}"


def test_only_the_caller_calls_the_network():
    """`network(x)` stands in one file."""
    assert {path.name for path in FILES if re.search(r"\bnetwork\(", path.read_text())} == {"caller.py"}


def test_only_hooks_registers_hooks():
    """One file alone registers hooks."""
    assert {path.name for path in FILES if "register_forward" in path.read_text()} == {"hooks.py"}


def test_pickles_are_never_run():
    """Every torch.load says weights_only=True."""
    for path in FILES:
        for call in re.findall(r"torch\.load\((?:[^()]|\([^()]*\))*\)", path.read_text()):
            assert "weights_only=True" in call, f"{path.name}: {call}"
