"""The commands of the runtime: one file each, `command` in it."""
