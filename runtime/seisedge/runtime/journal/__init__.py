"""Journal: resume tokens, emitted events and the outbox, in one SQLite file."""
