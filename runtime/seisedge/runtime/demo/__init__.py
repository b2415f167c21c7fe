"""The bundled recording, its catalogues and its station files."""

from pathlib import Path

DATA = Path(__file__).parent / "data"
RECORDING = DATA / "ridgecrest.mseed"
CATALOGUE = DATA / "catalogue.csv"
AUTOMATIC = DATA / "automatic.csv"
STATIONS = DATA / "stations"
