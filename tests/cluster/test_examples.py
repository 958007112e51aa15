"""The examples on a real cluster, from their own manifests."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
HEADWATER = [sys.executable, "-m", "headwater.cli.main"]


def test_hello(project: Any) -> None:
    project.kubectl("apply", "-f", str(EXAMPLES / "hello"))
    run = project.finish("hello-1")
    assert run["status"]["progress"]["text"] == "3/3"
    assert "Hello, Ada! That is" in project.kubectl("logs", "hello-1-a1").stdout


def test_limits(project: Any) -> None:
    for name in ("limits", "flow", "monday"):
        project.kubectl("apply", "-f", str(EXAMPLES / "limits" / f"{name}.yaml"))
    running = """jsonpath={.status.conditions[?(@.type=="Succeeded")].reason}=Running"""
    project.kubectl("wait", f"--for={running}", "flowrun/monday", "--timeout=120s")
    project.kubectl("apply", "-f", str(EXAMPLES / "limits" / "flowruns.yaml"))
    waits = '1 of 1 runs of Flow "nightly" is active; '
    project.until("urgent is next", lambda: project.state("urgent") == ("Queued", f"{waits}it is next"))
    project.until("tuesday waits", lambda: project.state("tuesday") == ("Queued", f"{waits}1 is before it"))
    runs = {name: project.finish(name)["status"] for name in ("monday", "urgent", "tuesday")}
    begun = {name: status["timeline"]["admittedAt"] for name, status in runs.items()}
    ended = {name: status["finishedAt"] for name, status in runs.items()}
    assert [condition_of(status) for status in runs.values()] == ["Success"] * 3
    assert ended["monday"] <= begun["urgent"] < ended["urgent"] <= begun["tuesday"], "one after the other"


def headwater(project: Any, environment: dict[str, str], *args: str) -> str:
    command = [*HEADWATER, *args, "-n", project.name]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_schedules(project: Any, environment: dict[str, str]) -> None:
    project.kubectl("apply", "-f", str(EXAMPLES / "schedules"))
    project.kubectl("wait", "--for=condition=Ready", "flow/figures", "--timeout=60s")
    status = project.get("flow", "figures")["status"]
    coming = {entry["name"]: "nextRunTime" in entry for entry in status["schedules"]}
    assert coming == {"office": True, "half-daily": True, "month-end": True, "fair": False}
    told = headwater(
        project,
        environment,
        *("backfill", "figures", "--schedule", "month-end", "--from", "2026-08-01", "--to", "2026-10-31"),
    )
    made = [line.split()[1] for line in told.splitlines() if line.startswith("made")]
    meant = [project.finish(name)["spec"]["scheduledTime"][:16] for name in made]
    assert meant == ["2026-08-28T22:00", "2026-09-25T22:00", "2026-10-30T22:00"]
    assert project.get("flowrun", made[0])["spec"]["parameters"] == {"region": "the Americas"}
    run = project.get("flowrun", made[0])["status"]["attempt"]["podName"]
    assert "The figures of the Americas for 2026-08-28 22:00." in project.kubectl("logs", run).stdout
    # The clock's own run, soon.
    soon = '[{"op": "add", "path": "/spec/schedules/-", "value": {"name": "soon", "interval": "1s"}}]'
    project.kubectl("patch", "flow", "figures", "--type=json", "-p", soon)
    project.until("a run", lambda: project.list("flowruns", "-l", "headwater.dev/schedule=soon"))
    project.kubectl("patch", "flow", "figures", "--type=merge", "-p", '{"spec": {"suspend": true}}')


def test_arrival(project: Any, environment: dict[str, str]) -> None:
    project.kubectl("apply", "-f", str(EXAMPLES / "arrival"))
    runs = [project.finish(name) for name in ("orders", "orders-seen-twice")]
    assert [condition_of(run["status"]) for run in runs] == ["Success"] * 2
    assert sum("attempt" in run["status"] for run in runs) == 1
    headwater(project, environment, "start", "arrival", "--param", "file=orders.csv", "--key", "orders.csv", "--watch")
    assert sum("attempt" in run["status"] for run in project.list("flowruns")) == 1


def test_parent(project: Any) -> None:
    project.kubectl("apply", "-f", str(EXAMPLES / "parent"))
    run = project.finish("all-airports-1", 180)
    assert condition_of(run["status"]) == "Success"
    children = [child for child in project.list("flowruns") if child["spec"]["flow"] == "landings"]
    assert sorted(child["spec"]["parameters"]["airport"] for child in children) == ["Bern", "Geneva", "Zurich"]
    assert {condition_of(child["status"]) for child in children} == {"Success"}
    assert "3 runs have ended." in project.kubectl("logs", "all-airports-1-a1").stdout


def test_approval(project: Any, environment: dict[str, str]) -> None:
    project.kubectl("apply", "-f", str(EXAMPLES / "approval"))
    _, words = project.until("it is paused", lambda: (s := project.state("release-7"))[0] == "Paused" and s)
    assert "headwater approve release-7 deploy" in words
    headwater(project, environment, "approve", "release-7", "deploy")
    run = project.finish("release-7")
    assert condition_of(run["status"]) == "Success"
    log = project.kubectl("logs", "release-7-a1").stdout
    assert log.index("site-7 is live.") < log.index("site-7 is tidied up.")


def condition_of(status: dict[str, Any]) -> str:
    return next(str(c["reason"]) for c in status["conditions"] if c["type"] == "Succeeded")


def test_aircraft(project: Any, request: pytest.FixtureRequest) -> None:
    """Real recorded traffic through the code slide's five tasks, on workers, into SQLite on a volume."""
    project.set_aside_volume("aircraft-data", request)
    project.kubectl("apply", "-f", str(EXAMPLES / "aircraft"))
    run = project.finish("aircraft-1", 180)
    assert {task["name"]: task["state"] for task in run["status"]["tasks"]} == {
        "extract_reference_data": "Success",
        "extract_live_data": "Success",
        "transform": "Success",
        "load_reference_data": "Success",
        "load_live_data": "Success",
    }
    rows = read_rows(project, "aircraft-data")
    assert rows == here(), "the volume holds what the same flow writes on a laptop"

    # The same run again writes the same rows again: they are replaced, not doubled.
    project.run("aircraft-2", "aircraft-etl", parameters={"airport": "ZRH"})
    project.finish("aircraft-2", 180)
    assert read_rows(project, "aircraft-data") == rows

    # An airport that no recording covers is told in words.
    project.run("aircraft-3", "aircraft-etl", parameters={"airport": "IAD"})
    run = project.finish("aircraft-3", 180)
    condition = next(c for c in run["status"]["conditions"] if c["type"] == "Succeeded")
    assert condition["reason"] == "Failed"
    assert condition["message"].startswith('Task "extract_live_data" failed: ValueError')
    assert "IAD" in condition["message"]


COUNT = """
import json, sqlite3, sys
tables = [name for (name,) in sqlite3.connect(sys.argv[1]).execute("select name from sqlite_master where type='table'")]
count = lambda table: sqlite3.connect(sys.argv[1]).execute(f"select count(*) from {table}").fetchone()[0]
print(json.dumps({table: count(table) for table in sorted(tables)}))
"""


def read_rows(project: Any, claim: str) -> dict[str, int]:
    """Count the rows of each table, from a pod that mounts the volume."""
    flow = project.get("pods", "-l", "headwater.dev/run=aircraft-1,headwater.dev/role=runner")["items"][0]
    spec = {key: flow["spec"][key] for key in ("securityContext", "automountServiceAccountToken")}
    container = {key: flow["spec"]["containers"][0][key] for key in ("image", "imagePullPolicy", "securityContext")}
    name = f"reader-{secrets.token_hex(3)}"
    container |= {
        "name": "reader",
        "command": ["python", "-c", COUNT, "/data/aircraft.sqlite"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec |= {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
    }
    project.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    project.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s", f"pod/{name}")
    return json.loads(project.kubectl("logs", name).stdout)


def here() -> dict[str, int]:
    """The rows that `headwater run` writes for the same parameters, on each of its executors."""
    found = []
    for executor in ("local", "dask"):
        with tempfile.TemporaryDirectory() as folder:
            database = f"{folder}/aircraft.sqlite"
            subprocess.run(
                [
                    *HEADWATER,
                    "run",
                    str(EXAMPLES / "aircraft" / "flow.py"),
                    "--param",
                    "airport=ZRH",
                    "--executor",
                    executor,
                ],
                env={**os.environ, "AIRCRAFT_DB": database},
                check=True,
                capture_output=True,
            )
            answer = subprocess.run([sys.executable, "-c", COUNT, database], check=True, capture_output=True, text=True)
            found.append(json.loads(answer.stdout))
    assert found[0] == found[1]
    return found[0]
