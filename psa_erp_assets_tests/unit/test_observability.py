"""Alerts, dashboard and documents name only metrics that exist, and every alert has something that one can do."""

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import pytest
import yaml

from psa_erp_assets.domain.notices import NoticeKind
from psa_erp_assets.domain.tracing import ATTRIBUTES
from psa_erp_assets.services.metric_families import FAMILIES
from psa_erp_assets.settings import REPOSITORY

RULES = yaml.safe_load((REPOSITORY / "deploy" / "prometheus-rules.yaml").read_text(encoding="utf-8"))
SCRAPE = yaml.safe_load((REPOSITORY / "deploy" / "prometheus.yaml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((REPOSITORY / "deploy" / "grafana" / "psa-erp.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
DOCUMENT = (REPOSITORY / "docs" / "observability.md").read_text(encoding="utf-8")
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
EXPOSED = {name: family for family in FAMILIES.values() for name in family.exposed}
# What is a word of PromQL, or of every scrape.
_LANGUAGE = {
    "up", "job", "by", "sum", "max", "min", "time", "increase", "delta", "and", "or", "ignoring", "group_left",
}  # fmt: skip


# What a picture needs besides, and an alert does not.
_OF_PICTURES = {"rate", "histogram_quantile", "vector"}


def wrong(expression: str, language: set[str] = _LANGUAGE) -> set[str]:
    """The names in an expression that are neither a metric, one of its labels, nor a word of the language."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\[\d+[smhd]\]", "", bare)
    names = set(re.findall(r"[a-zA-Z_:][\w:]*", bare))
    metrics = names & EXPOSED.keys()
    labels = {label for name in metrics for label in EXPOSED[name].labels} | {"le"}
    return names - metrics - labels - language


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_a_rule_names_only_metrics_that_exist(alert: dict[str, Any]) -> None:
    """A metric is renamed, and an alert stays silent for ever."""
    assert wrong(alert["expr"]) == set()
    assert alert["labels"]["severity"] in {"page", "ticket"}


def test_a_name_that_does_not_exist_is_noticed() -> None:
    """The check above would let everything pass."""
    assert wrong("max(psa_erp_deliveries_pending) > 1") == set()
    assert wrong("max(psa_erp_deliveries_waiting) > 1") == {"psa_erp_deliveries_waiting"}
    assert wrong("sum by (customer) (psa_erp_deliveries_pending) > 1") == {"customer"}
    assert wrong("rate(psa_erp_plan_items[5m]) > 1") == {"rate", "psa_erp_plan_items"}


def parts(expression: Any) -> Iterator[Any]:
    """An expression of PromQL, parsed, and all that is in it."""
    yield expression
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        if (inner := getattr(expression, name, None)) is not None:
            yield from parts(inner)
    for argument in getattr(expression, "args", None) or ():
        yield from parts(argument)


def misread(expression: str) -> list[str]:
    """What Prometheus would not read, or would find nothing for: by the grammar, not by words."""
    try:
        whole = promql.parse(expression)
    except ValueError as error:
        return [str(error)]
    found = []
    for part in parts(whole):
        below = [s for s in parts(part) if isinstance(s, promql.VectorSelector) and s.name != "up"]
        labels = {label for s in below if s.name in EXPOSED for label in EXPOSED[s.name].labels} | {"le"}
        if isinstance(part, promql.VectorSelector) and part.name != "up":
            found += [f"no metric {part.name}"] if part.name not in EXPOSED else []
            found += [f"{part.name} has no label {m.name}" for m in part.matchers.matchers if m.name not in labels]
        if isinstance(part, promql.AggregateExpr) and part.modifier is not None:
            found += [f"{label} is no label below" for label in part.modifier.labels if label not in labels]
        if isinstance(part, promql.Call) and part.func.name in ("rate", "increase"):
            found += [f"{s.name} only goes up by chance" for s in below if EXPOSED[s.name].kind == "gauge"]
        if isinstance(part, promql.Call) and part.func.name == "histogram_quantile":
            found += [f"{s.name} has no buckets" for s in below if not s.name.endswith("_bucket")]
    return found


EXPRESSIONS = [rule["expr"] for rule in ALERTS] + [t["expr"] for panel in PANELS for t in panel["targets"]]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_prometheus_can_read_every_expression(expression: str) -> None:
    """A bracket is missing, and the whole file of rules is not loaded, or a panel shows an error."""
    assert misread(expression) == []


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("max(psa_erp_deliveries_pending", "unclosed"),
        ("max(psa_erp_deliveries_waiting)", "no metric psa_erp_deliveries_waiting"),
        ('max(psa_erp_deliveries_pending{vendor="x"})', "psa_erp_deliveries_pending has no label vendor"),
        ("sum by (customer) (psa_erp_deliveries_pending)", "customer is no label below"),
        ("rate(psa_erp_deliveries_pending[5m])", "psa_erp_deliveries_pending only goes up by chance"),
        ("histogram_quantile(0.9, psa_erp_webhook_receive_seconds_sum)", "has no buckets"),
        ("rate(psa_erp_webhooks_accepted_total)", "matrix"),
    ],
)
def test_an_expression_that_prometheus_cannot_use_is_noticed(expression: str, why: str) -> None:
    """The check above would let everything pass."""
    assert any(why in one for one in misread(expression)), misread(expression)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    """Somebody is woken, and the link in the message leads nowhere."""
    name = alert["alert"]
    assert alert["annotations"]["runbook"] == f"docs/observability.md#{name.lower()}"
    assert f"\n### {name}\n" in DOCUMENT
    assert f"| [{name}](#{name.lower()}) |" in DOCUMENT
    used = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]))
    assert used <= {label for family in FAMILIES.values() for label in family.labels}


def test_what_must_be_watched_is() -> None:
    """A duplicate document, a dead worker or an old backlog is found by a customer."""
    assert {alert["alert"] for alert in ALERTS} >= {
        "PsaErpBacklogOld", "PsaErpExceptionsOverdue", "PsaErpUnexplainedDifferences", "PsaErpDuplicateDocuments",
        "PsaErpCircuitOpen", "PsaErpAuditCheckpointOld", "PsaErpNoSweep", "PsaErpWorkerDead",
    }  # fmt: skip
    headings = set(re.findall(r"^### (PsaErp\w+)$", DOCUMENT, re.MULTILINE))
    assert headings == {alert["alert"] for alert in ALERTS}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_names_only_metrics_that_exist(panel: dict[str, Any]) -> None:
    """A metric is renamed, and a panel stays empty, which looks like quiet."""
    for target in panel["targets"]:
        assert wrong(target["expr"], _LANGUAGE | _OF_PICTURES) == set()
        used = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert used <= {label for family in FAMILIES.values() for label in family.labels}
        # A label that the expression does not keep is blank in the picture.
        assert all(re.search(rf"by \([^)]*\b{label}\b", target["expr"]) for label in used)
    assert panel["description"]


def test_the_dashboard_shows_every_metric() -> None:
    """Somebody looks for what is measured, and it is nowhere to be seen."""
    shown = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    assert {f.name for f in FAMILIES.values() if f.name not in shown} == set()
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in DASHBOARD["panels"]]
    assert len(set(places)) == len(places) == len({p["id"] for p in DASHBOARD["panels"]})
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in DASHBOARD["panels"])


def test_the_scrape_asks_where_the_metrics_are() -> None:
    """Somebody copies the example and gets nothing."""
    [job] = SCRAPE["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    assert SCRAPE["rule_files"] == ["prometheus-rules.yaml"]
    assert "credentials_file" in job["authorization"]


def test_the_document_has_every_metric_event_and_attribute() -> None:
    """Somebody meets a name and finds nothing about it, or reads of one that has gone."""
    shown = dict(re.findall(r"^\| `(psa_erp_\w+)` \| (gauge|counter|histogram) \|", DOCUMENT, re.MULTILINE))
    assert shown == {f.name + ("_total" if f.kind == "counter" else ""): f.kind for f in FAMILIES.values()}
    for family in FAMILIES.values():
        assert family.meaning in DOCUMENT
    assert {f"| `{kind.value}` |" for kind in NoticeKind if f"| `{kind.value}` |" not in DOCUMENT} == set()
    assert set(re.findall(r"^\| `(psa_erp\.\w+)` \|", DOCUMENT, re.MULTILINE)) == set(ATTRIBUTES)
