"""Recent: answers of the last second, for clients that ask for the same curve at the same time."""

from __future__ import annotations

from collections import OrderedDict

from seisedge.runtime.http_server.message import Response

Key = tuple[str, tuple[tuple[str, str], ...], bool]  # path, query, compressed

KEEP_S = 1.0
MAX_ANSWERS = 24
MAX_BYTES = 2**20  # of all together


class Recent:
    """Keeps answers for `KEEP_S`, bounded in number and bytes."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Key, tuple[float, Response]] = OrderedDict()  # with the time until when it is valid
        self._bytes = 0

    def get(self, key: Key, now_s: float) -> Response | None:
        until_s, response = self._answers.get(key, (0.0, None))
        return response if now_s < until_s else None

    def put(self, key: Key, response: Response, now_s: float) -> None:
        if len(response.body) > MAX_BYTES:
            return
        self._remove(key)
        self._answers[key] = (now_s + KEEP_S, response)
        self._bytes += len(response.body)
        while len(self._answers) > MAX_ANSWERS or self._bytes > MAX_BYTES:
            self._remove(next(iter(self._answers)))

    def _remove(self, key: Key) -> None:
        if key in self._answers:
            self._bytes -= len(self._answers.pop(key)[1].body)
