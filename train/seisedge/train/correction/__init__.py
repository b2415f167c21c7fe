"""`seisedge calibrate`: the magnitude correction of a station, from catalogued events in its recordings."""
