"""Secrets of Kubernetes in the tasks of a FlowRun: as variables and as files."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.cluster


def secrets(variable: bool) -> dict[str, Any]:
    """What a pod is given, as docs/tasks.md shows it."""
    if variable:
        source = {"secretKeyRef": {"name": "database", "key": "db-password"}}
        return {"env": [{"name": "HEADWATER_SECRET_DB_PASSWORD", "valueFrom": source}]}
    mount = {"name": "secrets", "mountPath": "/var/run/headwater/secrets", "readOnly": True}
    spec = {
        "volumes": [{"name": "secrets", "secret": {"secretName": "database", "defaultMode": 0o440}}],
        "containers": [{"name": "flow", "volumeMounts": [mount]}],
    }
    return {"podTemplate": {"spec": spec}}


@pytest.mark.parametrize("variable", [True, False], ids=["variable", "file"])
def test_a_task_finds_a_secret_of_its_pod_and_nobody_sees_it(project: Any, variable: bool) -> None:
    project.kubectl("create", "secret", "generic", "database", "--from-literal=db-password=hunter2")
    code = """
        from headwater import Flow, task
        from headwater.tasks.secrets import Secret, SecretTask

        @task
        def connect(password):
            assert password == Secret("db-password").get() == "hunter2"

        with Flow("secret") as flow:
            connect(SecretTask("db-password")())
            SecretTask("nobody")()
    """
    project.flow("secret", code, execution={"workers": 1, "worker": secrets(variable)})
    project.run("one", "secret")
    run = project.finish("one")
    tasks = {entry["name"]: entry for entry in run["status"]["tasks"]}
    assert tasks["connect"]["state"] == "Success"
    assert tasks["db-password"]["state"] == "Success"
    assert 'Secret "nobody" was not found' in tasks["nobody"]["message"]
    everything = str(run) + project.kubectl("logs", run["status"]["attempt"]["podName"]).stdout
    assert "hunter2" not in everything
