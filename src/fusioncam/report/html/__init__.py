"""The HTML report: one file that needs no other."""

from fusioncam.report.html.page import FILE, write_report

__all__ = ["FILE", "write_report"]
