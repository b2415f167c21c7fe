import pytest

from seisedge.runtime.addresses import host_fault, listen_fault, url_fault
from seisedge.runtime.errors import InputError
from seisedge.runtime.sources._server_url import address_from_url

HOSTS = ["localhost", "rtserve.iris.washington.edu", "127.0.0.1", "a.", "under_score", "::1", "fe80::1%eth0", "x" * 63]
BAD_HOSTS = [
    ("", "missing"),
    ("dig..example.org", "empty part"),
    (".example.org", "empty part"),
    ("a" * 70 + ".example.org", "longer than 63"),
    ("a." * 130 + "a", "longer than 253"),
    ("bücher.de", "ASCII"),
    ("a b", "letters, digits"),
    ("a\x1b[31m", "letters, digits"),
    ("-a.de", "letters, digits"),
    ("::1::2", "not an IPv6 address"),
    ("h:99", "not an IPv6 address"),
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_valid_host(host: str) -> None:
    assert host_fault(host) is None


@pytest.mark.parametrize(("host", "fault"), BAD_HOSTS)
def test_an_invalid_host(host: str, fault: str) -> None:
    found = host_fault(host)
    assert found is not None and fault in found and found.isprintable() and len(found) < 300


@pytest.mark.parametrize("host", [host for host, _ in BAD_HOSTS if host and ":" not in host and host.isprintable()])
@pytest.mark.parametrize("scheme", ["seedlink", "datalink"])
def test_the_url_of_a_server_with_an_invalid_host(scheme: str, host: str) -> None:
    with pytest.raises(InputError, match="host"):
        address_from_url(f"{scheme}://{host}/NN_STA", scheme)


URLS = [
    "http://h", "https://h:1/a?b=c#d", "http://[::1]:80/", "http://user:pass@example.org:65535/x", "http://h:/",
]  # fmt: skip
BAD_URLS = [
    ("http://[::", "host is invalid"),
    ("http://[::1]x/", "host is invalid"),
    ("http://[v1.a]/", "host"),
    ("http://bücher.de/", "ASCII"),
    ("http://h/bücher", "ASCII"),
    ("http://h\u2100.com/", "host is invalid"),
    ("http:///x", "host is missing"),
    ("http://:80/x", "host is missing"),
    ("http://h:99999/", "from 1 to 65535"),
    ("http://h:0/", "from 1 to 65535"),
    ("http://h:abc/", "from 1 to 65535"),
    ("http://h:" + "9" * 1000, "from 1 to 65535"),
    ("http://h/a\nb", "control characters"),
    ("http://h/a b", "spaces"),
    ("http://h/\x1b", "control characters"),
    ("http://h/" + "a" * 3000, "longer than 2048"),
    ("http://dig..example.org/", "empty part"),
    ("http://" + "a" * 70 + ".org/", "longer than 63"),
    ("ftp://h/", "begin with http:// or https://"),
    ("h/x", "begin with http:// or https://"),
]


@pytest.mark.parametrize("url", URLS)
def test_a_valid_url(url: str) -> None:
    assert url_fault(url, ("http", "https")) is None


@pytest.mark.parametrize(("url", "fault"), BAD_URLS)
def test_an_invalid_url(url: str, fault: str) -> None:
    found = url_fault(url, ("http", "https"))
    assert found is not None and fault in found and len(found) < 300


def test_no_clause_repeats_a_password() -> None:
    for url, _ in BAD_URLS:
        found = url_fault(url.replace("://", "://user:secret@"), ("http", "https"))
        assert found is not None and "secret" not in found


def test_a_source_may_listen_on_all_interfaces() -> None:
    assert url_fault("shake-udp://:8888", host_required=False) is None
    assert url_fault("shake-udp://[::1]:8888", host_required=False) is None
    assert url_fault("shake-udp://:99999", host_required=False) is not None


@pytest.mark.parametrize("address", ["127.0.0.1:9108", ":0", "[::1]:9108", "localhost:1"])
def test_a_valid_address(address: str) -> None:
    assert listen_fault(address) is None


@pytest.mark.parametrize("address", ["", "9108", "h:", "h:99999", "h:²", "h:" + "1" * 99, "a..b:1", "[::x]:1", "h:-1"])
def test_an_invalid_address(address: str) -> None:
    assert listen_fault(address) is not None


def test_a_url_in_place_of_an_address() -> None:
    fault = listen_fault("http://127.0.0.1:8080")
    assert fault is not None and fault.startswith("expected HOST:PORT")
