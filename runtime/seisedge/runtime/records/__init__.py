"""Records: miniSEED to packets, channel codes, station metadata."""
