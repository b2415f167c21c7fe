"""The commands of the workstation; each module has a click command called `command`."""
