"""Inference: windows, probabilities and estimates."""
