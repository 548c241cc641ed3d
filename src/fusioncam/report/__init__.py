"""Turn stored results and explanations into tables, figures and pages."""

from fusioncam.report.results import read_results, results_of
from fusioncam.report.run_report import write_report
from fusioncam.report.tables.means import pages

__all__ = ["pages", "read_results", "results_of", "write_report"]
