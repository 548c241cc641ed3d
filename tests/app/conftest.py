"""A page that is served, and a visitor with a browser. The test file opens the session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from ports import free_port

if TYPE_CHECKING:
    from fusioncam.app.session import Session
    from visitors import Visitor


@pytest.fixture(scope="module")
def site(session: Session) -> Iterator[str]:
    """Return the address of a page that is served; Gradio stores no image of it, as it rewrites files in place."""
    from gradio import processing_utils

    from fusioncam.app import run_server

    with (
        patch.object(processing_utils, "save_pil_to_cache") as store,
        run_server(session, port=free_port()) as address,
    ):
        yield address
    store.assert_not_called()


@pytest.fixture
def visitor(browser, site: str) -> Iterator[Visitor]:
    """Return a visitor whose browser must report no errors and contact no other server."""
    from visitors import visiting

    with visiting(browser, site) as visitor:
        yield visitor
    assert visitor.errors == []
    assert visitor.foreign_requests == []
