"""Listening: the error for an address on which a server cannot listen, with the right exit status."""

from __future__ import annotations

import socket

from seisedge.runtime.errors import FailedError, InputError, SeisedgeError


def cannot_listen(setting: str, host: str, port: int, error: Exception) -> SeisedgeError:
    """The error to raise where binding a socket raised `error`. setting: the option, setting or URL with the address.

    InputError for a host that is no address and cannot be resolved; FailedError for what may change by itself, such
    as a port in use or an interface that is down.
    """
    # UnicodeError: a name that no resolver accepts, for example with a label of more than 63 letters
    if isinstance(error, socket.gaierror | UnicodeError):
        return InputError(
            f"{setting}: the host '{host}' is unknown; give an address of this machine, as in 127.0.0.1 "
            "(this machine only) or 0.0.0.0 (all its interfaces)"
        )
    reason = str(getattr(error, "strerror", None) or error).partition(" (while")[0]
    return FailedError(f"{setting}: cannot listen on {host} port {port}: {reason}; choose another port")
