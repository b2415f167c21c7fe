"""Hosts and URLs: what is wrong with one, before anything connects to it.

The functions return a clause for a message, such as `the port must be a number from 1 to 65535`, or None. No clause
repeats the URL: it may contain a password.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from seisedge.runtime.text import quoted

MAX_HOST = 253  # characters, and
MAX_LABEL = 63  # of a part between dots: the limits of the domain name system
MAX_URL = 2048  # characters that servers and proxies accept
PORT_FAULT = "the port must be a number from 1 to 65535"
HOST_FAULT = "the host is invalid; write HOST, HOST:PORT or [IPV6]:PORT after ://"

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?")
_AUTHORITY = re.compile(r"(?:\[[^\[\]]*\]|[^:\[\]]*)(?::[0-9]*)?")


def host_fault(host: str) -> str | None:
    """What is wrong with a host: a domain name, or an IPv4 or IPv6 address without brackets."""
    if not host:
        return "the host is missing"
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return f"the host {quoted(host)} is not an IPv6 address"
        return None
    if not host.isascii():
        return f"the host {quoted(host)} must be written in ASCII letters; write an international name as xn--..."
    name = host.removesuffix(".")
    if len(name) > MAX_HOST:
        return f"the host {quoted(host)} is longer than {MAX_HOST} characters"
    for label in name.split("."):
        if not label:
            return f"the host {quoted(host)} has an empty part between two dots"
        if len(label) > MAX_LABEL:
            return f"the part {quoted(label)} of the host is longer than {MAX_LABEL} characters"
        if not _LABEL.fullmatch(label):
            return f"the host {quoted(host)} may contain letters, digits, hyphens and dots only"
    return None


def url_fault(url: str, schemes: Collection[str] = (), *, host_required: bool = True) -> str | None:
    """What is wrong with SCHEME://HOST[:PORT]/PATH. schemes: those allowed; empty for any."""
    if len(url) > MAX_URL:
        return f"the URL is longer than {MAX_URL} characters"
    if not url.isprintable() or " " in url:
        return "a URL must not contain spaces or control characters; write them as %20"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return HOST_FAULT
    if schemes and parts.scheme not in schemes:
        return f"a URL must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    try:
        port = parts.port
    except ValueError:
        return PORT_FAULT
    if port == 0 and host_required:
        return PORT_FAULT
    if not _AUTHORITY.fullmatch(parts.netloc.rpartition("@")[2]):
        return HOST_FAULT
    if not host and not host_required:
        return None
    if (fault := host_fault(host)) or (parts.netloc.endswith("]") and ":" not in host):
        return fault or HOST_FAULT
    if not url.isascii():
        return "a URL must be in ASCII; write other characters as %C3%BC"
    return None


def listen_fault(address: str) -> str | None:
    """What is wrong with HOST:PORT or :PORT, an address of this machine on which a server listens."""
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon or not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65535:
        return "expected HOST:PORT, such as 127.0.0.1:9108, with a port up to 65535"
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    return host_fault(bare) if bare else None


def is_loopback(address: str) -> bool:
    """True for HOST:PORT or :PORT to which only this machine can connect."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in ("", "localhost")
