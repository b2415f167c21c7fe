"""The ground floor: what runs on the station. Imports nothing of torch, scipy, obspy or matplotlib."""
