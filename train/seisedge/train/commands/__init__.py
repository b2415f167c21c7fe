"""The commands for the workstation; each module defines a click command named `command`."""
