"""A whole archive to events: `seisedge archive`. Needs the extra `archive`; imported only by that command.

run       one run, from places and settings to an output folder
inputs    which files there are, and copies of remote ones; reading: their records, in order of time
plan      the units of each station, and the files that each of them reads
unit      the analysis of one unit, and the proof that its events are those of one uninterrupted run
schedule  which unit is analysed when, and when its result is written
pool      this process as the place of the analysis; cluster: the workers of Dask
output    the files of an output folder; table: their columns; catalogue: CSV and QuakeML
diff      comparison of two outputs; pages and plots: what `summary` and `diff` draw
"""
