"""Notebook: the rooms of a station behind `seisedge.api`, for data in memory and in files."""
