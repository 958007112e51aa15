"""The commands about runs under way, against a cluster that is a dictionary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from headwater.cli import control
from headwater.cli.known import slug_of, stored_nothing, why_useless
from headwater.cli.main import app
from headwater.core.errors import ClusterError
from headwater.kubernetes.client import UnfitError

GRAPH = [{"name": "load", "slug": "load-1"}, {"name": "go-1", "slug": "go-1"}, {"name": "go-2", "slug": "go-2"}]
MAPPED = {"total": 3, "success": 1, "paused": 1, "pending": 1}


def run(*tasks: dict[str, Any], state: str = "Running", **spec: Any) -> dict[str, Any]:
    status = "Unknown" if state == "Running" else "False"
    condition = {"type": "Succeeded", "status": status, "reason": state, "message": ""}
    return {
        "metadata": {"name": "etl-1", "generation": 1},
        "spec": {"flow": "etl", **spec},
        "status": {"version": {"name": "etl-v1", "number": 1}, "conditions": [condition], "tasks": list(tasks)},
    }


class FakeCluster:
    """What `Cluster` does, for one run of a flow with the tasks of GRAPH."""

    namespace = "sales"

    def __init__(self, manifest: dict[str, Any]) -> None:
        self.run = manifest
        self.version: dict[str, Any] | None = {"status": {"graph": {"tasks": GRAPH}}}
        self.made: list[dict[str, Any]] = []
        self.taken: Callable[[str], bool] = lambda name: False
        self.patches: list[Any] = []
        self.meanwhile: list[Callable[[], None]] = []

    def get(self, plural: str, name: str) -> dict[str, Any]:
        assert plural == "flowruns", "a version may be deleted"
        return {**self.run, "metadata": dict(self.run["metadata"]), "spec": dict(self.run["spec"])}

    def find(self, plural: str, name: str) -> dict[str, Any] | None:
        return self.version

    def create(self, plural: str, manifest: dict[str, Any]) -> bool:
        self.made.append(manifest)
        return not self.taken(manifest["metadata"]["name"])

    def patch(self, plural: str, name: str, body: Any) -> dict[str, Any]:
        if self.meanwhile:
            self.meanwhile.pop(0)()
            raise UnfitError("422 the server rejected our request")
        self.patches.append(body)
        return self.run


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that gives a command to the cluster: it returns the exit code and what was said."""

    def give(cluster: FakeCluster, *words: str) -> tuple[int, str]:
        monkeypatch.setattr(control, "Cluster", lambda namespace, context: cluster)
        done = CliRunner().invoke(app, list(words), env={"COLUMNS": "500"})
        error = done.exception if not isinstance(done.exception, SystemExit) else None
        return (2 if error else done.exit_code), done.output + str(error or "")

    return give


def test_two_answers_at_the_same_time_both_count(command: Any) -> None:
    cluster = FakeCluster(run())

    def other() -> None:
        cluster.run["metadata"]["generation"] = 2
        cluster.run["spec"]["decisions"] = [{"task": "go-1", "decision": "Approve"}]

    cluster.meanwhile = [other]
    code, words = command(cluster, "approve", "etl-1", "load", "-n", "sales")
    assert code == 0, words
    assert "`headwater watch etl-1 -n sales` follows it" in words
    entry = {"task": "load-1", "decision": "Approve"}
    assert cluster.patches == [[{"op": "add", "path": "/spec/decisions/-", "value": entry}]]
    cluster.meanwhile = [lambda: None]
    code, words = command(cluster, "approve", "etl-1", "load")
    assert code == 2, "nobody has changed it: it is this entry that does not fit"


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (("approve", "etl-1", "load"), 'FlowRun "etl-1": "load-1" has ended as Skipped already.'),
        (("mark", "etl-1", "go-1", "Success"), 'FlowRun "etl-1": "go-1" has 3 children: name one with --index.'),
        (("approve", "etl-1", "go-1", "--index", "3"), '"go-1" has 3 children, counted from 0, and no 3.'),
    ],
)
def test_what_leads_nowhere_is_refused(command: Any, words: tuple[str, ...], refusal: str) -> None:
    cluster = FakeCluster(run({"name": "load", "state": "Skipped"}, {"name": "go-1", "state": "M", "mapped": MAPPED}))
    code, said = command(cluster, *words)
    assert code == 2
    assert refusal in said
    assert cluster.patches == []


def test_a_run_whose_version_is_deleted_is_answered_too(command: Any) -> None:
    cluster = FakeCluster(run({"name": "go", "slug": "go-7", "state": "Paused"}))
    cluster.version = None
    assert command(cluster, "approve", "etl-1", "go")[0] == 0
    assert cluster.patches[0][1]["value"] == [{"task": "go-7", "decision": "Approve"}]
    code, said = command(cluster, "approve", "etl-1", "goo")
    assert (code, 'The flow has no task "goo"; its tasks are go-7.' in said) == (2, True)


def test_a_restart_names_tasks_by_their_slugs(command: Any) -> None:
    cluster = FakeCluster(run({"name": "load", "state": "Success"}, state="Failed"))
    code, said = command(cluster, "restart", "etl-1", "--from", "load", "--mark", "go-2=Skipped", "-n", "sales")
    assert code == 0, said
    spec = cluster.made[0]["spec"]
    assert spec["resumeFrom"] == {"run": "etl-1", "tasks": ["load-1"]}
    assert spec["decisions"] == [{"task": "go-2", "decision": "Skipped"}]
    assert 'the status of "etl-1" tells of no stored result' in said
    assert 'FlowRun "etl-1-r2" goes on where "etl-1" ended; `headwater watch etl-1-r2 -n sales` follows it' in said


def test_a_restart_finds_a_free_name_or_says_that_there_is_none(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MOST_RESTARTS", 5)
    cluster = FakeCluster(run(state="Failed"))
    cluster.taken = lambda name: name != "etl-1-r4"
    assert command(cluster, "restart", "etl-1")[0] == 0
    cluster.taken = lambda name: True
    code, said = command(cluster, "restart", "etl-1")
    assert (code, 'There is a FlowRun "etl-1-r4" in namespace "sales" already; give a --name.' in said) == (2, True)


def test_a_task_is_called_by_its_name_where_only_one_has_it() -> None:
    version = {"status": {"graph": {"tasks": GRAPH}}}
    assert slug_of(run(), version, "load") == "load-1"
    assert slug_of(run(), version, "go-2") == "go-2"
    assert slug_of(run(), None, "whatever") == "whatever", "the run itself will tell"
    with pytest.raises(ClusterError, match="its tasks are go-1, go-2, load-1"):
        slug_of(run(), version, "go")


def test_what_may_lead_somewhere_is_not_refused() -> None:
    manifest = run({"name": "load", "state": "Paused"}, {"name": "go-1", "state": "Running", "mapped": MAPPED})
    for slug, decision, index in (("load-1", "Approve", None), ("go-1", "Approve", None), ("go-1", "Success", 2)):
        assert why_useless(manifest, slug, decision, index) == ""
    assert why_useless(manifest, "far-away-1", "Approve", None) == ""
    ended = run({"name": "go-1", "state": "Mapped", "mapped": {"total": 3, "success": 3, "paused": 0}})
    assert why_useless(ended, "go-1", "Approve", None) == 'all children of "go-1" have ended already'


def test_whether_anything_was_stored() -> None:
    assert not stored_nothing(run({"name": "load", "state": "Failed"})), "there was nothing to store"
    assert stored_nothing(run({"name": "load", "state": "Success"}))
    assert not stored_nothing(run({"name": "load", "state": "Success", "result": {"url": "s3://b/x"}}))
