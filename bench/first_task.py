"""How long a run waits for its first task, beside the same pods created bare and together.

    python bench/first_task.py [--rounds 7] [--workers 2] [--json FILE]

Needs a cluster with Headwater in it (KUBECONFIG) and the runtime image on its nodes. In each round, in turn:

    pods          a FlowRun with WORKERS workers, from its creation to the start of its first task on a worker
    pods bare     WORKERS + 1 pods of the same image and security settings, created together, until all of
                  them have imported distributed
    inprocess     a FlowRun without workers, likewise
    inprocess bare  one such pod

The times are read from the pods' own clocks: run it where nodes and this machine share one, such as a
local node. The API writes of a run are counted by the API server, the kubelet's and the controllers' left out.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from kubernetes import client, config

from headwater.resources.names import CONTAINER, GROUP, VERSION
from headwater_operator.objects.event import REPORTER
from headwater_operator.objects.pods import runner_pod
from headwater_operator.settings import Settings

CODE = """
from headwater import Flow, task

@task
def one():
    return 1

@task
def two(x):
    return x + 1

@task
def three(x):
    return x + 1

with Flow("bench") as flow:
    three(two(one()))
"""

# Writes that a run's own parts make, by (resource, subresource, verb). Pods are bound, reported and finally
# removed by scheduler and kubelet with other verbs or subresources.
OURS = {
    ("flowruns", "status", "PATCH"),
    ("flows", "status", "PATCH"),
    ("flowversions", "status", "PATCH"),
    ("flowversions", "", "POST"),
    ("pods", "", "POST"),
    ("pods", "", "DELETECOLLECTION"),
    ("services", "", "POST"),
    ("secrets", "", "POST"),
    ("configmaps", "", "POST"),
    ("serviceaccounts", "", "POST"),
}


class Bench:
    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.core = client.CoreV1Api()
        self.custom = client.CustomObjectsApi()
        self.number = 0

    def apply_flow(self, name: str, execution: dict[str, Any]) -> None:
        spec = {"entrypoint": "flow.py:flow", "source": {"files": {"flow.py": CODE}}, "execution": execution}
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Flow", "metadata": {"name": name}, "spec": spec}
        self.custom.create_namespaced_custom_object(GROUP, VERSION, self.namespace, "flows", body)
        self.until(lambda: self.get("flows", name)["status"].get("currentVersion"))

    def get(self, plural: str, name: str) -> dict[str, Any]:
        return self.custom.get_namespaced_custom_object(GROUP, VERSION, self.namespace, plural, name)

    def until(self, look: Any, seconds: float = 120) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > deadline:
                raise TimeoutError("the cluster did not get there")
            time.sleep(0.1)
        return found

    def flow_run(self, flow: str) -> dict[str, float]:
        """Create a run, wait for its end, return seconds from its creation to each step."""
        self.number += 1
        name = f"{flow}-{self.number}"
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "FlowRun",
            "metadata": {"name": name},
            "spec": {"flow": flow},
        }
        began = time.time()
        self.custom.create_namespaced_custom_object(GROUP, VERSION, self.namespace, "flowruns", body)

        def finished() -> Any:
            status = self.get("flowruns", name)["status"]
            return status if "finishedAt" in status else None

        status = self.until(finished)
        assert status["report"]["state"] == "Success", status["report"]
        steps = ("admittedAt", "runnerStartedAt", "firstTaskAt", "finishedAt")
        result = {step: datetime.fromisoformat(status["timeline"][step]).timestamp() - began for step in steps}
        self.settle(f"headwater.dev/run={name},headwater.dev/role=worker")
        return result

    def bare(self, count: int) -> dict[str, float]:
        """Create bare pods together; return seconds until all have imported distributed."""
        self.number += 1
        label = f"bare-{self.number}"
        manifests = [bare_pod(f"{label}-{i}", label, self.namespace) for i in range(count)]
        began = time.time()
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda pod: self.core.create_namespaced_pod(self.namespace, pod), manifests))

        def over() -> bool:
            pods = self.core.list_namespaced_pod(self.namespace, label_selector=f"bench={label}").items
            return len(pods) == count and all(pod.status.phase == "Succeeded" for pod in pods)

        self.until(over)
        times = [float(self.core.read_namespaced_pod_log(pod["metadata"]["name"], self.namespace)) for pod in manifests]
        self.core.delete_collection_namespaced_pod(self.namespace, label_selector=f"bench={label}")
        self.settle(f"bench={label}")
        return {"imported": max(times) - began}

    def settle(self, selector: str) -> None:
        """Let what is being deleted go before the next one is timed."""
        self.until(lambda: not self.core.list_namespaced_pod(self.namespace, label_selector=selector).items)
        time.sleep(1.0)

    def writes(self) -> float:
        """All writes of OURS that the API server has served so far."""
        text = metrics(self.core.api_client)
        total = 0.0
        for line in text.splitlines():
            if not line.startswith("apiserver_request_total{"):
                continue
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            if (labels["resource"], labels["subresource"], labels["verb"]) in OURS:
                total += float(line.rsplit(" ", 1)[1])
        return total + self.events()

    def events(self) -> int:
        """How often the operator has told an Event here; the server's count has those of kubelet and scheduler too."""
        found = self.core.list_namespaced_event(self.namespace).items
        return sum(event.count for event in found if event.source.component == REPORTER)


def metrics(api: client.ApiClient) -> str:
    """What the API server says of itself, in Prometheus' text format."""
    headers = {"Accept": "text/plain"}
    api.update_params_for_auth(headers, [], ["BearerToken"], "/metrics", "GET", None)
    answer = api.rest_client.request("GET", f"{api.configuration.host}/metrics", headers=headers)
    answer.read()
    return answer.data.decode()


def bare_pod(name: str, label: str, namespace: str) -> dict[str, Any]:
    """The runner's pod without what belongs to a run, doing nothing but the import."""
    owner = {"apiVersion": "v1", "kind": "None", "metadata": {"name": "none", "namespace": namespace, "uid": "none"}}
    spec = {"flow": "bench", "image": Settings().runtime_image}
    version = {"metadata": {"name": "bench", "namespace": namespace}, "spec": spec}
    pod = runner_pod(run=owner, version=version, attempt=1, settings=Settings())
    pod["metadata"] = {"name": name, "labels": {"bench": label}}
    pod["spec"]["volumes"] = [v for v in pod["spec"]["volumes"] if v["name"] == "scratch"]
    (container,) = (c for c in pod["spec"]["containers"] if c["name"] == CONTAINER)
    container["volumeMounts"] = [m for m in container["volumeMounts"] if m["name"] == "scratch"]
    container["command"] = ["python", "-c", "import distributed, time; print(time.time())"]
    return pod


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures of every round there")
    options = parser.parse_args()
    config.load_config()
    namespace = f"bench-{secrets.token_hex(3)}"
    core = client.CoreV1Api()
    core.create_namespace({"metadata": {"name": namespace}})
    try:
        figures = measure(Bench(namespace), options.rounds, options.workers)
    finally:
        core.delete_namespace(namespace)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    report(figures, options.workers)


def measure(bench: Bench, rounds: int, workers: int) -> dict[str, Any]:
    bench.apply_flow("pods", {"provisioner": "Pods", "workers": workers})
    bench.apply_flow("inprocess", {"provisioner": "InProcess"})
    figures: dict[str, list[Any]] = {name: [] for name in ("pods", "pods bare", "inprocess", "inprocess bare")}
    writes: dict[str, list[float]] = {"pods": [], "inprocess": []}
    for number in range(rounds + 1):
        round_: dict[str, Any] = {}
        for flow, count in (("pods", workers + 1), ("inprocess", 1)):
            time.sleep(3.0)  # the summary of the run before is written late
            before = bench.writes()
            round_[flow] = bench.flow_run(flow)
            time.sleep(3.0)
            counted = bench.writes() - before
            round_[f"{flow} bare"] = bench.bare(count)
            if number:
                writes[flow].append(counted)
        if number:  # the first round warms what is cold
            for name, value in round_.items():
                figures[name].append(value)
    return {"figures": figures, "writes": writes}


def report(measured: dict[str, Any], workers: int) -> None:
    figures = measured["figures"]
    print(f"medians of {len(figures['pods'])} rounds, seconds from creation")
    for flow, words in (("pods", f"Pods, {workers} workers"), ("inprocess", "InProcess")):
        ours, bare = summary(figures[flow]), summary(figures[f"{flow} bare"])["imported"]
        ratios = [a["firstTaskAt"] / b["imported"] for a, b in zip(figures[flow], figures[f"{flow} bare"], strict=True)]
        first = ours["firstTaskAt"]
        print(
            f"  {words}: first task {first:.2f}, bare pods {bare:.2f}, ratio {first / bare:.2f} "
            f"(by round {min(ratios):.2f}-{max(ratios):.2f})"
        )
        print(
            f"    admitted after {ours['admittedAt']:.2f}, first task {first - ours['admittedAt']:.2f} later, "
            f"finished {ours['finishedAt'] - first:.2f} after that"
        )
        print(f"    API writes of the run: {statistics.median(measured['writes'][flow]):.0f}")


if __name__ == "__main__":
    main()
