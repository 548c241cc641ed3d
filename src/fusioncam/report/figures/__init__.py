"""Figures of a benchmark, drawn with matplotlib."""
