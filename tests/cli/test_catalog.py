"""The generated catalog of methods, metrics and models."""

from __future__ import annotations

from fusioncam.cli.catalog import COMMAND, FILE, as_text, build


def test_catalog_is_current():
    """The stored file equals the one generated from the registries."""
    assert FILE.read_text(encoding="utf-8") == as_text(build()), f"{FILE.name} is outdated: run `{COMMAND}`"
