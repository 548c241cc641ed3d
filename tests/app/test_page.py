"""The page as Gradio describes it to a browser, without a server."""

from __future__ import annotations

import pytest

from fusioncam.app.page import build_page
from fusioncam.app.session import Session


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """Return the events of the page, as its configuration lists them."""
    session = Session.open(["samples:small"], device="cpu")
    return build_page(session, tmp_path_factory.mktemp("uploads")).get_config_file()["dependencies"]


def test_one_route_is_public(events):
    """A handler with the name of the documented route would rename it."""
    assert [one["api_name"] for one in events if one["api_visibility"] == "public"] == ["explain"]
    assert len(events) > 15
