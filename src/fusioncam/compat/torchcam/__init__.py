"""The extractors of torch-cam with our methods behind, see "Coming from other libraries" in the docs."""
