"""Alert rules, dashboard and their page: every metric exists, every alert is tested and explained."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.paths import ROOT

from seisedge.runtime.service.metric_help import HELP

FOLDER = ROOT / "firmware_configs" / "monitoring"
PROMTOOL = shutil.which("promtool")
METRIC = re.compile(r"\bseisedge_([a-z0-9_]+)")


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _unknown(text: str) -> set[str]:
    """Metrics that no station has."""
    return {name for name in METRIC.findall(text) if name.removesuffix("_bucket") not in HELP}


def test_every_metric_exists() -> None:
    dashboard = json.loads(_text("dashboard.json"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) > 15 and _unknown("\n".join(expressions)) == set()
    assert _unknown(_text("rules.yml")) == _unknown(_text("rules.test.yml")) == set()
    assert _unknown("rate(seisedge_evnets_total[1h])") == {"evnets_total"}


def test_every_alert_is_tested_and_explained() -> None:
    rules, tests = _text("rules.yml"), _text("rules.test.yml")
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    alerts = re.findall(r"- alert: (\w+)", rules)
    assert len(alerts) == len(set(alerts)) == 13 and f"{len(alerts)} alert rules" in page
    for alert in alerts:
        assert f"\n## {alert}\n" in page and f"runbook_url: docs/monitoring.md#{alert.lower()}\n" in rules
        assert f"alertname: {alert}\n" in tests
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == alerts


def _lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Paths of `before` that `after` does not have with the same value."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            lost
            for key, value in before.items()
            for lost in (_lost(value, after[key], f"{path}/{key}") if key in after else [f"{path}/{key}"])
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [lost for index, (one, other) in pairs for lost in _lost(one, other, f"{path}/{index}")]
    return [] if before == after else [path]


def test_grafana_has_every_field_of_the_dashboard() -> None:
    """Read and written by Grafana's own model of a dashboard and its panels, which drops what it does not have."""
    reason = "no grafana_foundation_sdk here; pip install 'grafana-foundation-sdk==1769699379!11.6.0'"
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard", reason=reason)
    plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins", reason=reason)
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder", reason=reason)
    plugins.register_default_plugins()

    def read(dashboard: Any) -> Any:
        return json.loads(encoder.JSONEncoder(sort_keys=True).encode(models.Dashboard.from_json(dashboard)))

    dashboard = json.loads(_text("dashboard.json"))
    assert _lost(dashboard, read(dashboard)) == []
    dashboard["panels"][0]["optoins"] = {}
    assert _lost(dashboard, read(dashboard)) == ["/panels/0/optoins"]


def test_the_dashboard_can_be_imported() -> None:
    """By the fields that Grafana requires of a dashboard; panels do not overlap."""
    dashboard = json.loads(_text("dashboard.json"))
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= dashboard.keys()
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard["panels"]:
        assert panel["type"] in ("stat", "timeseries") and panel["title"] and panel["targets"]
        assert set(re.findall(r"\$\{?(\w+)", json.dumps(panel))) <= variables
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed; apt-get install prometheus")
def test_the_rules_fire_when_they_should(tmp_path: Path) -> None:
    def promtool(*words: str) -> int:
        assert PROMTOOL is not None
        return subprocess.run([PROMTOOL, *words], cwd=tmp_path, capture_output=True).returncode

    for name in ("rules.yml", "rules.test.yml"):
        (tmp_path / name).write_text(_text(name), encoding="utf-8")
    assert promtool("check", "rules", "rules.yml") == 0
    assert promtool("test", "rules", "rules.test.yml") == 0
    (tmp_path / "rules.yml").write_text(_text("rules.yml").replace("> 900", "> 9000"), encoding="utf-8")
    assert promtool("test", "rules", "rules.test.yml") == 1
