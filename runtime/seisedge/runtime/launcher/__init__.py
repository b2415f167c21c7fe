"""The device's side of an update: slots, the switch between two versions, and the way back.

Imports the standard library, securesystemslib and installer only. This room and `bundle` are the launcher `flash.pyz`:
one file outside the slots, which also works where the Python packages of a slot are broken.
"""
