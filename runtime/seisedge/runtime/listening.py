"""Listening: why an address cannot be listened on, in a sentence and with the exit status that belongs to it."""

from __future__ import annotations

import socket

from seisedge.runtime.errors import FailedError, InputError, SeisedgeError


def cannot_listen(asked: str, host: str, port: int, error: Exception) -> SeisedgeError:
    """What to raise for `error` of a bind. asked: the option, setting or URL that named the address.

    InputError for a host that is no address and no name this machine knows; FailedError for all that may be
    otherwise at another time: a port in use, an address whose interface is not up.
    """
    # UnicodeError: a name that cannot even be asked for, as with a label of more than 63 letters
    if isinstance(error, socket.gaierror | UnicodeError):
        return InputError(
            f"{asked}: the host '{host}' is unknown; give an address of this machine, as in 127.0.0.1 "
            "(this machine only) or 0.0.0.0 (all its interfaces)"
        )
    reason = str(getattr(error, "strerror", None) or error).partition(" (while")[0]
    return FailedError(f"{asked}: cannot listen on {host} port {port}: {reason}; choose another port")
