"""Structured pruning: blocks and channels are removed, and the remaining weights are copied into a narrower network.

One file a surgery; a new one is imported here, or by whoever brings the network.
"""

from seisedge.export.prune import ghost, residual  # noqa: F401  importing registers them
