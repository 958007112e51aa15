"""Runs on a real cluster: what a user applies and what the resource then says."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

BRANCHES = """
    from headwater import Flow, Parameter, task

    @task
    def extract(airport):
        print("extracting", airport)
        return [airport, airport]

    @task
    def bad(rows):
        raise ValueError("no such airport")

    @task
    def never(rows):
        return rows

    @task
    def count(rows):
        return len(rows)

    with Flow("branches") as flow:
        rows = extract(Parameter("airport"))
        never(bad(rows))
        count(rows)
"""

SLOW = """
    import time
    from headwater import Flow, Parameter, task

    @task
    def nap(seconds):
        time.sleep(seconds)
        return seconds

    @task
    def wake(seconds):
        return seconds

    with Flow("slow") as flow:
        wake(nap(Parameter("seconds", default=5)))
"""

POD_WORKERS = {"provisioner": "Pods", "workers": 2}


def message(run: dict[str, Any], type: str = "Succeeded") -> tuple[str, str, str]:
    found = next(c for c in run["status"]["conditions"] if c["type"] == type)
    return found["status"], found["reason"], found["message"]


@pytest.mark.parametrize("execution", [{"provisioner": "InProcess"}, POD_WORKERS], ids=["InProcess", "Pods"])
def test_a_failing_task_stops_its_branch_only(project: Any, execution: dict[str, Any]) -> None:
    project.flow("branches", BRANCHES, execution=execution)
    project.run("branches-1", "branches", parameters={"airport": "ZRH"})
    run = project.finish("branches-1")

    assert message(run) == ("False", "Failed", 'Task "bad" failed: ValueError: no such airport')
    assert message(run, "Finished")[0] == "True"
    assert message(run, "Stalled")[0] == "True"
    tasks = {task["name"]: task for task in run["status"]["tasks"]}
    assert {name: task["state"] for name, task in tasks.items()} == {
        "extract": "Success",
        "bad": "Failed",
        "never": "TriggerFailed",
        "count": "Success",
    }
    assert tasks["bad"]["message"] == "ValueError: no such airport"
    assert tasks["never"]["message"] == 'Trigger was "all_successful" but upstream failed: "bad".'
    assert run["status"]["progress"]["text"] == "4/4"
    assert run["status"]["version"]["name"] == "branches-v1"
    steps = ["createdAt", "runnerStartedAt", "firstTaskAt", "finishedAt"]
    times = [datetime.fromisoformat(run["status"]["timeline"][step]) for step in steps]
    assert times == sorted(times)
    # The workers are gone at once; what the tasks printed is in the log of the runner, which stays.
    project.until("workers deleted", lambda: not project.pods(role="worker"))
    log = project.kubectl("logs", run["status"]["attempt"]["podName"]).stdout
    assert "extracting ZRH" in log
    assert 'raise ValueError("no such airport")' in log


def test_wrong_runs_are_told_within_seconds(project: Any) -> None:
    project.flow("branches", BRANCHES)
    project.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "flow/branches")
    began = time.monotonic()
    project.run("unknown-parameter", "branches", parameters={"airport": "ZRH", "radios": 1})
    project.run("missing-parameter", "branches")
    project.run("unknown-version", "branches", version=7, parameters={"airport": "ZRH"})
    project.run("unknown-flow", "brunches")

    assert message(project.finish("unknown-parameter"))[1:] == (
        "Failed",
        "spec.parameters.radios: there is no such parameter; the flow takes airport",
    )
    assert message(project.finish("missing-parameter"))[2] == (
        "spec.parameters: airport must be given; the flow takes airport"
    )
    assert message(project.finish("unknown-version"))[2] == 'Flow "branches" has no version 7; it has 1'
    waits = f'there is no Flow "brunches" in namespace "{project.name}"; the run begins when it is applied'
    project.until("said", lambda: project.state("unknown-flow") == ("Pending", waits))
    assert time.monotonic() - began < 10
    assert project.pods(role="runner") == [], "none of them got a pod"

    project.flow("brunches", SLOW)
    project.kubectl("delete", "flowrun", "unknown-version")
    run = project.finish("unknown-flow")
    assert message(run)[1] == "Success", "and the run that waited for its flow begins"


def test_a_missing_image_is_told_within_seconds_and_ends_at_the_deadline(project: Any) -> None:
    spec = {"image": "headwater/no-such-image:1", "entrypoint": "flow.py:flow", "startDeadlineSeconds": 15}
    project.apply({"apiVersion": "headwater.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "f"}, "spec": spec})
    project.run("f-1", "f")
    words = 'image "headwater/no-such-image:1" cannot be pulled'
    state, text = project.until(
        "told", lambda: (lambda s: s if words in s[1] else None)(project.state("f-1")), seconds=12
    )
    assert (state, text.startswith(f"f-v1 is not ready: {words}")) == ("Pending", True)
    flow = project.get("flow", "f")
    assert message(flow, "Stalled")[1] == "ImagePullBackOff"
    assert words in message(flow, "Ready")[2]
    run = project.finish("f-1")
    assert message(run)[1] == "TimedOut"
    assert message(run)[2].startswith("no task began within 15 s: ")
    assert project.pods(role="runner") == []


def test_a_flow_that_raises_at_import_is_told_with_its_traceback(project: Any) -> None:
    project.flow("f", "import nothing_of_this_name\n")
    project.run("f-1", "f")
    run = project.finish("f-1", 30)
    status, state, text = message(run)
    assert (status, state) == ("False", "Failed")
    assert "f-v1 cannot be used: the flow cannot be imported: ModuleNotFoundError" in text
    assert 'flow.py", line 1, in <module>' in text
    assert message(project.get("flow", "f"), "Stalled")[1] == "InspectionFailed"


def test_three_runs_of_one_flow_at_once(project: Any) -> None:
    project.flow("slow", SLOW, execution={"provisioner": "Pods", "workers": 1})
    project.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "flow/slow")
    for i in (1, 2, 3):
        project.run(f"slow-{i}", "slow", parameters={"seconds": 4 + i})
    finished = [project.finish(f"slow-{i}", 120) for i in (1, 2, 3)]
    assert [message(run)[1] for run in finished] == ["Success"] * 3
    spans = [(run["status"]["timeline"]["firstTaskAt"], run["status"]["finishedAt"]) for run in finished]
    assert max(start for start, _ in spans) < min(end for _, end in spans), "all three were under way together"
    project.until("the flow shows it", lambda: project.get("flow", "slow")["status"]["runs"]["active"] == 0)
    assert project.get("flow", "slow")["status"]["lastRun"]["state"] == "Success"


def test_deleting_a_running_run_leaves_nothing(project: Any) -> None:
    project.flow("slow", SLOW, execution=POD_WORKERS)
    project.run("slow-1", "slow", parameters={"seconds": 300})
    project.until("running", lambda: project.state("slow-1")[0] == "Running")
    assert len(project.pods(run="slow-1")) == 3
    project.kubectl("delete", "flowrun", "slow-1")

    def left() -> str:
        kinds = "pods,services,secrets,configmaps,endpointslices"
        return project.kubectl("get", kinds, "-l", "headwater.dev/run=slow-1", "-o", "name").stdout

    project.until("gone", lambda: left() == "", seconds=30)
    project.until("uncounted", lambda: project.get("flow", "slow")["status"]["runs"]["active"] == 0)


def test_the_operator_killed_in_the_middle_changes_nothing(project: Any, operator: str) -> None:
    project.flow("slow", SLOW, execution=POD_WORKERS)
    project.run("before", "slow", parameters={"seconds": 6})
    project.until("running", lambda: project.tasks("before").get("nap") == "Running")
    pods = project.pods(run="before")
    project.kubectl(
        "delete", "pod", "-n", operator, "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force"
    )
    project.run("meanwhile", "slow", parameters={"seconds": 1})
    run = project.finish("before")
    assert message(run)[1] == "Success"
    assert run["status"]["attempt"]["number"] == 1
    assert {task["runs"] for task in run["status"]["tasks"]} == {1}
    assert set(project.pods(run="before")) <= set(pods), "no pod was made a second time"
    assert message(project.finish("meanwhile"))[1] == "Success", "and what came while it was away was not lost"


def test_a_lost_worker_is_replaced_and_its_task_run_again_when_it_may_be(project: Any) -> None:
    code = """
        import time
        from datetime import timedelta
        from headwater import Flow, context, task

        @task(max_retries=1, retry_delay=timedelta(0))
        def may_repeat():
            time.sleep(300 if context.task_run_count == 1 else 0)
            return context.task_run_count

        with Flow("f") as flow:
            may_repeat()
    """
    project.flow("f", code, execution={"provisioner": "Pods", "workers": 1})
    project.run("f-1", "f")
    project.until("running", lambda: project.tasks("f-1").get("may_repeat") == "Running")
    project.kubectl("delete", "pod", "f-1-a1-w0", "--grace-period=0", "--force")
    run = project.finish("f-1")
    assert message(run)[1] == "Success"
    assert run["status"]["tasks"][0]["runs"] == 2


def test_a_lost_worker_crashes_a_task_that_may_not_be_repeated(project: Any) -> None:
    project.flow("slow", SLOW, execution={"provisioner": "Pods", "workers": 1})
    project.run("slow-1", "slow", parameters={"seconds": 300})
    project.until("running", lambda: project.tasks("slow-1").get("nap") == "Running")
    project.kubectl("delete", "pod", "slow-1-a1-w0", "--grace-period=0", "--force")
    run = project.finish("slow-1")
    assert message(run)[1] == "Failed"
    assert message(run)[2].startswith('Task "nap" crashed: the worker that ran it')
    assert project.tasks("slow-1") == {"nap": "Crashed", "wake": "TriggerFailed"}


def test_a_lost_runner_is_a_crash_with_its_reason(project: Any) -> None:
    project.flow("slow", SLOW)
    project.run("slow-1", "slow", parameters={"seconds": 300})
    project.until("running", lambda: project.tasks("slow-1").get("nap") == "Running")
    project.kubectl("delete", "pod", "slow-1-a1", "--grace-period=0", "--force")
    run = project.finish("slow-1", 30)
    assert message(run) == ("False", "Crashed", "runner pod slow-1-a1 is gone: it was deleted, or its node was")


def test_a_runner_that_runs_out_of_memory_says_so(project: Any) -> None:
    code = """
        from headwater import Flow, task

        @task
        def grow():
            return len(b"x" * (1 << 30))

        with Flow("f") as flow:
            grow()
    """
    limits = {"resources": {"limits": {"memory": "150Mi"}}}
    project.flow("f", code, execution={"provisioner": "InProcess", "runner": limits})
    project.run("f-1", "f")
    run = project.finish("f-1", 60)
    assert message(run)[1] == "Crashed"
    assert "OOMKilled" in message(run)[2]


def test_a_run_ends_at_its_timeout(project: Any) -> None:
    project.flow("slow", SLOW, timeoutSeconds=4, execution=POD_WORKERS)
    project.run("slow-1", "slow", parameters={"seconds": 300})
    run = project.finish("slow-1", 60)
    assert message(run)[1:] == ("TimedOut", "the run took longer than its timeoutSeconds, 4 s")
    project.until("nothing left", lambda: project.pods(run="slow-1") == [])


def test_a_quota_that_refuses_the_pods_is_told(project: Any) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "0"}}}
    project.flow("slow", SLOW)
    project.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "flow/slow")
    project.until("inspection gone", lambda: not project.pods(role="inspection"))
    project.apply(quota)
    project.until("quota counted", lambda: "hard" in project.get("resourcequota", "few").get("status", {}))
    project.run("slow-1", "slow", parameters={"seconds": 0})
    project.until("told", lambda: "exceeded quota" in project.state("slow-1")[1], seconds=15)
    project.kubectl("delete", "resourcequota", "few")
    assert message(project.finish("slow-1"))[1] == "Success", "and it begins when there is room"


def test_user_code_cannot_write_what_is_not_its_own(project: Any) -> None:
    """A task in the runner holds the runner's token; the API server lets it write its own tasks only."""
    code = """
        import json, os, ssl, urllib.error, urllib.request
        from headwater import Flow, Parameter, task

        FOLDER = "/var/run/secrets/headwater.dev"

        @task
        def attack(namespace, name, status):
            host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
            url = f"https://{host}:{port}/apis/headwater.dev/v1alpha1/namespaces/{namespace}/flowruns/{name}/status"
            request = urllib.request.Request(url, json.dumps({"status": status}).encode(), method="PATCH", headers={
                "Authorization": "Bearer " + open(f"{FOLDER}/token").read(),
                "Content-Type": "application/merge-patch+json",
            })
            try:
                urllib.request.urlopen(request, context=ssl.create_default_context(cafile=f"{FOLDER}/ca.crt"))
                print("ALLOWED")
            except urllib.error.HTTPError as error:
                print("REFUSED", error.code, json.loads(error.read())["message"])

        with Flow("attack") as flow:
            attack(Parameter("namespace"), Parameter("name"), Parameter("status"))
    """
    project.flow("attack", code)
    project.flow("slow", SLOW)
    project.run("victim", "slow", parameters={"seconds": 0})
    project.run("victim-running", "slow", parameters={"seconds": 60})
    project.until("running", lambda: project.tasks("victim-running").get("nap") == "Running")
    forged = {"tasks": [{"name": "nap", "state": "Failed"}]}
    mine = {"tasks": [{"name": "attack", "state": "Running"}]}
    final = [
        {
            "type": "Succeeded",
            "status": "True",
            "reason": "Success",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ]
    tries = {
        "other": ("victim-running", forged),
        "own": ("own", mine),
        "condition": ("condition", {"conditions": final}),
    }
    for run, (name, status) in tries.items():
        project.run(run, "attack", parameters={"namespace": project.name, "name": name, "status": status})
    logs = {}
    for run in tries:
        assert message(project.finish(run))[1] == "Success"
        logs[run] = project.kubectl("logs", f"{run}-a1").stdout
    assert "REFUSED 403" in logs["other"]
    assert "own object only" in logs["other"]
    assert "REFUSED 403" in logs["condition"]
    assert "ALLOWED" in logs["own"], "the test's own request is a good one"
    assert project.tasks("victim-running")["nap"] == "Running"


def test_large_results_go_from_worker_to_worker(project: Any) -> None:
    """Two workers make 50 MB each and one of them needs both: the runner sees none of it, nor does the API server."""
    code = """
        import time
        from headwater import Flow, task

        @task
        def make(name):
            time.sleep(5)  # long enough for the second worker to come and take one
            return bytes(50_000_000)

        @task
        def sizes(left, right):
            return len(left) + len(right)

        @task
        def hold(total):
            assert total == 100_000_000
            time.sleep(8)
            print("bytes received by this worker:", received())

        def received():
            lines = open("/proc/net/dev").read().splitlines()[2:]
            return sum(int(line.split(":")[1].split()[0]) for line in lines if not line.strip().startswith("lo:"))

        with Flow("large") as flow:
            hold(sizes(make("left"), make("right")))
    """
    project.flow("large", code, execution=POD_WORKERS)
    project.run("large-1", "large")
    project.until("holding", lambda: project.tasks("large-1").get("hold") == "Running", seconds=60)

    def read(pod: str, command: str) -> str:
        return project.kubectl("exec", pod, "--", "python", "-c", command).stdout

    count = (
        "lines = open('/proc/net/dev').read().splitlines()[2:];"
        "print(sum(int(l.split(':')[1].split()[0]) for l in lines if not l.strip().startswith('lo:')))"
    )
    runner = int(read("large-1-a1", count))
    workers = [int(read(pod, count)) for pod in project.pods(run="large-1", role="worker")]
    peak = read("large-1-a1", "print([l for l in open('/proc/1/status') if l.startswith('VmHWM')][0].split()[1])")
    run = project.finish("large-1")
    assert message(run)[1] == "Success"
    assert max(workers) > 50_000_000, "one worker got the other's result"
    assert runner < 2_000_000, f"the runner received {runner} bytes"
    assert int(peak) * 1024 < 200_000_000, f"the runner's memory peaked at {peak} kB"
    assert len(json.dumps(run)) < 10_000


def test_pod_templates_that_make_no_pod_are_told_with_the_field(project: Any) -> None:
    mount = {"containers": [{"name": "flow", "volumeMounts": [{"name": "nope", "mountPath": "/x"}]}]}
    spec = {"spec": mount}
    bad = {
        "worker": ({"provisioner": "Pods", "worker": {"podTemplate": spec}}, 'volumeMounts[3].name: Not found: "nope"'),
        "runner": ({"provisioner": "InProcess", "runner": {"podTemplate": spec}}, 'Not found: "nope"'),
        "shape": (
            {
                "provisioner": "InProcess",
                "runner": {"podTemplate": {"spec": {"containers": [{"name": "flow", "env": {"A": "1"}}]}}},
            },
            "cannot unmarshal object into Go struct field Container.spec.containers.env",
        ),
        "privileged": (
            {"provisioner": "Pods", "worker": {"podTemplate": {"spec": {"hostNetwork": True}}}},
            'violates PodSecurity "restricted',
        ),
    }
    for name, (execution, _) in bad.items():
        project.flow(name, SLOW, execution=execution, startDeadlineSeconds=20)
        project.run(f"{name}-1", name, parameters={"seconds": 0})
    for name, (_, words) in bad.items():
        project.until(f"{name} told", lambda name=name, words=words: words in project.state(f"{name}-1")[1], seconds=20)
    for name in ("worker", "runner", "shape"):
        assert message(project.finish(f"{name}-1", 20))[1] == "Failed", "what can never be made is not waited for"
    assert message(project.finish("privileged-1", 60))[1] == "TimedOut", "a policy may change its mind"
    project.until("nothing left", lambda: not project.pods(role="runner"))
