"""The HTML report: one file that needs no other."""

from fusioncam.report.html.page import FILE, write_html_report

__all__ = ["FILE", "write_html_report"]
