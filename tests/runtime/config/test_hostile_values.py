"""Hostile values for every setting. The table is made from the structs: a new setting without bounds fails here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import inspect as types

from seisedge.runtime.config import StationConfig, load_config
from seisedge.runtime.config.formats import FAULTS
from seisedge.runtime.errors import ConfigError, InputError
from seisedge.runtime.tomlfile import MAX_BYTES

HUGE_HEX = "0x" + "f" * 5000
NUMBERS = ["nan", "inf", "-inf", "1e308", "-1e308", str(10**400), f"-{10**400}", HUGE_HEX, '"5"', "true", "[[1]]", "{}"]
TEXTS = [r'"\u0000"', r'"a\u001b[31mb"', r'"a\nb"', r'"a\u202eb"', f'"{"a" * 100_000}"', "1", "[1]", "{ a = 1 }"]
FORMS = {
    "path": [f'"{"a" * 300}"', f'"{"a/" * 3000}"', f'"{"é" * 200}"', '""'],
    "hostname": ['""', f'"{"a" * 70}.org"', '"dig..example.org"', '"bücher.de"', '"http://h"', '"h:1883"'],
    "uri": [
        f'"{url}"'
        for url in ("http://[::", "http://bücher.de", "http:///x", "http://h:99999", "http://h:abc", "h", "http://a..b")
    ],
    "source": [f'"seedlink://{rest}"' for rest in ("[::", "h:99999/NN_STA", "h:abc", "dig..example.org/NN_STA", "")],
    "listen-address": ['"9108"', '"h:99999"', '"a..b:1"', '":abc"'],
}
BASE = {
    "station": {"network": '"XX"', "station": '"STA"'},
    "sensors[0]": {"code": '"EH"'},
    "snippets": {"folder": '"s"'},
    "archive": {"folder": '"r"'},
    "sinks.jsonl": {"path": '"a"'},
    "sinks.quakeml": {"folder": '"a"'},
    "sinks.webhook": {"url": '"http://h"'},
    "sinks.mqtt": {"host": '"h"'},
    "alerts[0]": {"name": '"phone"', "urls_file": '"a"'},
}


def leaves(kind: Any, table: str = "") -> Iterator[tuple[str, str, Any]]:
    """Table, key and type of every setting."""
    for field in types.type_info(kind).fields:  # type: ignore[attr-defined]
        for inner in options(field.type):
            if isinstance(inner, types.StructType):
                yield from leaves(inner.cls, f"{table}.{field.name}".lstrip("."))
            elif isinstance(inner, types.DictType) and field.name == "prevalence":
                yield f"{table}.{field.name}", "noise", inner.value_type
            elif isinstance(inner, types.DictType):
                assert isinstance(inner.value_type, types.StructType)
                yield from leaves(inner.value_type.cls, f"{table}.{field.name}.EHZ".lstrip("."))
            elif isinstance(inner, types.ListType):
                assert isinstance(inner.item_type, types.StructType)
                yield from leaves(inner.item_type.cls, f"{table}.{field.name}[0]".lstrip("."))
            elif not isinstance(inner, types.NoneType):
                yield table, field.name, inner


def options(kind: Any) -> tuple[Any, ...]:
    if isinstance(kind, types.Metadata) and isinstance(kind.type, types.UnionType | types.StructType):
        kind = kind.type
    return kind.types if isinstance(kind, types.UnionType) else (kind,)


LEAVES = list(leaves(StationConfig))


def form_of(kind: Any) -> str | None:
    return (kind.extra_json_schema or {}).get("format") if isinstance(kind, types.Metadata) else None


def bare(kind: Any) -> Any:
    return kind.type if isinstance(kind, types.Metadata) else kind


def hostile_values(kind: Any) -> list[str]:
    inner = bare(kind)
    if isinstance(inner, types.FloatType | types.IntType):
        return NUMBERS
    if isinstance(inner, types.StrType):
        return TEXTS + FORMS.get(form_of(kind) or "", [])
    if isinstance(inner, types.BoolType):
        return ["1", '"yes"', "nan"]
    if isinstance(inner, types.VarTupleType):
        return [*NUMBERS, '"new"', "[]", "[1]", '["Nothing"]', '[["new"]]', str(["x"] * 1000)]
    assert isinstance(inner, types.LiteralType), f"no hostile values for {inner}"
    return [value for value in (*NUMBERS, *TEXTS) if value != "1" or 1 not in inner.values]


CASES = [
    pytest.param(table, key, value, id=f"{table}.{key}={value[:20]}")
    for table, key, kind in LEAVES
    for value in hostile_values(kind)
]


def station_file(table: str, key: str, value: str) -> str:
    tables = {name: dict(keys) for name, keys in BASE.items()}
    tables.setdefault(table, {})[key] = value
    lines = [f"{k} = {v}" for k, v in tables.pop("", {}).items()]
    for name, keys in tables.items():
        header = f"[[{name.removesuffix('[0]')}]]" if name.endswith("[0]") else f"[{name}]"
        lines += [header, *(f"{k} = {v}" for k, v in keys.items())]
    return "\n".join(lines) + "\n"


def test_the_table_has_all_settings(tmp_path: Path) -> None:
    assert len(LEAVES) > 50 and {"magnitude.station_correction", "sinks.jsonl.max_mb", ".source"} <= {
        f"{table}.{key}" for table, key, _ in LEAVES
    }
    path = tmp_path / "station.toml"
    path.write_text(station_file("magnitude", "station_correction", "0.5"), encoding="utf-8")
    load_config(path)  # what the cases below add their value to is valid


@pytest.mark.parametrize(("table", "key", "kind"), [pytest.param(*leaf, id=".".join(leaf[:2])) for leaf in LEAVES])
def test_every_setting_has_bounds(table: str, key: str, kind: Any) -> None:
    inner = bare(kind)
    if isinstance(inner, types.FloatType | types.IntType):
        for low, high in ((inner.ge, inner.le), (inner.gt, inner.lt)):
            assert all(bound is None or math.isfinite(bound) for bound in (low, high))
        assert inner.ge is not None or inner.gt is not None, f"{table}.{key} has no lower bound"
        assert inner.le is not None or inner.lt is not None, f"{table}.{key} has no upper bound"
    elif isinstance(inner, types.StrType):
        assert inner.max_length is not None or "{" in (inner.pattern or "") or inner.pattern == "^Z?N?E?$"
        facts = kind.extra_json_schema or {} if isinstance(kind, types.Metadata) else {}
        assert inner.pattern is None or {"description", "examples"} <= facts.keys(), f"{table}.{key}: say it in words"
        assert form_of(kind) is None or (form_of(kind) in FAULTS and form_of(kind) in FORMS)


@pytest.mark.parametrize(("table", "key", "value"), CASES)
def test_a_hostile_value_is_refused_in_one_sentence(tmp_path: Path, table: str, key: str, value: str) -> None:
    path = tmp_path / "station.toml"
    path.write_text(station_file(table, key, value), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value).removeprefix(f"{path}: ")
    assert message.startswith((f"{table}.{key}".lstrip("."), "not valid TOML: "))
    assert message.isprintable() and len(message) < 600
    assert not any(word in message for word in ("regex", "enum", "`", "Expected"))  # words of a programmer
    assert len(caught.value.faults) == 1 and caught.value.exit_code == 2


@pytest.mark.parametrize(
    "text",
    ids=range(15),
    argvalues=[
        "a = " + "9" * 200_000,
        "a = [" + "\n[" * 100_000,
        "a = [" + "\n[" * 60_000 + "\n]" * 60_000 + "]",
        "a = " + "{a = " * 400,
        "a = [" + "\n{a = [" * 10_000,
        ".".join("a" * 100_000) + " = 1",
        "[" + ".".join("a" * 100_000) + "]",
        "\n".join(f"a{i}." + ".".join("a" * 99) + " = 1" for i in range(1200)),
        "\n".join("[" + ".".join("a" * 99) + f".a{i}]" for i in range(1200)),
        "a" * 200_000 + " = 1",
        "\n".join(f"a{i} = 1" for i in range(20_000)),
        "a = '" + "\x1b" * 10 + "'",
        "[channels]\n" + "\n".join(f'"\\u001b{i}" = 1' for i in range(5000)),
        "a = " + "1_" * 100_000,
        "a = 1979-13-45",
    ],
)
def test_a_hostile_file_is_refused_in_few_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "station.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert len(message) < 12_000 and message.replace("\n", "").isprintable()


def test_a_station_file_has_a_size(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(InputError, match=r"station\.toml: cannot read the station file: it is larger than 256 KiB"):
        load_config(path)
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        load_config(path)
    with pytest.raises(InputError, match="cannot read the station file"):
        load_config(tmp_path)


@pytest.mark.parametrize(("table", "key", "scheme"), [("sinks.webhook", "url", "http"), ("", "source", "seedlink")])
@pytest.mark.parametrize(
    "form",
    ['"{}://user:secret@h:99999/"', '"{}://secret@[::"', '["{}://user:secret@h/"]', '"{}://secret' + "a" * 2400 + '"'],
    ids=range(4),
)
def test_a_password_in_a_url_is_not_repeated(tmp_path: Path, table: str, key: str, scheme: str, form: str) -> None:
    path = tmp_path / "station.toml"
    path.write_text(station_file(table, key, form.format(scheme)), encoding="utf-8")
    with pytest.raises(ConfigError, match=key) as caught:
        load_config(path)
    assert "secret" not in str(caught.value)


def test_values_of_the_schema_pass(tmp_path: Path) -> None:
    """The bounds themselves are valid."""
    path = tmp_path / "station.toml"
    for table, key, kind in LEAVES:
        inner = bare(kind)
        if isinstance(inner, types.FloatType | types.IntType):
            for bound in (inner.ge, inner.le):
                if bound is not None and (table, key) not in CROSS:
                    path.write_text(station_file(table, key, f"{bound}"), encoding="utf-8")
                    load_config(path)


CROSS = {  # a bound of these contradicts the default of another setting
    ("trigger", "sta_s"), ("trigger", "lta_s"), ("trigger", "off_ratio"),
    ("channels.EHZ", "azimuth_deg"), ("channels.EHZ", "dip_deg"),
}  # fmt: skip
