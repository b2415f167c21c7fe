"""HTTP server of a station: one thread, bounded in connections, memory, age and rate. GET and HEAD only."""
