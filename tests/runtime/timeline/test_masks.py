import numpy as np
import pytest

from seisedge.runtime.timeline.masks import runs


@pytest.mark.parametrize(
    ("text", "shortest", "expected"),
    [
        ("", 1, []),
        ("....", 1, []),
        ("####", 1, [(0, 4)]),
        ("####", 4, [(0, 4)]),
        ("####", 5, []),
        ("#..##.###", 1, [(0, 1), (3, 5), (6, 9)]),
        ("#..##.###", 2, [(3, 5), (6, 9)]),
        ("#..##.###", 3, [(6, 9)]),
        ("#..##.###", 4, []),
        (".#.", 1, [(1, 2)]),
    ],
)
def test_runs_of_true_with_a_shortest_length(text: str, shortest: int, expected: list[tuple[int, int]]) -> None:
    mask = np.array([character == "#" for character in text], dtype=bool)
    assert runs(mask, shortest) == expected
    if shortest == 1:
        assert runs(mask) == expected
