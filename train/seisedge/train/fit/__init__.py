"""Fit: the training loop; it turns a recipe and data into a run."""
