"""Flows that start flows: FlowRuns that a FlowRun's runner makes, waits for and reads from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headwater.resources.names import PARENT_LABEL

pytestmark = pytest.mark.cluster

CHILD = """
    from headwater import Flow, Parameter, context, task
    from headwater.results import InlineResult

    @task(checkpoint=True, result=InlineResult())
    def double(n):
        if n == 13:
            raise ValueError("unlucky")
        return n * 2

    @task
    def called():
        print("I am", context.flow_run_name)

    with Flow("Deep sea (daily)") as flow:
        double(Parameter("n"))
        double.map([1, 2, 3])
        called()
"""

PARENT = """
    from headwater import Flow, task, unmapped
    from headwater.tasks.headwater import create_flow_run, get_task_run_result, wait_for_flow_run

    @task
    def check(one, items, total, view):
        assert (one, items, sum(total)) == (8, [2, 4, 6], 6), (one, items, total)
        assert view.state.is_successful() and view.task_states["called-1"].is_successful()

    @task
    def numbers():
        return [{"n": 0}, {"n": 1}, {"n": 2}]

    with Flow("parent") as flow:
        run = create_flow_run("Deep sea (daily)", parameters={"n": 4}, run_name="The first of many", labels={"team": "sea"})
        view = wait_for_flow_run(run, raise_final_state=True)
        one = get_task_run_result(run, "double-1")
        items = get_task_run_result(run, "double-2")
        many = create_flow_run.map(flow_name=unmapped("child"), parameters=numbers())
        total = get_task_run_result.map(many, task_slug=unmapped("double-1"))
        check(one, items, total, view)
"""


@pytest.mark.parametrize("execution", [{"provisioner": "InProcess"}, {"workers": 1}], ids=["InProcess", "Pods"])
def test_a_flow_starts_others_and_reads_their_results(project: Any, execution: dict[str, Any]) -> None:
    project.flow("child", CHILD, title="Deep sea (daily)")
    project.flow("parent", PARENT, execution=execution)
    project.run("all", "parent")
    run = project.finish("all", 180)
    assert project.state("all")[0] == "Success", json.dumps(run["status"], indent=1)
    children = project.list("flowruns", "-l", f"{PARENT_LABEL}=all")
    assert len(children) == 4
    assert {child["spec"]["flow"] for child in children} == {"child"}
    first = next(child for child in children if "title" in child["spec"])
    assert first["metadata"]["labels"]["team"] == "sea"
    assert "I am The first of many" in project.kubectl("logs", first["status"]["attempt"]["podName"]).stdout
    # They are part of the run: nothing is left of them without it.
    project.kubectl("delete", "flowrun", "all")
    project.until("the children go with their parent", lambda: not project.list("flowruns"))
    project.until("their pods too", lambda: not project.list("pods"))


def test_what_goes_wrong_with_a_child_is_told_in_the_parent(project: Any) -> None:
    project.flow("child", CHILD)
    project.flow(
        "parent",
        """
        import datetime
        from headwater import Flow
        from headwater.tasks.headwater import create_flow_run, get_task_run_result, wait_for_flow_run

        with Flow("parent") as flow:
            unlucky = create_flow_run("child", parameters={"n": 13}, task_args={"name": "unlucky"})
            strict = wait_for_flow_run(unlucky, raise_final_state=True, task_args={"name": "strict"})
            calm = wait_for_flow_run(unlucky, task_args={"name": "calm"})
            lost = get_task_run_result(unlucky, "called-1", task_args={"name": "lost"})
            nobody = create_flow_run("nobody", task_args={"name": "nobody"})
            wrong = create_flow_run("child", parameters={"m": 1}, task_args={"name": "wrong"})
            refused = wait_for_flow_run(wrong, raise_final_state=True, task_args={"name": "refused"})
            date = create_flow_run("child", parameters={"n": datetime.date.today()}, task_args={"name": "date"})
            stray = wait_for_flow_run("no-such-run", task_args={"name": "stray"})
            away = create_flow_run("child", project_name="kube-system", task_args={"name": "away"})
            late = wait_for_flow_run(
                create_flow_run("sleeper", task_args={"name": "sleep"}),
                max_duration=datetime.timedelta(seconds=1),
                task_args={"name": "late"},
            )
        """,
    )
    project.flow(
        "sleeper",
        """
        import time
        from headwater import Flow, task

        @task
        def nap():
            time.sleep(600)

        with Flow("sleeper") as flow:
            nap()
        """,
    )
    project.run("all", "parent")
    run = project.finish("all", 120)
    told = {task["name"]: f"{task['state']}: {task.get('message', '')}" for task in run["status"]["tasks"]}
    assert told["strict"].startswith('Failed: Task "double-1" failed: ValueError: unlucky')
    assert told["calm"] == "Success: "
    assert "is stored nowhere (the task is Success): give it checkpoint=True" in told["lost"]
    assert 'There is no Flow called "nobody"' in told["nobody"]
    assert "child, parent, sleeper" in told["nobody"]
    assert told["wrong"] == "Success: "
    assert "there is no such parameter; the flow takes n" in told["refused"]
    assert 'parameter "n" is a date that is no JSON' in told["date"]
    assert 'There is no FlowRun "no-such-run"' in told["stray"]
    assert "bind it to the ClusterRole headwater-flow-runs there" in told["away"]
    assert 'Flow run "all-sleep-1" is not finished after 0:00:01; it goes on' in told["late"]
    assert project.state("all-sleep-1")[0] in ("Submitted", "Running")


def test_an_account_without_the_right_is_told_what_it_lacks(project: Any) -> None:
    project.kubectl("create", "serviceaccount", "etl")
    project.flow("child", CHILD)
    project.flow(
        "parent",
        """
        from headwater import Flow
        from headwater.tasks.headwater import create_flow_run, wait_for_flow_run

        with Flow("parent") as flow:
            wait_for_flow_run(create_flow_run("child", parameters={"n": 1}), raise_final_state=True)
        """,
        serviceAccountName="etl",
    )
    project.run("without", "parent")
    project.finish("without")
    assert "bind it to the ClusterRole headwater-flow-runs" in project.state("without")[1]
    project.kubectl(
        *("create", "rolebinding", "etl", "--clusterrole=headwater-flow-runs"),
        f"--serviceaccount={project.name}:etl",
    )
    project.run("with", "parent")
    project.finish("with")
    assert project.state("with")[0] == "Success"
