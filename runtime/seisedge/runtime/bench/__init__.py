"""Measurements a station can be judged by."""
