"""Service: the loop of a running station, its health and metrics."""
