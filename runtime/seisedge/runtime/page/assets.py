"""Assets: the files of the front end, read once from the package. Only these files can be requested."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from seisedge.runtime.http_server.message import Request, Response
from seisedge.runtime.page.access import PageError

FOLDER = Path(__file__).parent / "assets"
INDEX = "index.html"
COMMENT = re.compile(rb"^ */\*\*.*?\*/\n", re.DOTALL | re.MULTILINE)  # types and remarks: a sixth of the first load
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True)
class Asset:
    kind: str
    body: bytes
    compressed: bytes
    etag: str

    @classmethod
    def read(cls, path: Path) -> Asset:
        body = path.read_bytes()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if path.suffix == ".js":
            body = COMMENT.sub(b"", body)
        return cls(KINDS[path.suffix], body, gzip.compress(body, 9, mtime=0), etag)


class Assets:
    """The files of a folder by name; subfolders are left out."""

    def __init__(self, folder: Path = FOLDER) -> None:
        files = sorted(path for path in folder.glob("*") if path.suffix in KINDS and path.is_file())
        self.by_name = {path.name: Asset.read(path) for path in files}

    def response(self, name: str, request: Request) -> Response:
        """One file, compressed where the client accepts it; 304 where it has this version. Raises PageError."""
        asset = self.by_name.get(name)
        if asset is None:
            raise PageError(HTTPStatus.NOT_FOUND, "the page has no such file")
        headers = (("ETag", asset.etag), ("Cache-Control", "no-cache"), ("Vary", "Accept-Encoding"))
        if asset.etag in request.headers.get("if-none-match", ""):
            return Response(HTTPStatus.NOT_MODIFIED, asset.kind, b"", headers)
        if accepts_gzip(request):
            return Response(HTTPStatus.OK, asset.kind, asset.compressed, (*headers, ("Content-Encoding", "gzip")))
        return Response(HTTPStatus.OK, asset.kind, asset.body, headers)


def accepts_gzip(request: Request) -> bool:
    """True where the client states that it reads gzip."""
    offers = [part.replace(" ", "") for part in request.headers.get("accept-encoding", "").split(",")]
    return any(offer == "gzip" or (offer.startswith("gzip;q=") and offer[7:] not in ("0", "0.0")) for offer in offers)
