from __future__ import annotations

from pathlib import Path

import pytest

from seisedge.runtime.errors import InputError
from seisedge.runtime.records import xmlfile
from seisedge.runtime.records.xmlfile import CHUNK, MAX_DEPTH, MAX_TAG_BYTES, check_xml, read_xml

WHAT = "the test file"


def _refusal(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "a.xml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError) as caught:
        check_xml(path, WHAT)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and message.isprintable() and len(message) < 500
    return message


def test_elements_text_and_attributes_arrive_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text('<a xmlns="urn:x"><b c="1">two<!-- 3 -->four</b>&lt;</a>', encoding="utf-16")
    calls: list[tuple[str, object]] = []
    read_xml(
        path,
        WHAT,
        lambda name, attributes: calls.append((name, attributes)),
        lambda name: calls.append(("/", name)),
        lambda text: calls.append(("text", text)),
    )
    assert calls == [
        ("urn:x}a", {}), ("urn:x}b", {"c": "1"}), ("text", "twofour"), ("/", "urn:x}b"), ("text", "<"),
        ("/", "urn:x}a"),
    ]  # fmt: skip


def test_a_file_has_a_depth(tmp_path: Path) -> None:
    assert f"nested more than {MAX_DEPTH} levels deep" in _refusal(tmp_path, "<a>" * 2_000_000)
    path = tmp_path / "b.xml"
    path.write_text("<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH, encoding="utf-8")
    check_xml(path, WHAT)


@pytest.mark.parametrize("form", ['<a b="{}"/>', "<a><!--{}--></a>", "<a><?b {}?></a>", "<{}/>", "<a/><!--{}-->"])
def test_a_tag_has_a_length(tmp_path: Path, form: str) -> None:
    refused = _refusal(tmp_path, form.format("x" * (2 * MAX_TAG_BYTES + 3 * CHUNK)))
    assert "has a tag of more than 1 MiB" in refused
    path = tmp_path / "b.xml"
    path.write_text(form.format("x" * (MAX_TAG_BYTES - 100)), encoding="utf-8")
    check_xml(path, WHAT)


def test_text_may_be_longer_than_a_tag(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    for form in ("<a>{}</a>", "<a><![CDATA[{}]]></a>"):
        path.write_text(form.format("x" * 3 * MAX_TAG_BYTES), encoding="utf-8")
        check_xml(path, WHAT)


def test_a_file_has_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.xml"
    path.touch()
    with path.open("r+b") as file:
        file.truncate(xmlfile.MAX_BYTES + 1)
    with pytest.raises(
        InputError, match="the test file cannot be read: it is larger than 64 MiB; give a file of fewer"
    ):
        check_xml(path, WHAT)
    monkeypatch.setattr(xmlfile, "MAX_ELEMENTS", 10)
    assert "has more than 10 elements; give a file of fewer" in _refusal(tmp_path, "<a>" + "<b/>" * 10 + "</a>")


@pytest.mark.parametrize("encoding", ["utf-7", "utf-16-nope", "nope", "rot13", "idna", "hex", "shift_jis", "undefined"])
def test_an_encoding_that_cannot_be_read(tmp_path: Path, encoding: str) -> None:
    assert "not XML: " in _refusal(tmp_path, f'<?xml version="1.0" encoding="{encoding}"?><a/>')


def test_what_is_not_xml(tmp_path: Path) -> None:
    for text in ("", "a", "<a>", "<a></b>", "<a>\x00</a>", "<a>&b;</a>", b"<a>\xff</a>"):
        assert "not XML: " in _refusal(tmp_path, text)
    assert "has a DOCTYPE" in _refusal(tmp_path, '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
    with pytest.raises(InputError, match="the test file cannot be read: Is a directory"):
        check_xml(tmp_path, WHAT)
