"""Secrets in station files: a bundle is copied to sticks and servers, so none may be in it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from seisedge.runtime.text import shortened

_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_URL_LOGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/\"'@]+@", re.IGNORECASE)  # user, or user:password
_NAMED = re.compile(
    r"\b(?P<name>[A-Za-z0-9_.-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key)"
    r"[A-Za-z0-9_-]*)[\"']?\s*[=:]\s*(?P<value>\"[^\"]*\"|'[^']*'|[^\s,}]+)",
    re.IGNORECASE,
)
_QUERY = re.compile(r"[?&](?:token|key|password|secret|sig|auth)[a-z_]*=[^&\s\"']+", re.IGNORECASE)
_BEARER = re.compile(r"\bBearer\s+[A-Za-z0-9._~+/-]{8,}")
_KNOWN_TOKENS = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16}|eyJ[A-Za-z0-9_-]{20,}\.)"
)
_LONG = re.compile(r"[A-Za-z0-9+_-]{32,}={0,2}")
MIN_BITS_PER_CHARACTER = 4.2  # random base64 of 40 characters has about 4.8, hexadecimal at most 4, names 3 to 4


def secrets_in(text: str) -> Iterator[str]:
    """What looks like a secret in a text file: for each the line and the reason, never the secret itself."""
    for number, line in enumerate(text.splitlines(), 1):
        reason = _reason(line)
        if reason:
            yield f"line {number}: {reason}"


def _reason(line: str) -> str | None:
    if _PRIVATE_KEY.search(line):
        return "a private key"
    if _URL_LOGIN.search(line):
        return "a user name or password in a URL"
    if _BEARER.search(line):
        return "a token for an HTTP header"
    if _QUERY.search(line):
        return "a token in the query of a URL"
    for match in _NAMED.finditer(line):
        name, value = match["name"], match["value"].strip("\"'")
        if value and not name.lower().endswith(("_file", "-file")) and not _is_reference(value):
            return f"a value for '{shortened(name, 40)}'"
    if _KNOWN_TOKENS.search(line):
        return "a token of a known service"
    for word in _LONG.findall(line):
        if (
            _bits_per_character(word) >= MIN_BITS_PER_CHARACTER
            and re.search(r"\d", word)
            and re.search(r"[A-Za-z]", word)
        ):
            return "a long random text, such as a key"
    return None


def _is_reference(value: str) -> bool:
    """A variable or the path of a file, not the secret itself."""
    return value.startswith(("$", "/", "%")) or value.lower() in ("true", "false", "null", "none")


def _bits_per_character(word: str) -> float:
    shares = [word.count(c) / len(word) for c in set(word)]
    return -sum(share * math.log2(share) for share in shares)
