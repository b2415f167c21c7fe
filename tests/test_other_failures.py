"""The table of other failures in docs/reliability.md names tests that exist."""

from __future__ import annotations

import pytest
from tests.fault_table import located
from tests.other_failures import OTHER


@pytest.mark.parametrize("tests", [tests for _, _, tests in OTHER], ids=[what[:40] for what, _, _ in OTHER])
def test_every_row_names_its_tests(tests: list[str]) -> None:
    assert tests and all(located(test) for test in tests)
