"""Requests and responses of the HTTP server: the parser of a request, and the bytes of a response."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

from seisedge.runtime.http_server.stream import Stream

MAX_REQUEST_BYTES = 8192
MAX_HEADERS = 100
MAX_FIELDS = 20  # of a query
END_OF_HEADER = re.compile(rb"\r?\n\r?\n")

_LINE_END = re.compile(r"\r?\n")
_METHOD = re.compile(r"[A-Z]{1,20}")
_VERSION = re.compile(r"HTTP/1\.[0-9]")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class BadRequestError(Exception):
    """A request that is no HTTP; the message is one sentence for the client."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. path: decoded. headers: by name in lower case; host: '' without the header."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return self.headers.get("host", "")


@dataclass(frozen=True, slots=True)
class Response:
    """One response. stream: instead of a body, the connection stays open and receives what is put into the stream."""

    status: HTTPStatus
    kind: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    stream: Stream | None = None

    def encoded(self, *, head: bool) -> bytes:
        """The bytes to send. head: without the body."""
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}", f"Content-Type: {self.kind}"]
        if self.stream is None:
            lines.append(f"Content-Length: {len(self.body)}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += ["Connection: close", "", ""]
        return "\r\n".join(lines).encode("latin-1") + (b"" if head else self.body)


def request_from(data: bytes) -> Request:
    """Parse a request with its header. Raises BadRequestError.

    A repeated Host, a continued header line and a target that is no path are refused: two readers could take them
    differently.
    """
    header, *_ = END_OF_HEADER.split(data, maxsplit=1)
    first, *lines = _LINE_END.split(header.decode("latin-1"))
    method, _, rest = first.partition(" ")
    target, _, version = rest.partition(" ")
    if not _METHOD.fullmatch(method) or (version and not _VERSION.fullmatch(version)):
        raise BadRequestError("this is not an HTTP/1.1 request")
    path, query = _target(target)
    if len(lines) > MAX_HEADERS:
        raise BadRequestError(f"the request has more than {MAX_HEADERS} header lines")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name) or not value.strip(" \t").isprintable():
            raise BadRequestError("a header line of the request is not valid")
        if (key := name.lower()) == "host" and key in headers:
            raise BadRequestError("the request has two Host headers")
        headers[key] = value.strip(" \t")
    return Request(method, path, query, headers)


def _target(target: str) -> tuple[str, dict[str, str]]:
    """Decoded path and query of the target of a request. Raises BadRequestError."""
    path, _, query = target.partition("?")
    if not path.startswith("/") or not target.isascii() or not target.isprintable():
        raise BadRequestError("the target of the request is not a path")
    try:
        decoded = unquote(path, errors="strict")
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise BadRequestError("the target of the request cannot be decoded") from error
    if not all(text.isprintable() for text in (decoded, *(part for pair in fields for part in pair))):
        raise BadRequestError("the target of the request contains control characters")
    return decoded, dict(fields)
