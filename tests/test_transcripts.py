"""Which lines of an output agree with those of a page."""

from __future__ import annotations

import pytest
from tests import transcripts


@pytest.mark.parametrize(
    ("shown", "printed", "agrees"),
    [
        ("loss 0.7059, 32 records", "loss 0.7062, 32 records", True),
        ("loss 0.7059, 32 records", "loss 0.7259, 32 records", False),
        ("loss 0.7059, 32 records", "loss 0.7059, 33 records", False),
        ("median magnitude | 0.26 | 5 |", "median magnitude | 0.29 | 5 |", False),
        ("sd | **model** | 0.40 | 5 |", "sd | **model** | 0.44 | 5 |", True),
        ("sd | **model** | 0.40 | 5 |", "sd | **model** | 0.51 | 5 |", False),
        ("sd | **model** | 0.40 | 5 |", "sd | **model** | 0.44 | 6 |", False),
        ("sd | **model** | … | 5 |", "sd | **model** | 0.9 | 0.2 | 5 |", True),
        ("sd | **model** | … | 5 |", "bias | **model** | 0.9 | 0.2 | 5 |", False),
    ],
)
def test_which_lines_agree(shown: str, printed: str, agrees: bool) -> None:
    assert transcripts.agrees(shown, printed) is agrees
