"""The web page: `fusioncam app`."""

from fusioncam.app.serving import serve, served

__all__ = ["serve", "served"]
