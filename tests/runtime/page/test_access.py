"""Who may see the page: methods, host names, tokens, and the headers of every answer."""

import hashlib
import re
import socket
from http import HTTPStatus
from pathlib import Path

import pytest

from seisedge.runtime.config import PageConfig, StationConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.http_server.message import Request, Response
from seisedge.runtime.page.access import COOKIE, SECURITY_HEADERS, Access
from seisedge.runtime.page.opening import open_page
from seisedge.runtime.page.page import Page, PageSettings
from seisedge.runtime.service.health import Health

TOKEN = "0123456789abcdef-secret"


def _page(names: tuple[str, ...] = (), token: str | None = None) -> Page:
    return Page(Health(), access=Access(names, token))


def _get(page: Page, path: str = "/api/state", host: str = "127.0.0.1:8080", **headers: str) -> Response:
    path, _, query = path.partition("?")
    fields = dict(pair.split("=", 1) for pair in query.split("&")) if query else {}
    return page.answer(Request("GET", path, fields, {"host": host} | headers))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8080", "[::1]:8080", "[fe80::1]", "192.168.1.20", "localhost:8080", "LOCALHOST", "vault.local:80",
     "vault.local.", "station.example.org:8080", "Station.Example.org"],
)  # fmt: skip
def test_hosts_that_are_answered(host: str) -> None:
    assert _get(_page(("station.example.org",)), host=host).status == HTTPStatus.OK


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "evil.local.example",
     "xstation.example.org", "station.example.org.evil.example", "127.0.0.1:8080:80", "127.0.0.1:x", "[::1", "[::1]x",
     "local", "[evil.local]", "127.0.0.1@evil.example", "2130706433"],
)  # fmt: skip
def test_a_foreign_host_is_refused_against_dns_rebinding(host: str) -> None:
    page = _page(("station.example.org",))
    for path in ("/", "/api/state", "/api/updates", "/assets/x.js", "/nothing"):
        response = _get(page, path, host)
        assert response.status == HTTPStatus.MISDIRECTED_REQUEST and response.stream is None
        assert b"page.name" in response.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PROPFIND"])
def test_only_get_and_head(method: str) -> None:
    response = _page().answer(Request(method, "/api/state", {}, {"host": "localhost"}))
    assert response.status == HTTPStatus.METHOD_NOT_ALLOWED and ("Allow", "GET, HEAD") in response.headers


@pytest.mark.parametrize(
    "path",
    ["/", "/api/state", "/api/events", "/api/envelope", "/api/nothing", "/assets/../page.py", "/assets//etc/passwd",
     "/assets/..%2f..%2fpage.py", "/assets/", "/../../etc/passwd", "/healthz", "/metrics", "//etc/passwd"],
)  # fmt: skip
def test_each_answer_has_the_security_headers_and_no_other_file(path: str) -> None:
    response = _get(_page(), path)
    assert set(SECURITY_HEADERS) <= set(response.headers)
    assert b"from __future__" not in response.body and b"root:" not in response.body
    policy = dict(response.headers)["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy
    assert "frame-ancestors 'none'" in policy and "*" not in policy
    if path not in ("/", "/api/state", "/api/events"):
        assert response.status == HTTPStatus.NOT_FOUND


def test_a_token_is_exchanged_for_a_cookie() -> None:
    page = _page(token=TOKEN)
    for headers in ({}, {"cookie": f"{COOKIE}=x"}, {"cookie": f"{COOKIE}={TOKEN}"}, {"authorization": "Bearer x"}):
        response = _get(page, "/api/state", **headers)
        assert response.status == HTTPStatus.UNAUTHORIZED and b"page.token_file" in response.body
    response = _get(page, "/?token=" + TOKEN[:-1])
    assert response.status == HTTPStatus.UNAUTHORIZED and response.body.startswith(
        b"the token in this address is not that of the page"
    )
    assert _get(page, "/?token=").status == HTTPStatus.UNAUTHORIZED
    response = _get(page, "/?token=" + TOKEN)
    headers = dict(response.headers)
    assert (response.status, headers["Location"]) == (HTTPStatus.SEE_OTHER, "/")
    cookie = headers["Set-Cookie"]
    assert "; HttpOnly" in cookie and "; SameSite=Strict" in cookie and TOKEN not in cookie
    assert _get(page, "/api/state", cookie="a=b; " + cookie.split(";")[0]).status == HTTPStatus.OK
    assert _get(page, "/api/state", authorization=f"Bearer {TOKEN}").status == HTTPStatus.OK
    assert _get(page, "/?token=" + TOKEN, host="evil.example").status == HTTPStatus.MISDIRECTED_REQUEST


@pytest.mark.parametrize(
    ("site", "path", "status"),
    [("cross-site", "/api/updates", 403), ("same-site", "/api/state", 403), ("same-origin", "/api/state", 200),
     ("none", "/api/waveform?event=x", 404), ("cross-site", "/assets/x.js", 403)],
)  # fmt: skip
def test_other_sites_may_only_link_to_the_page(site: str, path: str, status: int) -> None:
    response = _get(_page(), path, **{"sec-fetch-site": site})
    assert response.status == status and response.stream is None
    assert _get(_page(), "/", **{"sec-fetch-site": site}).status != HTTPStatus.FORBIDDEN


def test_metrics_on_the_port_of_the_page_need_a_name_but_no_token() -> None:
    page = Page(Health(), access=Access((), TOKEN), settings=PageSettings(metrics=True))
    for path in ("/healthz", "/metrics"):
        assert _get(page, path).status == HTTPStatus.OK
        assert _get(page, path, "evil.example").status == HTTPStatus.MISDIRECTED_REQUEST
        assert _get(_page(token=TOKEN), path).status == HTTPStatus.UNAUTHORIZED
    assert _get(page, "/api/state").status == HTTPStatus.UNAUTHORIZED


def test_a_refusal_of_the_server_states_when_to_retry() -> None:
    response = _page().refusal(HTTPStatus.SERVICE_UNAVAILABLE, "later")
    assert ("Retry-After", "10") in response.headers and set(SECURITY_HEADERS) <= set(response.headers)


def test_the_cookie_of_another_token_is_refused() -> None:
    other = f"{COOKIE}={hashlib.sha256(b'seisedge page' + bytes(1) + b'another token').hexdigest()}"
    assert _get(_page(token=TOKEN), cookie=other).status == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("cookie", ["", ";;;", "=", f"{COOKIE}", 'a="', f'{COOKIE}="\\0777"', "ü=1", "\x7f"])
def test_a_cookie_that_cannot_be_read_is_no_cookie(cookie: str) -> None:
    assert _get(_page(token=TOKEN), cookie=cookie).status == HTTPStatus.UNAUTHORIZED


_OPEN = StationConfig(page=PageConfig(access="open"))


def test_the_page_beyond_this_machine_needs_a_token_or_the_word_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def no_page(listen: str, *configs: StationConfig, setting: str = "page.listen") -> str:
        """The only reason in /healthz, which is the error in the log, of a page that is not served."""
        health = Health()
        caplog.clear()
        assert open_page(health, listen, configs, setting=setting) is None
        assert [(one.levelname, one.message) for one in caplog.records] == [("ERROR", health.condition()[1][0])]
        assert health.condition()[0] == "degraded"
        return caplog.messages[0]

    for listen in ("0.0.0.0:0", "[::]:0", "vault.local:0", "192.168.1.20:0"):
        assert re.fullmatch(r"no page: page.listen: other machines can .*page.token_file.*'open'.*", no_page(listen))
    assert no_page("0.0.0.0:0", setting="--page").startswith("no page: --page: other machines can connect to 0.0.0.0:0")
    assert no_page("nosuch.invalid:0", _OPEN).startswith("no page: page: the host 'nosuch.invalid' is unknown; give")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        health = Health()
        page = open_page(health, f"127.0.0.1:{taken.getsockname()[1]}")
        assert page is not None
        assert re.fullmatch(r"page: cannot listen on .* Address already in use; choose .*", health.condition()[1][0])
        page.close()
    with pytest.raises(InputError, match=r"--page 8080: expected HOST:PORT"):
        open_page(Health(), "8080", setting="--page")
    token_file = tmp_path / "token"
    token_file.write_text("short\n", encoding="utf-8")
    config = StationConfig(page=PageConfig(token_file=str(token_file)))
    assert re.search(r"page.token_file: the token in .* has fewer than 16 characters", no_page("0.0.0.0:0", config))
    token_file.unlink()
    assert "cannot read the secret from this file" in no_page("0.0.0.0:0", config)
    token_file.write_text(TOKEN + "\n", encoding="utf-8")
    for one in (config, _OPEN):
        health = Health()
        page = open_page(health, "0.0.0.0:0", [one])
        assert page is not None and health.page_faults() == []
        try:
            assert _get(page).status == (HTTPStatus.OK if one is not config else HTTPStatus.UNAUTHORIZED)
        finally:
            page.close()
