"""Pure functions of tensors: no network, no files."""
