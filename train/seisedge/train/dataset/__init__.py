"""Build, check, describe and read data sets in SeisBench format.

This package does not import torch; obspy and seisbench are imported only by the functions that need them.
"""
