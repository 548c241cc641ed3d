"""The web page: `fusioncam app`."""

from fusioncam.app.server import serve, served

__all__ = ["serve", "served"]
