"""Synthetic three-component records: magnitude, distance and kind in, ground velocity in m/s out.

For pretraining, tests and benchmarks. The physics is that of textbooks, good to a factor of two in amplitude, and no
more: a Brune source with a corner frequency and a stress drop, 1/r spreading, attenuation by Q and kappa, P and S
that arrive as the distance says, scattered coda, coloured or real noise, and explosions with weak S and an Rg wave.
`Earth` is uniform or has a velocity gradient; no layers, no conversions, no Lg. `Layers` in its place gives all
that flat layers do to the waves of one mechanism (head waves, conversions, multiples, Rg, Lg), computed by PyGRT (the
extra `layered`), but neither scattered coda nor a Q that depends on frequency, and takes seconds a record.

>>> from seisedge.train.synthetic import Earth, Event, seismogram
>>> record = seismogram(Event(magnitude=2.0, distance_km=20.0, depth_km=8.0), Earth(), seed=1)
>>> record.waveform.shape, round(record.s_s - record.p_s, 2)
((3, 9000), 2.71)

`write_dataset` makes a data set in SeisBench format of them, each marked `trace_synthetic`. A recipe trains on such
records only with `data.synthetic = true`; they are never held out, never calibrated on, and counted in no accuracy.
"""

from seisedge.train.synthetic.dataset import Catalogue, write_dataset
from seisedge.train.synthetic.earth import Earth
from seisedge.train.synthetic.layers import Layer, Layers
from seisedge.train.synthetic.noise import coloured_noise
from seisedge.train.synthetic.record import Event, Seismogram, seismogram
from seisedge.train.synthetic.source import corner_hz, magnitude_from_moment, moment_from_magnitude

__all__ = [
    "Catalogue",
    "Earth",
    "Event",
    "Layer",
    "Layers",
    "Seismogram",
    "coloured_noise",
    "corner_hz",
    "magnitude_from_moment",
    "moment_from_magnitude",
    "seismogram",
    "write_dataset",
]
