"""From many runs to rows, records and the snapshot that is published."""
