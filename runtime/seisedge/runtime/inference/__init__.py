"""Inference: windows to probabilities to estimates."""
