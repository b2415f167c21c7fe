"""Structured pruning: whole blocks and channels are gone, what stays is copied into a narrower network of its class."""
