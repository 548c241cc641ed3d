"""The web page: `fusioncam app`."""

from .serving import serve, served

__all__ = ["serve", "served"]
