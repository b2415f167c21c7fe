"""Station: the packets of one station to events."""
