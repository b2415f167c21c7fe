import json

import pytest
from tests.fakes import card, onset_card

from seisedge.runtime.card import MAX_CARD_BYTES, accepts, card_from_json, json_from_card
from seisedge.runtime.errors import CardError


@pytest.mark.parametrize("task", ["event_type", "magnitude"])
def test_there_and_back(task: str) -> None:
    assert card_from_json(json_from_card(card(task)), "m.onnx") == card(task)


def test_window_is_derived() -> None:
    assert card().window_s == 35.0


def test_the_card_of_an_onset_detector() -> None:
    made = onset_card()
    assert card_from_json(json_from_card(made), "m.onnx") == made
    assert made.output_shape == (10, 5) and card().output_shape == (3,) and made.window_s == 13.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"onset": None}, "onset (hops and thresholds) must be given for task onset, and only for it"),
        ({"task": "event_type"}, "onset (hops and thresholds) must be given for task onset, and only for it"),
        ({"labels": ["S", "P", "noise", "tectonic", "non-tectonic"]}, "the labels of an onset detector must be ['P', "),
        ({"hop_s": 0.11}, "onset.hop_s must be a whole number of samples; got 0.11 s"),
        ({"answers_s": [0.5, 1.0]}, "answers_s of an onset detector must be one block of 1 to 1000 whole hops of 0.1"),
        ({"answers_s": [0.95]}, "answers_s of an onset detector must be one block"),
        ({"onset_s": 11.0}, "must be the whole window of 13 s; got 11 s and 1 s"),
        ({"delay_s": 0.25}, "onset.delay_s must be whole hops of 0.1 s, at most the context; got 0.25 s"),
        ({"delay_s": 12.1}, "onset.delay_s must be whole hops of 0.1 s, at most the context; got 12.1 s"),
        ({"p_threshold": 1.5}, "p_threshold"),
    ],
)
def test_an_onset_card_that_cannot_be_used_says_why(change: dict[str, object], message: str) -> None:
    text = json.loads(json_from_card(onset_card()))
    for key, value in change.items():
        (text["onset"] if key in text["onset"] else text)[key] = value
    with pytest.raises(CardError) as caught:
        card_from_json(json.dumps(text), "m.onnx")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "the card has schema 99, this seisedge reads up to 2; upgrade"),
        ({"answers_s": [10, 3]}, "answers_s must ascend"),
        ({"answers_s": []}, "answers_s must ascend"),
        ({"answers_s": [31]}, "the last answer, 31 s, lies beyond the window"),
        ({"band_hz": [1, 20]}, "band_hz must ascend and end at 19.375 Hz or below"),
        ({"band_hz": [1, 19.4]}, "band_hz must ascend and end at 19.375 Hz or below"),
        ({"magnitude": {"edges": [0, 1], "type": "ML"}}, "must be given for task magnitude, and only for it"),
        ({"task": "location"}, "Invalid enum value 'location'"),
        ({"sampling_rate_hz": 0}, "sampling_rate_hz"),
        ({"labels": None}, "labels"),
    ],
)
def test_a_card_that_cannot_be_used_says_why(change: dict[str, object], message: str) -> None:
    text = json.dumps(json.loads(json_from_card(card())) | change)
    with pytest.raises(CardError) as caught:
        card_from_json(text, "m.onnx")
    assert str(caught.value).startswith("m.onnx: ") and message in str(caught.value)


MAGNITUDE = json.loads(json_from_card(card("magnitude")))["magnitude"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["a", "b", "a"]}, "labels must be 1 to 256 different names; got ['a', 'b', 'a']"),
        ({"labels": []}, "labels must be 1 to 256 different names"),
        ({"labels": [str(k) for k in range(10_000)]}, "labels must be 1 to 256 different names"),
        ({"labels": ["a", "b" * 1000]}, "name and labels must have 1 to 100 characters"),
        ({"labels": ["a", ""]}, "name and labels must have 1 to 100 characters"),
        ({"name": ""}, "name and labels must have 1 to 100 characters"),
        ({"name": "\x1b[31mred"}, r"name contains control characters: '\x1b[31mred'"),
        ({"labels": ["a", "b\n"]}, r"labels contains control characters: 'b\n'"),
        ({"not_for": ["\u202e"]}, r"not_for contains control characters: '\u202e'"),
        ({"flops_by_operator": {"\x9b2J": 1}}, r"a key contains control characters: '\x9b2J'"),
        ({"pruning": "a" * 10_001}, "pruning is longer than 10000 characters: 'aaa"),
        ({"answers_s": [0.001 * k for k in range(1, 2_000)]}, "answers_s must ascend, with 1 to 32 answers"),
        ({"answers_s": [-1, 3]}, "answers_s must be above 0 s"),
        ({"n_samples": 400_000}, "n_samples"),
        ({"n_samples": 100_000, "sampling_rate_hz": 40.0}, "the window must not be longer than 600 s; got 2500 s"),
        ({"sampling_rate_hz": 1e300}, "sampling_rate_hz"),
        ({"sampling_rate_hz": 1e-300}, "the window must not be longer than 600 s"),
        ({"flops": 10**30}, "flops"),
        ({"macs": -1}, "macs"),
        ({"magnitude": MAGNITUDE | {"edges": [None, 1.0, 0.5, None]}}, "magnitude.edges must ascend"),
        ({"magnitude": MAGNITUDE | {"edges": [0.0, None, 1.0, 2.0]}}, "magnitude.edges must ascend"),
        ({"magnitude": MAGNITUDE | {"type": "a" * 1000}}, "magnitude.type must be a code"),
    ],
)  # fmt: skip
def test_a_card_that_states_too_much(change: dict[str, object], message: str) -> None:
    text = json.dumps(json.loads(json_from_card(card())) | change)
    with pytest.raises(CardError) as caught:
        card_from_json(text, "m.onnx")
    assert message in str(caught.value)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        '{"schema": 2, "a": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"schema": 2, "a": ' + '{"a":' * 30 + "1" + "}" * 31,
        '{"schema": 1, "magnitude": ' + '{"a":' * 100_000 + "1" + "}" * 100_001,
        '{"schema": 2, "name": "' + "a" * MAX_CARD_BYTES + '"}',
        '{"schema": 1e400}',
        '{"schema": ' + "9" * 5_000 + "}",
        "[2]",
        "null",
        "\x00",
    ],
    ids=range(10),
)
def test_a_text_that_is_no_card(text: str) -> None:
    with pytest.raises(CardError, match=r"m\.onnx: the card") as caught:
        card_from_json(text, "m.onnx")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


def test_the_hashes_of_many_events_are_no_long_text() -> None:
    tree = json.loads(json_from_card(card()))
    tree["training"]["event_hashes"] = "a" * 2_000_000
    found = card_from_json(json.dumps(tree), "m.onnx")
    assert found.training.event_hashes is not None and len(found.training.event_hashes) == 2_000_000


SENTENCE = "as catalogued: ML, Md and SCSN, mixed"


def with_type(schema: int, kind: str) -> str:
    """A magnitude card as text; one of schema 1 has not the fields that came with schema 2."""
    tree = json.loads(json_from_card(card("magnitude")))
    tree |= {"schema": schema, "magnitude": {"edges": tree["magnitude"]["edges"], "type": kind}}
    if schema == 1:
        del tree["training"]["event_hashes"], tree["training"]["n_unnamed_records"]
    return json.dumps(tree)


@pytest.mark.parametrize(("kind", "code", "remark"), [(SENTENCE, "M", SENTENCE), ("ML", "ML", "")])
def test_a_card_of_schema_1_is_read(kind: str, code: str, remark: str) -> None:
    found = card_from_json(with_type(1, kind), "m.onnx")
    assert found.magnitude is not None
    assert (found.magnitude.type, found.magnitude.remark) == (code, remark)
    assert (found.training.event_hashes, found.schema) == (None, 2)
    assert card_from_json(json_from_card(found), "m.onnx") == found


@pytest.mark.parametrize("kind", [SENTENCE, "M" * 33, "", "M L", "5"])
def test_a_magnitude_type_that_is_no_code_is_refused(kind: str) -> None:
    with pytest.raises(CardError, match=r"^m\.onnx: .*magnitude.type must be a code of at most 32 characters"):
        card_from_json(with_type(2, kind), "m.onnx")
    assert card_from_json(with_type(2, "M" * 32), "m.onnx").magnitude is not None


def test_bins_and_labels_must_agree() -> None:
    text = json_from_card(card("magnitude")).replace('"bin 31"', '"bin 31","bin 32"')
    with pytest.raises(CardError, match="33 labels need 34 bin edges"):
        card_from_json(text, "m.onnx")


@pytest.mark.parametrize("text", [None, "", "{", "[]"])
def test_no_card(text: str | None) -> None:
    with pytest.raises(CardError, match=r"^m\.onnx: "):
        card_from_json(text, "m.onnx")


OLDER = {  # a comparison as seisedge 0.1.0 wrote it
    "parent_sha256": "ab", "windows": 2400, "agreement": 1.0, "mean_dp": 0.0, "score": "accuracy", "parent_score": 0.8,
    "child_score": 0.8, "loss_points": 0.0, "low": None, "high": None, "allowed_points": 0.5, "n_events": 200,
    "passed": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "outcome", "accepted", "text"),
    [
        ({}, "passed", True, "inside the gate"),
        ({"passed": False}, "failed", False, "outside the gate"),
        (
            {"allowed_points": 1.333, "n_events": 75},
            "not tested",
            False,
            "cannot be tested at 0.5 points (75 events, 200 are needed); tested at 1.33 points: not worse than that",
        ),
        (
            {"allowed_points": 1.333, "n_events": 75, "passed": False},
            "failed",
            False,
            "outside the gate, tested at 1.33 points",
        ),
    ],
)
def test_an_older_comparison_is_read_by_its_figures(
    change: dict[str, object], outcome: str, accepted: bool, text: str
) -> None:
    """Those cards say `passed` of a test at any resolution."""
    tree = json.loads(json_from_card(card())) | {"comparison": OLDER | change}
    c = card_from_json(json.dumps(tree), "m.onnx").comparison
    assert c is not None
    assert (c.verdict, c.outcome, c.accepted, c.verdict_text) == (None, outcome, accepted, text)


@pytest.mark.parametrize(
    ("accepted_points", "points", "accepted"),
    [(None, 0.6, False), (1.33, 100 / 75, True), (1.32, 100 / 75, False), (4.76, 100 / 21, True), (50.0, 12.5, True)],
)
def test_a_resolution_as_printed_is_enough(accepted_points: float | None, points: float, accepted: bool) -> None:
    assert accepts(accepted_points, points) is accepted
