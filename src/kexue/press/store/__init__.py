"""What a run depends on, where it lies, what is stale."""
