"""The bundled recording and what is known of it."""

from pathlib import Path

DATA = Path(__file__).parent / "data"
RECORDING = DATA / "ridgecrest.mseed"
CATALOGUE = DATA / "catalogue.csv"
AUTOMATIC = DATA / "automatic.csv"
STATIONS = DATA / "stations"
