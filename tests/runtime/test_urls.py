"""URLs as they are shown, and host names."""

import pytest

from seisedge.runtime.urls import shown_url, url_key


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("seedlink://host", "seedlink://host"),
        ("seedlink://host:18001/PB_B918,PB_B921?select=EH?,!EHZ&from=earliest&protocol=4", None),
        ("seedlink://user:pw@host:18001/PB_B918?select=EH?", "seedlink://host:18001/PB_B918?select=EH?"),
        ("SEEDLINK://user:p@w@host/PB_B918", "SEEDLINK://host/PB_B918"),
        ("seedlink://user:p/w?x#y@host/PB_B918?select=EH?", "seedlink://host/PB_B918?select=EH?"),
        ("seedlink:user:pw@host/PB_B918", "seedlink:host/PB_B918"),
        ("datalink://host/PB_B918?token=secret&from=latest", "datalink://host/PB_B918?token=…&from=latest"),
        ("datalink://host/PB_B918?protocol=4&secret", "datalink://host/PB_B918?protocol=…&…"),
        ("datalink://host/PB_B918#secret", "datalink://host/PB_B918#…"),
        ("shake-udp://:8888?station=AM_R1234&rate=100", None),
        ("https://user:pw@host:8443/hook/secret?token=x#y", "https://host:8443/…"),
        ("https://host?token=x", "https://host/…"),
        ("https://host/", None),
        ("http://[::1]:80", None),
        ("htps://user:pw@host/secret", "htps://host/…"),
        ("file:/data/a@b.mseed?follow=true", None),
        ("sds:/archive@home", None),
        ("data/a@b:c.mseed", None),
        ("-", None),
    ],
)
def test_a_url_is_shown_without_secrets(url: str, shown: str | None) -> None:
    assert shown_url(url) == (url if shown is None else shown)
    assert shown_url(shown_url(url)) == shown_url(url)


def test_a_key_differs_by_path_and_query_but_not_by_password() -> None:
    keys = [url_key(f"https://{user}host/{path}") for user in ("", "u:one@", "u:two@") for path in ("a", "b", "a?c=d")]
    assert len(set(keys)) == 3 and keys[:3] == keys[3:6] == keys[6:]
    assert keys[0] == "https://host/… #3147eb19"  # names of sinks in state folders: must not change
    assert [url_key(key) for key in keys] == keys
    assert url_key("https://host") == "https://host"
    assert url_key("seedlink://u:p@host/PB_B918?x=y") == "seedlink://host/PB_B918?x=…"
