"""Scraping, alerts and the dashboard: they find the operator, and ask only for what it tells."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from headwater_operator.census import Census
from headwater_operator.metrics import Metrics

ALL = {name: {"enabled": True} for name in ("serviceMonitor", "rules", "dashboard")}


@pytest.fixture(scope="session")
def objects(helm: Any) -> dict[str, Any]:
    """What the chart makes with all of `metrics` on, by kind; of ConfigMaps only ours."""
    values = json.dumps({"metrics": ALL})
    printed = helm("template", "headwater", "helm/headwater", "-n", "data", "--values", "-", input=values).stdout
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(printed) if manifest}


class Quiet:
    """An operator that has done nothing yet, but has one of everything to tell."""

    def census(self) -> Census:
        return Census({("sales", "etl", "Running"): 1}, 0)

    def ready(self) -> bool:
        return True

    def queue_length(self) -> int:
        return 0

    def queue_oldest_seconds(self) -> float:
        return 0.0

    def requests(self) -> dict[tuple[str, str], int]:
        return {("GET", "200"): 1}

    def events(self) -> dict[str, int]:
        return {"written": 0}


@pytest.fixture(scope="session")
def exposed() -> dict[str, set[str]]:
    """The names of the operator's series, each with its labels."""
    metrics = Metrics()
    metrics.watch(Quiet())
    found: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        found |= {family.name + suffix: labels for suffix in suffixes}
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
