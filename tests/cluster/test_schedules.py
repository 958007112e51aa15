"""Runs that schedules make, and what happens when the operator is not there."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

CODE = """
    import headwater
    from headwater import Flow, Parameter, task

    @task
    def say(word):
        print(word, headwater.context.scheduled_start_time.isoformat(), flush=True)

    with Flow("say") as flow:
        say(Parameter("word", default="none"))
"""


def moment(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")


def condition(manifest: Any, type: str) -> Any:
    return next(c for c in manifest["status"]["conditions"] if c["type"] == type)


def scheduled(project: Any, schedule: str) -> list[Any]:
    return project.list("flowruns", "-l", f"headwater.dev/schedule={schedule}")


def test_a_time_makes_one_run_that_knows_it(project: Any) -> None:
    date = moment(6)
    project.flow("say", CODE, schedules=[{"name": "once", "dates": [date], "parameters": {"word": "hello"}}])
    status = project.until("the next time", lambda: project.get("flow", "say").get("status", {}).get("nextRunTime"))
    assert datetime.fromisoformat(status) == datetime.fromisoformat(date)
    (run,) = project.until("the run", lambda: scheduled(project, "once"), seconds=30)
    name = run["metadata"]["name"]
    assert name == f"say-once-{datetime.fromisoformat(date):%Y%m%d%H%M%S}"
    ended = project.finish(name)
    assert project.state(name)[0] == "Success"
    log = project.kubectl("logs", ended["status"]["attempt"]["podName"]).stdout
    assert f"hello {datetime.fromisoformat(date).isoformat()}" in log
    assert "nextRunTime" not in project.get("flow", "say")["status"]
    assert len(scheduled(project, "once")) == 1


def test_an_operator_that_was_away_makes_up_for_what_was_missed(project: Any, operator: str, kubectl: Any) -> None:
    entries = [
        {"name": policy.lower(), "interval": "5s", "catchUp": policy, "suspend": False} for policy in ("Latest", "All")
    ]
    # Its runs do not matter here, and wait.
    project.flow("say", CODE, schedules=entries, concurrency={"limit": 1})
    project.until("a run of each", lambda: scheduled(project, "latest") and scheduled(project, "all"))
    kubectl(
        "-n", operator, "delete", "pod", "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force"
    )
    kubectl("-n", operator, "scale", "deployment/headwater-operator", "--replicas=0")
    # The Deployment may have begun another in between, which works until it is gone.
    kubectl(
        "-n", operator, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=operator", "--timeout=60s"
    )
    before = datetime.now(UTC)
    time.sleep(25)
    kubectl("-n", operator, "scale", "deployment/headwater-operator", "--replicas=1")
    kubectl("-n", operator, "rollout", "status", "deployment/headwater-operator", "--timeout=90s")

    def times(schedule: str) -> list[datetime]:
        return sorted(datetime.fromisoformat(run["spec"]["scheduledTime"]) for run in scheduled(project, schedule))

    project.until("the missed runs", lambda: times("all")[-1] > before + timedelta(seconds=25))
    project.kubectl("patch", "flow", "say", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    every = times("all")
    assert {later - earlier for earlier, later in itertools.pairwise(every)} == {timedelta(seconds=5)}
    missed = [at for at in times("latest") if before + timedelta(seconds=6) < at < before + timedelta(seconds=20)]
    assert not missed, "of those that were missed only the newest is made up for"


def test_a_schedule_that_cannot_be_read_is_told(project: Any) -> None:
    project.flow("say", CODE, schedules=[{"name": "mars", "cron": "0 * * * *", "timeZone": "Mars/Olympus"}])
    words = project.until(
        "the reason",
        lambda: [
            condition["message"]
            for condition in project.get("flow", "say").get("status", {}).get("conditions", [])
            if condition["type"] == "Stalled" and condition["reason"] == "InvalidSchedule"
        ],
    )
    assert '"mars"' in words[0]
    assert "Mars/Olympus" in words[0]


def test_the_runs_of_a_past_range_are_made_once(project: Any) -> None:
    project.flow("say", CODE, schedules=[{"name": "hourly", "cron": "0 * * * *"}], concurrency={"limit": 1})

    def backfill(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "headwater.cli.main", "backfill", *arguments, "-n", project.name]
        return subprocess.run(command, capture_output=True, text=True)

    given = ["say", "--from", "2026-01-31T22:00:00Z", "--to", "2026-02-01T01:30:00Z"]
    assert "would make say-hourly-20260131220000" in backfill(*given, "--dry-run").stdout
    assert not scheduled(project, "hourly")
    assert "4 times in the range, 4 runs made" in backfill(*given).stdout
    again = backfill(*given)
    assert "4 times in the range, 0 runs made" in again.stdout
    assert len(scheduled(project, "hourly")) == 4
    wrong = backfill("say", "--from", "2026-01-31", "--to", "2126-01-31")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "is in the future" in wrong.stderr
    assert 'has no schedule "daily"; it has hourly' in backfill(*given, "--schedule", "daily").stderr


def test_a_rule_that_no_library_can_read_leaves_the_others_alone(project: Any) -> None:
    rules = {
        "empty": "DTSTART:20260101T000000",
        "never": "RRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30\nEXDATE:20260101T000000",
    }
    entries = [{"name": name, "rrule": rule} for name, rule in rules.items()]
    project.flow("say", CODE, schedules=[*entries, {"name": "good", "interval": "2s"}])
    project.until("runs of the good one", lambda: len(scheduled(project, "good")) > 1, seconds=30)
    stalled = condition(project.get("flow", "say"), "Stalled")
    assert '"empty"' in stalled["message"]
    assert "has no FREQ" in stalled["message"]
    assert 'schedules "never" takes too long to find its times' in stalled["message"]
    ended = project.finish(scheduled(project, "good")[0]["metadata"]["name"])
    assert condition(ended, "Succeeded")["status"] == "True"


def test_what_passes_while_a_schedule_is_suspended_has_no_run(project: Any) -> None:
    project.flow("say", CODE, schedules=[{"name": "often", "interval": "4s", "catchUp": "All"}])
    project.until("a run", lambda: scheduled(project, "often"), seconds=30)
    project.kubectl("patch", "flow", "say", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    project.until("it is seen", lambda: project.get("flow", "say")["status"]["schedules"][0].get("suspended"))
    before = datetime.now(UTC)
    time.sleep(9)
    project.kubectl("patch", "flow", "say", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    after = datetime.now(UTC)

    def times() -> list[datetime]:
        return sorted(datetime.fromisoformat(run["spec"]["scheduledTime"]) for run in scheduled(project, "often"))

    project.until("a later run", lambda: times()[-1] >= after, seconds=30)
    assert not [at for at in times() if before < at < after]


def test_a_time_whose_name_another_flows_run_has_is_told(project: Any) -> None:
    at = (datetime.now(UTC) + timedelta(seconds=8)).replace(microsecond=0)
    taken = f"say-once-{at:%Y%m%d%H%M%S}"
    project.flow("other", CODE, suspend=True)
    project.run(taken, "other")
    project.flow(
        "say", CODE, schedules=[{"name": "once", "dates": [at.isoformat()]}, {"name": "good", "interval": "3s"}]
    )
    words = project.until(
        "the reason",
        lambda: [
            found["message"]
            for found in project.get("flow", "say").get("status", {}).get("conditions", [])
            if "is in the way" in found["message"]
        ],
        seconds=40,
    )
    assert f'FlowRun "{taken}" is in the way: it is a run of Flow "other"; delete it' in words[0]
    known = len(scheduled(project, "good"))
    project.until("the other schedule goes on", lambda: len(scheduled(project, "good")) > known, seconds=20)
