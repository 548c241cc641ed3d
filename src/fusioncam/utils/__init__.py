"""Files, text, optional imports and the grammar of specs."""
