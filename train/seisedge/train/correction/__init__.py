"""`seisedge calibrate`: the station correction for magnitude, from catalogued events that the station recorded."""
