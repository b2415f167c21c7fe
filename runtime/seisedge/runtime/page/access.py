"""Access: which requests the page answers: the allowed names of its host, and the token beyond this machine."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Collection
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie

from seisedge.runtime.http_server.message import Request

COOKIE = "seisedge_page"
COOKIE_S = 30 * 86_400

# No inline script, no other server, no frame; nothing is stored by a proxy.
SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)

_PORT = re.compile(r":[0-9]{1,5}")


class PageError(Exception):
    """A request that is not answered: the status, and one sentence for the client."""

    def __init__(self, status: HTTPStatus, sentence: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers


def host_of(header: str) -> str:
    """The host of a `Host` header in lower case, without its port and brackets; '' where the header is not valid."""
    text = header.strip().lower()
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or ":" not in host:
            return ""
    else:
        host, colon, port = text.partition(":")
        port = colon + port
    return host.removesuffix(".") if not port or _PORT.fullmatch(port) else ""


class Access:
    """names: hosts by which the page may be called besides addresses, localhost and *.local. token: None: none."""

    def __init__(self, names: Collection[str] = (), token: str | None = None) -> None:
        self._names = {name.lower().removesuffix(".") for name in names}
        self._token = token
        # the cookie is another value than the token: who reads it cannot use the link of the token
        self._cookie = "" if token is None else hashlib.sha256(b"seisedge page\0" + token.encode()).hexdigest()

    def check(self, request: Request, *, public: bool = False) -> str | None:
        """Raises PageError for a request that is refused; a text is the value of the cookie to set for this client.

        public: no token is needed.
        """
        self._check_host(request.host)
        if request.method not in ("GET", "HEAD"):
            sentence = f"the page answers GET and HEAD only, not {request.method}"
            raise PageError(HTTPStatus.METHOD_NOT_ALLOWED, sentence, (("Allow", "GET, HEAD"),))
        self._check_site(request)
        if self._token is None or public:
            return None
        if request.query.get("token"):
            if _same(request.query["token"], self._token):
                return self._set_cookie()
            raise PageError(
                HTTPStatus.UNAUTHORIZED,
                "the token in this address is not that of the page: copy the first line of the file page.token_file, "
                "and restart the run if the file has changed since its start",
            )
        if self._has_token(request):
            return None
        raise PageError(
            HTTPStatus.UNAUTHORIZED,
            "this page needs its token: open it once as /?token=TOKEN, with the text of the file page.token_file",
        )

    def _check_host(self, header: str) -> None:
        """Against DNS rebinding: another site's name that resolves to this machine is not this page."""
        host = host_of(header)
        if host and (host == "localhost" or host.endswith(".local") or host in self._names or _is_address(host)):
            return
        sentence = (
            "the host name of this request is not allowed: use the address of the station, or write its name into "
            "page.name of the station file"
        )
        raise PageError(HTTPStatus.MISDIRECTED_REQUEST, sentence)

    @staticmethod
    def _check_site(request: Request) -> None:
        """Against other sites whose pages hold connections of this one; they may only link to the page itself."""
        if request.path != "/" and request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise PageError(
                HTTPStatus.FORBIDDEN, "the page of another site has sent this request: open the page itself"
            )

    def _has_token(self, request: Request) -> bool:
        assert self._token is not None
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(bearer.strip(), self._token):
            return True
        try:
            cookies = SimpleCookie(request.headers.get("cookie", ""))
        except CookieError:
            return False
        return COOKIE in cookies and _same(cookies[COOKIE].value, self._cookie)

    def _set_cookie(self) -> str:
        return f"{COOKIE}={self._cookie}; Path=/; Max-Age={COOKIE_S}; HttpOnly; SameSite=Strict"


def _same(given: str, expected: str) -> bool:
    """Compare in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
