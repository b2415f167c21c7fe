"""Data sets in SeisBench format: built, checked, described, read. No torch; obspy and seisbench only where used."""
