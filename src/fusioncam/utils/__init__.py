"""Files, text, environment variables, optional imports and the grammar of SPECs."""
