"""Pure tensor functions: no network, no files."""
