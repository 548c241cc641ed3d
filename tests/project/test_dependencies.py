"""Every package that is imported is declared, where it is needed and with a lower bound."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import fusioncam

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")

ROOT = Path(__file__).parents[2]
SOURCE = Path(fusioncam.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
FOR_DEVELOPERS = {"browser", "clients", "test", "docs", "dev"}
FOR_USERS = sorted(EXTRAS.keys() - FOR_DEVELOPERS)
# packages whose modules have another name
MODULES = {"pillow": "PIL", "pyyaml": "yaml", "scikit_image": "skimage", "scikit_learn": "sklearn"}
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[(?P<extras>[^]]*)\])?(?P<bounds>.*)")


def modules_of(requirements):
    """Return the modules of the required packages, also of those that the project's own extras require."""
    found = set()
    for requirement in map(REQUIREMENT.fullmatch, requirements):
        name = requirement["name"].lower().replace("-", "_")
        if name == "fusioncam":
            found |= {module for extra in requirement["extras"].split(",") for module in modules_of(EXTRAS[extra])}
        else:
            found.add(MODULES.get(name, name))
    return found


CORE = modules_of(PROJECT["dependencies"])


def imported(nodes):
    """Return the top modules of other packages that import statements name."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"fusioncam"}


def loaded(path):
    """Return the modules that a file imports when it is loaded."""
    return imported(ast.parse(path.read_text()).body)


def test_imports_are_declared_for_users():
    """Another package may stop requiring what it brings along, and tests and documentation are not for users."""
    declared = CORE | modules_of(f"fusioncam[{extra}]" for extra in FOR_USERS)
    found = {module for path in FILES for module in imported(ast.walk(ast.parse(path.read_text())))}
    assert found - declared == set()


def test_files_load_without_extras():
    """Only the web page loads the packages of its extra."""
    page = modules_of(EXTRAS["app"])
    missing = {path.name: loaded(path) - CORE - (page if path.parent.name == "app" else set()) for path in FILES}
    assert {name: modules for name, modules in missing.items() if modules} == {}


def test_extras_hold_what_is_imported_by_their_name():
    """The error for a missing package says which extra installs it."""
    calls = re.findall(r"\bextra\(\s*\"(\w+)\",\s*\"(\w+)[\w.]*\"", "".join(path.read_text() for path in FILES))
    assert len(calls) >= 10
    for extra, module in calls:
        if module not in sys.stdlib_module_names:  # the doctest
            assert module in modules_of([f"fusioncam[{extra}]"]), f"{module} is not in the extra {extra}"


def test_requirements_have_a_lower_bound():
    """The lowest versions are tested."""
    requirements = [*PROJECT["dependencies"], *(one for extra in EXTRAS.values() for one in extra)]
    unbounded = [one for one in requirements if ">=" not in one and not one.startswith("fusioncam[")]
    assert unbounded == []
