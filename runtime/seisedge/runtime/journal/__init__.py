"""Journal: resume tokens, emitted lines and the outbox of a run, in one SQLite file or in memory."""
