"""Measurements of models and of a station on this machine."""
