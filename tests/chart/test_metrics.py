"""Scraping, alerts and the dashboard: they find the operator, and ask only for what it tells."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from headwater_operator.census import Census
from headwater_operator.kinds import FLOW_RUN
from headwater_operator.metrics import Metrics, Page, Snapshot

ALL = {name: {"enabled": True} for name in ("serviceMonitor", "rules", "dashboard")}


@pytest.fixture(scope="session")
def objects(helm: Any) -> dict[str, Any]:
    """What the chart makes with all of `metrics` on, by kind; of ConfigMaps only ours."""
    values = json.dumps({"metrics": ALL})
    printed = helm("template", "headwater", "helm/headwater", "-n", "data", "--values", "-", input=values).stdout
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(printed) if manifest}


# An operator that has one of everything to tell.
SNAPSHOT = Snapshot(
    census=Census({("sales", "etl", "Running"): 1}, 0), requests={("GET", "200"): 1}, events={"written": 0}
)
RUN = {
    "kind": "FlowRun",
    "metadata": {"namespace": "sales", "creationTimestamp": "2026-11-23T12:00:00Z"},
    "spec": {"flow": "etl", "scheduledTime": "2026-11-23T12:00:00Z"},
}
ENDED = {
    "conditions": [{"type": "Succeeded", "status": "True", "reason": "Success", "message": "fine"}],
    "startedAt": "2026-11-23T12:00:00Z",
    "finishedAt": "2026-11-23T12:00:01Z",
    "timeline": {"firstTaskAt": "2026-11-23T12:00:00Z"},
}


@pytest.fixture(scope="session")
def exposed() -> dict[str, set[str]]:
    """The names of the operator's series, each with its labels."""
    metrics = Metrics()
    metrics.flow_seen(("sales", "etl"))
    metrics.created(RUN)
    metrics.status_written(FLOW_RUN, RUN, {**RUN, "status": ENDED})
    metrics.reconciled("FlowRun", 1.0, failed=True)
    found: dict[str, set[str]] = {}
    for family in Page(metrics.registry, SNAPSHOT).collect():
        assert family.samples, f"{family.name} has no series here, and its labels are not known"
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def queries(objects: dict[str, Any]) -> list[str]:
    dashboard = json.loads(objects["ConfigMap"]["data"]["headwater.json"])
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [variable["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    rules = [rule for group in objects["PrometheusRule"]["spec"]["groups"] for rule in group["rules"]]
    return asked + [rule["expr"] for rule in rules]


def test_every_query_asks_for_a_metric_that_exists(objects: dict[str, Any], exposed: dict[str, set[str]]) -> None:
    asked = queries(objects)
    assert len(asked) > 15
    for query in asked:
        names = re.findall(r"\b(?:headwater|process)_[a-z_]+", query)
        assert names, f"{query} asks for nothing of the operator's"
        assert set(names) <= set(exposed), f"{query} asks for what the operator does not tell"


# Of the target, which Prometheus adds.
OF_TARGET = {"job", "instance"}
METRIC = re.compile(r"\b((?:headwater|process)_[a-z_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'([a-zA-Z_]+)\s*(?:=~|!~|!=|=)\s*"[^"]*"')
GROUPING = re.compile(r"\b(?:by|without|on)\s*\(([^)]*)\)")
VALUES = re.compile(r"label_values\((.*),\s*([a-zA-Z_]+)\)")


def labels_of(query: str) -> list[tuple[str, str]]:
    """Each label that a query names, with the metric that is to have it; "" stands for all of the query's."""
    found = [(name, label) for name, matchers in METRIC.findall(query) for label in MATCHER.findall(matchers)]
    found += [("", label.strip()) for labels in GROUPING.findall(query) for label in labels.split(",")]
    return found + [("", label) for _, label in VALUES.findall(query)]


def wrong_labels(query: str, exposed: dict[str, set[str]]) -> list[tuple[str, str]]:
    every = set.intersection(*(exposed[name] | OF_TARGET for name, _ in METRIC.findall(query)))
    return [
        (name, label) for name, label in labels_of(query) if label not in (exposed[name] | OF_TARGET if name else every)
    ]


def test_every_query_asks_by_labels_that_its_metrics_have(
    objects: dict[str, Any], exposed: dict[str, set[str]]
) -> None:
    asked = queries(objects)
    assert sum(len(labels_of(query)) for query in asked) > 30
    assert {query: wrong for query in asked if (wrong := wrong_labels(query, exposed))} == {}


WRONG = {
    "sum by (flow) (headwater_reconcile_errors_total)": [("", "flow")],
    'headwater_runs{namespace="a", kind=~"b"}': [("headwater_runs", "kind")],
    'histogram_quantile(0.5, sum by (le, state) (rate(headwater_run_wait_seconds_bucket{flow="a"}[5m])))': [
        ("", "state")
    ],
    "sum by (le) (rate(headwater_run_wait_seconds_sum[5m]))": [("", "le")],
    'label_values(headwater_runs{namespace=~"a"}, kind)': [("", "kind")],
}


@pytest.mark.parametrize(("query", "wrong"), WRONG.items())
def test_a_wrong_label_is_found(exposed: dict[str, set[str]], query: str, wrong: list[tuple[str, str]]) -> None:
    assert wrong_labels(query, exposed) == wrong


def test_every_metric_of_ours_is_on_the_dashboard(objects: dict[str, Any], exposed: dict[str, set[str]]) -> None:
    asked = " ".join(queries(objects))
    stems = {name.removesuffix("_sum").removesuffix("_count").removesuffix("_bucket") for name in exposed}
    assert [stem for stem in stems if stem.startswith("headwater_") and stem not in asked] == []


def test_the_documentation_lists_every_metric(exposed: dict[str, set[str]]) -> None:
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
    told = set(re.findall(r"`(headwater_[a-z_]+)`", text))
    stems = {name.removesuffix("_sum").removesuffix("_count").removesuffix("_bucket") for name in exposed}
    assert told == {stem for stem in stems if stem.startswith("headwater_")}


def test_panels_do_not_lie_over_each_other(objects: dict[str, Any]) -> None:
    dashboard = json.loads(objects["ConfigMap"]["data"]["headwater.json"])
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)


def test_the_service_leads_to_the_operator(objects: dict[str, Any]) -> None:
    pod = objects["Deployment"]["spec"]["template"]
    service, monitor = objects["Service"], objects["ServiceMonitor"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (port,) = service["spec"]["ports"]
    (container,) = pod["spec"]["containers"]
    assert port["targetPort"] == container["ports"][0]["name"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"], endpoint["interval"]) == (port["name"], "/metrics", "30s")


def test_grafana_finds_the_dashboard(objects: dict[str, Any]) -> None:
    assert objects["ConfigMap"]["metadata"]["labels"]["grafana_dashboard"] == "1"


OWN = {
    "app.kubernetes.io/name": "headwater",
    "app.kubernetes.io/instance": "headwater",
    "app.kubernetes.io/version": "0.1.0",
    "app.kubernetes.io/managed-by": "Helm",
    "app.kubernetes.io/component": "operator",
    "helm.sh/chart": "headwater-0.1.0",
}
LABELS: dict[str, Any] = {
    "more": ({"release": "prometheus"}, {**OWN, "release": "prometheus"}),
    "one of the chart's": (
        {"app.kubernetes.io/instance": "prometheus"},
        {**OWN, "app.kubernetes.io/instance": "prometheus"},
    ),
    "one that looks like a number": ({"grafana_dashboard": "1"}, {**OWN, "grafana_dashboard": "1"}),
    "none": ({}, OWN),
}


class Once(yaml.SafeLoader):
    """YAML as strict as the API server: a key is there once."""


def _once(loader: Once, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    assert len(set(keys)) == len(keys), f"twice in one map: {sorted(keys)}"
    return loader.construct_mapping(node, deep=True)


Once.add_constructor("tag:yaml.org,2002:map", _once)


@pytest.mark.parametrize(("labels", "expected"), LABELS.values(), ids=LABELS)
def test_labels_of_the_values_are_there_once(helm: Any, labels: dict[str, str], expected: dict[str, str]) -> None:
    # The default is taken away by null, as Helm wants it.
    default: dict[str, Any] = {} if "grafana_dashboard" in labels else {"grafana_dashboard": None}
    given = {name: {"enabled": True, "labels": labels} for name in ALL}
    given["dashboard"]["labels"] = {**default, **labels}
    values = json.dumps({"metrics": given})
    printed = helm("template", "headwater", "helm/headwater", "--values", "-", input=values).stdout
    found = {m["kind"]: m["metadata"]["labels"] for m in yaml.load_all(printed, Once) if m}
    assert [found[kind] for kind in ("ServiceMonitor", "PrometheusRule", "ConfigMap")] == [expected] * 3
