"""Webhook: one POST of JSON per revision.

By the header `Idempotency-Key: ID/REVISION` a receiver recognises a repetition; it may answer one with 409.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from http import HTTPStatus
from http.client import HTTPException
from importlib.metadata import version

import msgspec

from seisedge.runtime.event import Event, Hop
from seisedge.runtime.sinks._base import Refused, Sink
from seisedge.runtime.urls import shown_url

# The line itself is rejected, and a retry is useless. Other errors (wrong token, missing page) can be repaired there.
REJECTED = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is a failure: urllib would turn the POST into a GET."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


class WebhookSink(Sink):
    """POSTs to `url`. token: sent as `Authorization: Bearer`."""

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 10.0) -> None:
        self._url = url
        self._shown = shown_url(url)
        self._timeout_s = timeout_s
        self._headers = {"Content-Type": "application/json", "User-Agent": f"seisedge/{version('seisedge')}"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._opener = urllib.request.build_opener(_NoRedirect)

    def write(self, line: Event | Hop) -> None:
        if not isinstance(line, Event):
            return
        headers = self._headers | {"Idempotency-Key": f"{line.id}/{line.revision}"}
        request = urllib.request.Request(self._url, msgspec.json.encode(line), headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                answer.read(1 << 16)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == HTTPStatus.CONFLICT:
                return
            if error.code in REJECTED:
                raise Refused(f"{self._shown} answered {error.code} {error.reason}") from None
            raise ConnectionError(f"{self._shown} answered {error.code} {error.reason}") from None
        except urllib.error.URLError as error:
            raise ConnectionError(f"{self._shown}: {error.reason}") from None
        except (
            HTTPException,
            ValueError,
        ) as error:  # their text can contain the URL, or that of a proxy with a password
            raise ConnectionError(f"{self._shown}: {type(error).__name__}") from None
