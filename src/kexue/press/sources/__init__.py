"""Which chapters there are, and what each says of itself."""
