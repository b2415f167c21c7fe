"""Webhook: one POST of JSON per revision.

By the header `Idempotency-Key: ID/REVISION` a receiver recognises a repetition; it may answer one with 409.

A status of 2xx accepts the line, whatever the body of the answer. A status that concerns the line refuses it for good.
After any other status the line is sent again: the operator or the server can repair the cause.
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
from seisedge.runtime.sinks._http import opener
from seisedge.runtime.text import error_clause, printable, shortened
from seisedge.runtime.urls import shown_url

ANSWER_BYTES = 500  # of a refusal, for the dead letters

# The 4xx that do not concern the line: the token, the URL and the proxy are configured, the others pass.
RETRIED = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.GONE,
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.LOCKED,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.UPGRADE_REQUIRED,
    HTTPStatus.TOO_MANY_REQUESTS,
}


class WebhookSink(Sink):
    """POSTs to `url`. token: sent as `Authorization: Bearer`. timeout_s: of a whole exchange, connection to answer."""

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 10.0) -> None:
        self._url = url
        self._shown = shown_url(url)
        self._token = token
        self._timeout_s = timeout_s
        self._headers = {"Content-Type": "application/json", "User-Agent": f"seisedge/{version('seisedge')}"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._opener = opener()

    def write(self, line: Event | Hop) -> None:
        if not isinstance(line, Event):
            return
        headers = self._headers | {"Idempotency-Key": f"{line.id}/{line.revision}"}
        request = urllib.request.Request(self._url, msgspec.json.encode(line), headers, method="POST")
        try:
            self._opener.open(request, timeout=self._timeout_s).close()
        except urllib.error.HTTPError as error:
            with error:
                self._not_accepted(error)
        except TimeoutError:
            raise self._no_answer() from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise self._no_answer() from None
            raise ConnectionError(f"{self._shown}: {_why(error)}") from None
        except (
            HTTPException,
            ValueError,
        ) as error:  # their text can contain the URL, or that of a proxy with a password
            raise ConnectionError(f"{self._shown}: {type(error).__name__}") from None

    def probe(self, message: bytes | None) -> str:
        """Reach the server: with a HEAD request, or with a POST of a test message. Returns a clause for people.

        Raises OSError if it is not reached, refuses the token, or does not accept the message.
        """
        method = "HEAD" if message is None else "POST"
        request = urllib.request.Request(self._url, message, self._headers, method=method)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                code = answer.status
        except urllib.error.HTTPError as error:
            with error:
                code = error.code
        except TimeoutError:
            raise self._no_answer() from None
        except urllib.error.URLError as error:
            raise ConnectionError(f"{self._shown}: {_why(error)}") from None
        except (HTTPException, ValueError) as error:
            raise ConnectionError(f"{self._shown}: {type(error).__name__}") from None
        if code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise ConnectionError(f"{self._shown} answered {code} to {method}: check the token")
        if message is not None and not 200 <= code < 300:
            raise ConnectionError(f"{self._shown} answered {code} to a test message")
        done = "accepted a test message" if message is not None else f"is reached (it answers {code} to HEAD)"
        return f"{self._shown} {done}"

    def _not_accepted(self, error: urllib.error.HTTPError) -> None:
        """Raises ConnectionError if the line can be sent again, Refused if not; neither for a repetition."""
        if error.code == HTTPStatus.CONFLICT:
            return
        sentence = f"{self._shown} answered {error.code} {shortened(error.reason, 100)}"
        if not 400 <= error.code < 500 or error.code in RETRIED:
            raise ConnectionError(sentence)
        answer = printable(_beginning(error).decode("utf-8", "replace")).strip()
        if self._token:
            answer = answer.replace(self._token, "…")
        raise Refused(sentence, status=error.code, answer=answer)

    def _no_answer(self) -> TimeoutError:
        return TimeoutError(f"{self._shown}: no complete answer within {self._timeout_s:g} s")


def _why(error: urllib.error.URLError) -> str:
    return error_clause(error.reason) if isinstance(error.reason, BaseException) else error.reason


def _beginning(error: urllib.error.HTTPError) -> bytes:
    """What has arrived of the body before the deadline, up to `ANSWER_BYTES`."""
    found = b""
    try:
        while len(found) < ANSWER_BYTES:
            part = error.fp.read1(ANSWER_BYTES - len(found))  # type: ignore[attr-defined]  # an HTTPResponse
            if not part:
                break
            found += part
    except (OSError, HTTPException, ValueError):
        pass  # the status is known
    return found
