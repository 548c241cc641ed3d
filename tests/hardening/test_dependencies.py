"""Every package that is imported is declared, with a lower bound."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import fusioncam

SOURCE = Path(fusioncam.__file__).parent
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
# packages whose modules have another name
MODULES = {"pillow": "PIL", "pyyaml": "yaml", "scikit_image": "skimage"}


def imported():
    """Return the top modules that the package imports, also by name through ``extra``."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        found |= set(re.findall(r"\bextra\(\s*\"\w+\", \"(\w+)", text))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"fusioncam"}


def declared():
    """Return the modules of all declared packages, each with its requirement."""
    requirements = re.findall(r'"([A-Za-z][\w.-]*)(\[[^]]*\])?([^"]*)"', PYPROJECT.read_text())
    names = ((name.lower().replace("-", "_"), bound) for name, _, bound in requirements)
    return {MODULES.get(name, name): bound for name, bound in names if re.match(r"[<>=!~]=?", bound)}


def test_imports_are_declared():
    """Another package may stop to bring along what it needs itself."""
    assert imported() - declared().keys() == set()


def test_requirements_have_a_lower_bound():
    """The lowest versions are installed in CI."""
    assert [name for name, bound in declared().items() if ">=" not in bound] == []
