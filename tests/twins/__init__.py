"""Slow re-implementations of the methods: one image, loops, the symbols of the papers, no code of the library."""
