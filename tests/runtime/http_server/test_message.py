"""The parser of requests: what is accepted, what is refused, and that nothing makes it fail in another way."""

import random
from http import HTTPStatus

import pytest

from seisedge.runtime.http_server.message import BadRequestError, Request, Response, request_from

GOOD = b"GET /api/events?limit=5&station=PB.B918&x=%C3%BC HTTP/1.1\r\nHost: a:80\r\nCookie: b=c\r\n\r\n"


def test_a_request() -> None:
    assert request_from(GOOD) == Request(
        "GET",
        "/api/events",
        {"limit": "5", "station": "PB.B918", "x": "ü"},
        {"host": "a:80", "cookie": "b=c"},
    )
    assert request_from(b"HEAD /a%20b HTTP/1.0\n\n") == Request("HEAD", "/a b")
    assert request_from(b"POST / HTTP/1.1\r\n\r\nbody").method == "POST"
    assert request_from(b"GET /../..//etc/passwd HTTP/1.1\r\n\r\n").path == "/../..//etc/passwd"  # never a file name


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\r\n\r\n",  # TLS
        b"get / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1 more\r\n\r\n",
        b"GET http://other/ HTTP/1.1\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /%ff HTTP/1.1\r\n\r\n",
        b"GET /?a=%ff HTTP/1.1\r\n\r\n",
        b"GET /%0d%0aSet-Cookie:x HTTP/1.1\r\n\r\n",
        b"GET /?a=%00 HTTP/1.1\r\n\r\n",
        b"GET /\xc3\xbc HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n more\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /?" + b"a=1&" * 21 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n",
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequestError) as caught:
        request_from(data)
    sentence = str(caught.value)
    assert sentence.isprintable() and len(sentence) < 100


def test_mutated_requests_are_parsed_or_refused() -> None:
    rng = random.Random(0)
    pieces = [b"%", b"%00", b"\r\n", b"\n", b"\0", b":", b"?", b"&", b"=", b"..", b"\xff", b"Host: x\r\n", b" " * 50]
    parsed = 0
    for _ in range(20_000):
        data = bytearray(GOOD)
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(3)] = rng.choice(pieces) if rng.random() < 0.5 else rng.randbytes(2)
        try:
            request = request_from(bytes(data))
        except BadRequestError:
            continue
        parsed += 1
        texts = [request.path, *request.query, *request.query.values(), *request.headers, *request.headers.values()]
        assert request.path.startswith("/") and all(text.isprintable() for text in texts)
    assert 500 < parsed < 19_500  # both cases occur


def test_a_response_has_its_length_unless_it_is_a_stream() -> None:
    response = Response(HTTPStatus.OK, "text/plain", b"abc", (("X-A", "b"),))
    expected = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nX-A: b\r\nConnection: close\r\n\r\n"
    )
    assert response.encoded(head=False) == expected + b"abc"
    assert response.encoded(head=True) == expected
