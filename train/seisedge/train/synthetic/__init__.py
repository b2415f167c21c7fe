"""Synthetic three-component records of ground velocity in m/s for a given magnitude, distance and kind of event.

For pretraining, tests and benchmarks. The physics is that of textbooks; amplitudes are correct within a factor of two:
a Brune source with a corner frequency and a stress drop, 1/r spreading, attenuation by Q and kappa, P and S at the
travel times of the distance, scattered coda, coloured or recorded noise, and explosions with weak S and an Rg wave.
`Earth` is uniform or has a velocity gradient; it has no layers, no conversions, no Lg. `Layers` instead computes all
waves of one mechanism in flat layers (head waves, conversions, multiples, Rg, Lg) with PyGRT (the extra `layered`), but
no scattered coda and no frequency-dependent Q, and takes seconds for each record.

>>> from seisedge.train.synthetic import Earth, Event, seismogram
>>> record = seismogram(Event(magnitude=2.0, distance_km=20.0, depth_km=8.0), Earth(), seed=1)
>>> record.waveform.shape, round(record.s_s - record.p_s, 2)
((3, 9000), 2.71)

`write_dataset` writes a data set of such records in SeisBench format, each marked `trace_synthetic`. A recipe trains on
them only with `data.synthetic = true`; they are never used as test data, for calibration, or in an accuracy.
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
