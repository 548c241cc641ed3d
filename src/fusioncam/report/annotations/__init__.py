"""The highlighted regions of a run as annotations, for weakly supervised training and annotation tools."""

from fusioncam.report.annotations.export import FORMATS, export_regions

__all__ = ["FORMATS", "export_regions"]
