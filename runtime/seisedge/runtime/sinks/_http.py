"""HTTP with one deadline for a whole exchange: connection, proxy, TLS, request, status line and headers.

A time-out of a socket is for one call: a peer that sends a byte at a time, or `100 Continue` without end, renews it for
ever. Here each call gets the time that is left. Only the look-up of the host name has the time limits of the resolver.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.request
from functools import partial
from time import monotonic
from typing import Any


class _Deadline:
    """Mixin of a socket class: each call ends at `until_s` on the monotonic clock, with TimeoutError."""

    until_s: float

    def limit(self) -> None:
        """Give the next call the time that is left. Raises TimeoutError if there is none."""
        left_s = self.until_s - monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left_s)  # type: ignore[attr-defined]  # of the socket class

    def connect(self, *args: Any) -> None:
        self.limit()
        super().connect(*args)  # type: ignore[misc]

    def send(self, *args: Any) -> int:
        self.limit()
        sent: int = super().send(*args)  # type: ignore[misc]
        return sent

    def sendall(self, *args: Any) -> None:
        self.limit()
        super().sendall(*args)  # type: ignore[misc]

    def recv_into(self, *args: Any) -> int:
        self.limit()
        received: int = super().recv_into(*args)  # type: ignore[misc]
        return received


class _PlainSocket(_Deadline, socket.socket):
    pass


class _TlsSocket(_Deadline, ssl.SSLSocket):
    pass


def _connected(address: tuple[str, int], timeout_s: float) -> _PlainSocket:
    """A connection to the first address of the host that accepts one. Raises OSError."""
    until_s = monotonic() + timeout_s
    failure: OSError = OSError(f"{address[0]}: the host has no address")
    for family, kind, protocol, _, place in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        link = _PlainSocket(family, kind, protocol)
        link.until_s = until_s
        try:
            link.connect(place)
        except OSError as error:
            link.close()
            failure = error
        else:
            return link
    raise failure


class _Connection(http.client.HTTPConnection):
    """timeout: for the whole exchange, s."""

    sock: _PlainSocket | _TlsSocket

    def connect(self) -> None:
        self.sock = _connected((self.host, self.port), float(self.timeout or 0))
        if self._tunnel_host:  # type: ignore[attr-defined]  # set by urllib for a proxy
            self._tunnel()  # type: ignore[attr-defined]


class _TlsConnection(_Connection):
    default_port = http.client.HTTPS_PORT

    def __init__(self, *args: Any, context: ssl.SSLContext, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._context = context

    def connect(self) -> None:
        super().connect()
        plain = self.sock
        until_s = plain.until_s
        plain.limit()  # the handshake inherits this time-out, which is for the handshake as a whole
        host = self._tunnel_host or self.host  # type: ignore[attr-defined]
        secure = self._context.wrap_socket(plain, server_hostname=host)
        if not isinstance(secure, _TlsSocket):
            raise TypeError(f"expected a socket with a deadline; got {type(secure).__name__}")
        secure.until_s = until_s
        self.sock = secure


class _HttpHandler(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, request)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def __init__(self) -> None:
        super().__init__()
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._tls.sslsocket_class = _TlsSocket

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_TlsConnection, context=self._tls), request)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is a failure: urllib would turn a POST into a GET."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def opener() -> urllib.request.OpenerDirector:
    """Opens http and https URLs, through the proxy of the environment if there is one. `timeout` of `open` is for the
    whole exchange up to the headers of the answer, and reading the body ends at the same moment.
    """
    return urllib.request.build_opener(_NoRedirect, _HttpHandler, _HttpsHandler)
