"""Joined columns of the helicorder: what a narrow screen asks for."""

import numpy as np
import numpy.typing as npt
import pytest
from tests.fakes import T0_NS, packets_of

from seisedge.runtime.http_server.message import Request
from seisedge.runtime.page.answers import Answers
from seisedge.runtime.page.curves import Curves
from seisedge.runtime.page.events import EventBook
from seisedge.runtime.page.query import Query
from seisedge.runtime.page.rings import joined
from seisedge.runtime.page.wire import HEADER

T0_MS = T0_NS // 10**6


def test_joined_columns_keep_the_extremes_and_the_gaps() -> None:
    values = np.array([[-1, 2], [-5, 1], [np.nan, np.nan], [-2, 9], [np.nan] * 2, [np.nan] * 2], dtype=np.float32)
    np.testing.assert_array_equal(joined(values, 2), np.array([[-5, 2], [-2, 9], [np.nan, np.nan]], dtype=np.float32))


def _asked(answers: Answers, from_ms: int, to_ms: int, **more: int) -> tuple[int, float, npt.NDArray[np.float64]]:
    """Start and step in ms, and the columns (n, 2)."""
    fields = {"station": "XX.TEST", "component": "Z", "from": str(from_ms), "to": str(to_ms)}
    request = Request("GET", "/api/helicorder", {}, {})
    body = answers.routes["/api/helicorder"](Query(fields | {k: str(v) for k, v in more.items()}), request).body
    _, _, _, start_ms, step_ms, n, scale = HEADER.unpack_from(body)
    codes = np.frombuffer(body, "<i2", offset=HEADER.size).astype(np.float64).reshape(n, 2)
    return start_ms, step_ms, np.where(codes == -32768, np.nan, codes * scale)


def test_fewer_columns_are_those_of_a_second_joined_and_lie_on_one_grid() -> None:
    curves = Curves()
    rng = np.random.default_rng(1)
    for one in packets_of({"HHZ": rng.normal(0, 1000, 12_000).astype(np.int32)}):
        curves.add(one)
    answers = Answers({"XX.TEST": curves}, EventBook(), None)
    _, step_ms, seconds = _asked(answers, T0_MS, T0_MS + 120_000)
    assert step_ms == 1000 and len(seconds) == 120
    start_ms, step_ms, found = _asked(answers, T0_MS, T0_MS + 120_000, columns=20)
    assert step_ms == 6000 and start_ms % 6000 == 0 and len(found) in (20, 21)
    again_ms, _, later = _asked(answers, T0_MS + 31_000, T0_MS + 91_000, columns=10)
    skipped = (again_ms - start_ms) // 6000
    assert again_ms % 6000 == 0
    assert later[:10] == pytest.approx(found[skipped : skipped + 10], rel=0.01)
    first = (start_ms + 12_000 - T0_MS) // 1000  # seconds of the third column
    assert found[2, 0] == pytest.approx(seconds[first : first + 6, 0].min(), rel=0.01)
    assert found[2, 1] == pytest.approx(seconds[first : first + 6, 1].max(), rel=0.01)
