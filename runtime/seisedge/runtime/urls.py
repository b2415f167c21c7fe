"""URLs: how they are shown, and which host names they may contain.

A URL can contain secrets: user and password, the path and query of a webhook, the value of a query key that its
protocol does not define. Wherever a URL is printed, logged or stored, it passes `shown_url` first.
"""

from __future__ import annotations

import hashlib
import ipaddress
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

MAX_NAME_CHARACTERS = 253  # RFC 1035, without the final dot
MAX_LABEL_CHARACTERS = 63
MAX_SHOWN_CHARACTERS = 40  # of an invalid host, in a message
_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")


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


def host_fault(host: str) -> str | None:
    """What is wrong with a host name or address, as a sentence without its end; None if it can be looked up."""
    shown = host if len(host) <= MAX_SHOWN_CHARACTERS else f"{host[:MAX_SHOWN_CHARACTERS]}{HIDDEN}"
    shown = "".join(c if c.isprintable() else "?" for c in shown)
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return f"the host '{shown}' is not an IPv6 address"
        return None
    labels = host.removesuffix(".").split(".")
    if not all(labels):
        return f"the host name '{shown}' has an empty part before or after a dot"
    try:
        name = host.encode("idna").decode("ascii")  # what a look-up uses for a name with other letters than a to z
    except UnicodeError:
        name = host if host.isascii() else ""
    longest = max(len(label) for label in (name or host).removesuffix(".").split("."))
    if longest > MAX_LABEL_CHARACTERS:
        return f"a part of the host name '{shown}' has {longest} characters; at most {MAX_LABEL_CHARACTERS} are allowed"
    if len(name.removesuffix(".")) > MAX_NAME_CHARACTERS:
        return f"the host name '{shown}' has {len(name)} characters; at most {MAX_NAME_CHARACTERS} are allowed"
    if not _NAME.fullmatch(name):
        return f"the host name '{shown}' contains a character that no host name has"
    return None


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
