"""The web page that `fusioncam app` serves."""

from fusioncam.app.server import run_server
from fusioncam.app.session import Session

__all__ = ["Session", "run_server"]
