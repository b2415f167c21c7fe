"""Sources of packets: one file each."""
