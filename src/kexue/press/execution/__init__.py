"""One run of one notebook."""
