"""URLs: how they are shown.

A URL can contain secrets: user and password, the path and query of a webhook, the value of a query key that its
protocol does not define. Wherever a URL is printed, logged or stored, it passes `shown_url` first.
"""

from __future__ import annotations

import hashlib
import re

HIDDEN = "…"

# Schemes whose path is public (stations, files), with the query keys whose values are public.
_SOURCES = {
    "seedlink": ("select", "from", "protocol"),
    "datalink": ("select", "from"),
    "shake-udp": ("station", "location", "rate", "listen"),
}
_LOCAL = ("file", "sds")  # paths of this machine
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?(.*)", re.DOTALL)
_FINGERPRINT = re.compile(rf"\S*/{HIDDEN} #[0-9a-f]{{8}}")


def shown_url(url: str) -> str:
    """A URL without its secrets; idempotent. A path, a `file:` and an `sds:` URL are returned unchanged.

    `seedlink://user:password@host/NET_STA` → `seedlink://host/NET_STA`
    `https://user:password@host/path?token=x` → `https://host/…`
    """
    match = _URL.fullmatch(url)
    if match is None:
        return url
    scheme, slashes, whole = match[1].lower(), match[2], match[3]
    # The last '@' of the whole URL: a password may contain an unescaped '/' or '?', public parts contain no '@'.
    rest = whole.rpartition("@")[2]
    is_url = slashes or scheme in (*_SOURCES, "http", "https") or rest != whole
    if not is_url or scheme in _LOCAL:
        return url
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    tail = rest[len(authority) :]
    shown = _public(tail, _SOURCES[scheme]) if scheme in _SOURCES else f"/{HIDDEN}" if tail.strip("/") else tail
    return f"{url[: match.start(3)]}{authority}{shown}"


def url_key(url: str) -> str:
    """`shown_url` and, where it hides a path or query, a fingerprint of these; user and password have no influence.

    For names that must differ between two webhooks of one host. Idempotent.
    """
    shown = shown_url(url)
    if _FINGERPRINT.fullmatch(url):
        return url
    if not shown.endswith(f"/{HIDDEN}"):
        return shown
    rest = url.partition(":")[2].rpartition("@")[2].removeprefix("//")
    return f"{shown} #{hashlib.sha256(rest.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _public(tail: str, keys: tuple[str, ...]) -> str:
    """Path and query with the values of other query keys than `keys` hidden."""
    tail, _, fragment = tail.partition("#")
    path, mark, query = tail.partition("?")
    end = f"#{HIDDEN}" if fragment else ""
    if not mark:
        return f"{path}{end}"
    items = []
    for item in query.split("&"):
        key, equals, _ = item.partition("=")
        items.append(item if key in keys or not item else f"{key}={HIDDEN}" if equals else HIDDEN)
    return f"{path}?{'&'.join(items)}{end}"
