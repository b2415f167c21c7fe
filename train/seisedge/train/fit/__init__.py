"""Fit: the training loop, from a recipe to a run."""
