"""The append-only log: its byte layout, what writes it, and what reads it back as pandas frames."""
