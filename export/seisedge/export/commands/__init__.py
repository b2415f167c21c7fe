"""The commands of the export; each module has a click command called `command`."""
