"""Bundles: the format of an update, its signatures, and whom a station trusts.

Imports the standard library and securesystemslib only: the launcher on a device without any package contains this room.
"""
