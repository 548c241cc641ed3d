"""Imports go down the list of packages only; one file calls the network and one registers hooks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fusioncam

SOURCE = Path(fusioncam.__file__).parent
# a package imports from those below it and from itself
LAYERS = [
    {"__main__"},
    {"cli"},
    {"report"},
    {"__init__", "labels"},  # labels re-exports a module of data under its old name
    {"audit"},
    {"benchmark", "app", "bulk", "compat"},
    {"explanations"},
    {"trust"},
    {"metrics"},
    {"methods", "zoo", "tasks"},
    {"model"},
    {"data"},
    {"functional"},
    {"distributed"},
    {"inference"},
    {"utils", "visualization"},
    {"errors"},
]
HEIGHT = {name: -row for row, names in enumerate(LAYERS) for name in names}
FILES = sorted(SOURCE.rglob("*.py"))
# what only some commands need, and what takes a second to import
HEAVY = {
    "torch",
    "timm",
    "matplotlib",
    "rich.table",
    "jinja2",
    "pandas",
    "scipy",
    "sklearn",
    "gradio",
    "ray",
    "openvino",
}


def package_of(path):
    """Return the package or module right below fusioncam that a file is in."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def module_of(path):
    """Return the dotted name of a file."""
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def modules_imported(nodes):
    """Yield the modules of fusioncam that import statements name."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "import by full names"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in MODULES or node.module in MODULES:
                    yield full if full in MODULES else node.module
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)


def packages_imported(path):
    """Yield the packages that a file imports from, also inside of functions."""
    for module in modules_imported(ast.walk(ast.parse(path.read_text()))):
        yield module.split(".")[1] if "." in module else "__init__"


def test_every_file_has_a_layer():
    """A new package must be given its place."""
    assert {package_of(path) for path in FILES} == set(HEIGHT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down(path):
    """A file imports from its own package and from those in lower layers."""
    here = package_of(path)
    if here == "__init__":  # the public names come from everywhere, and are imported when they are used
        return
    for package in packages_imported(path):
        assert package == here or HEIGHT[package] < HEIGHT[here], f"{here} imports {package}"


def test_functional_knows_tensors_alone():
    """Pure functions need nothing but errors and utils."""
    for path in (SOURCE / "functional").rglob("*.py"):
        assert set(packages_imported(path)) <= {"functional", "errors", "utils"}, path


def test_no_import_cycles():
    """No module imports, directly or through others, one that imports it."""
    needs = {
        module: set(modules_imported(ast.walk(ast.parse(path.read_text())))) - {"fusioncam"}
        for module, path in MODULES.items()
        if path.name != "__init__.py"
    }
    while needs:
        free = {module for module, others in needs.items() if not others & set(needs)}
        assert free, f"cycle among {sorted(needs)}"
        needs = {module: others for module, others in needs.items() if module not in free}


def test_packages_only_export():
    """An `__init__` holds imports, names and the docstring; the package's own one resolves names lazily."""
    for path in SOURCE.rglob("*/__init__.py"):
        for node in ast.parse(path.read_text()).body:
            assert isinstance(node, (ast.ImportFrom, ast.Assign, ast.Expr)), f"{path}: line {node.lineno}"


@pytest.mark.parametrize(
    "code",
    [
        "import fusioncam",
        "import fusioncam; fusioncam.FusionCamError",
        *(
            f"from fusioncam.cli.commands import app; app({[*command.split(), '--help']}, standalone_mode=False)"
            for command in (
                "",
                "demo",
                "explain",
                "benchmark",
                "audit",
                "report",
                "app",
                "doctor",
                "export",
                "export-model",
                "list",
                "list layers",
            )
        ),
    ],
)
def test_start_loads_nothing_heavy(code):
    """`import fusioncam` and help load no package that takes long to import."""
    assert loaded_by(code) == set()


@pytest.mark.parametrize("words", ["list methods", "list metrics", "list models"])
def test_listing_loads_no_torch(words):
    """The listing commands read the catalog; of the heavy packages they load only rich's tables."""
    code = f"from fusioncam.cli.commands import app; app({words.split()}, standalone_mode=False)"
    assert loaded_by(code) == {"rich.table"}


def test_explaining_loads_no_figures():
    """Overlays need colours only; figures are imported where images are arranged side by side."""
    assert loaded_by("import fusioncam.cli.explain_output", {"matplotlib", "matplotlib.figure"}) == {"matplotlib"}


def test_reports_of_explanations_load_no_figures(tmp_path):
    """The page of a folder of `fusioncam explain` needs neither figures nor data frames."""
    code = f"from fusioncam.report.html.page import write_html_report; write_html_report({str(tmp_path)!r})"
    (tmp_path / "explanations.json").write_text(
        '{"schema_version": 1, "model": "m", "preprocessing": {}, "versions": {}, "explanations": [], "failures": []}'
    )
    assert loaded_by(code, {"jinja2", "matplotlib.figure", "pandas"}) == {"jinja2"}


def loaded_by(code, modules=HEAVY):
    """Return which of the modules a program imports; by default, of the heavy packages."""
    program = f"{code}\nimport sys; print('loaded', *sorted(set({sorted(modules)!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_one_file_calls_the_network():
    """`network(x)` stands in one file."""
    assert {path.name for path in FILES if re.search(r"\bnetwork\(", path.read_text())} == {"calling.py"}


def test_one_file_registers_hooks():
    """`register_forward_hook` stands in one file."""
    assert {path.name for path in FILES if "register_forward" in path.read_text()} == {"hooks.py"}


def test_pickles_are_never_run():
    """Every torch.load says weights_only=True."""
    for path in FILES:
        for call in re.findall(r"torch\.load\((?:[^()]|\([^()]*\))*\)", path.read_text()):
            assert "weights_only=True" in call, f"{path.name}: {call}"
