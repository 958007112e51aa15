"""Who may write what: the admission policies and roles of the chart, tried with tokens bound to real pods."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("alone")]

NOW = "2026-11-22T22:00:00Z"
STATUS = "/status"
NOT_ITS_OWN = "may write the status of its own object only"

# What the fixtures of conftest.py give.
Ask = Callable[..., Any]
Made = dict[str, Any]
Make = Callable[..., Made]


@dataclass(frozen=True)
class Pod:
    """A pod that exists but never runs, and a token bound to it."""

    name: str
    uid: str
    namespace: str
    token: str = ""

    def attempt(self) -> dict[str, Any]:
        return {"podName": self.name, "podUID": self.uid}


@pytest.fixture(scope="module")
def home(kubectl: Ask, module_namespace: str) -> str:
    """The namespace of the tests, with an account that a flow might name."""
    kubectl("create", "serviceaccount", "flows", "-n", module_namespace)
    return module_namespace


@pytest.fixture(scope="module")
def make_pod(kubectl: Ask, ask: Ask, home: str) -> Callable[[str], Pod]:
    def make(name: str) -> Pod:
        spec = {
            "serviceAccountName": "flows",
            "automountServiceAccountToken": False,
            "schedulingGates": [{"name": "headwater.dev/never"}],
            "containers": [{"name": "flow", "image": "none"}],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        uid = ask("POST", f"api/v1/namespaces/{home}/pods", pod).body["metadata"]["uid"]
        bound = ("--bound-object-kind=Pod", f"--bound-object-name={name}", f"--bound-object-uid={uid}")
        return Pod(name, uid, home, kubectl("create", "token", "flows", "-n", home, *bound).stdout.strip())

    return make


@pytest.fixture(scope="module")
def pod(make_pod: Callable[[str], Pod]) -> Pod:
    return make_pod("runner")


def condition(type: str, status: str, reason: str) -> dict[str, str]:
    return {"type": type, "status": status, "reason": reason, "message": "", "lastTransitionTime": NOW}


@pytest.fixture(scope="module")
def make_run(create: Make, patch: Ask) -> Make:
    """A run as the operator leaves it once its runner is made."""

    def make(name: str, pod: Pod, namespace: str | None = None, **status: Any) -> Made:
        run = create("FlowRun", name, namespace or pod.namespace, {"flow": "etl"})
        whole = {
            "observedGeneration": 1,
            "version": {"name": "etl-v1", "number": 1},
            "attempt": {"number": 1, **pod.attempt()},
            "timeline": {"createdAt": NOW, "admittedAt": NOW},
            "startedAt": NOW,
            **status,
        }
        assert patch(run, {"status": whole}, STATUS).refusal == ""
        return run

    return make


@pytest.fixture(scope="module")
def run(make_run: Make, pod: Pod) -> Made:
    return make_run("own", pod)


@pytest.fixture(scope="module")
def make_version(create: Make, patch: Ask) -> Make:
    """A version as the operator leaves it once its inspection pod is made."""

    def make(number: int, pod: Pod, **status: Any) -> Made:
        spec = {"flow": "etl", "number": number, "image": "acme/etl:1", "entrypoint": "etl:flow"}
        version = create("FlowVersion", f"etl-v{number}", pod.namespace, spec)
        assert patch(version, {"status": {"attempt": pod.attempt(), **status}}, STATUS).refusal == ""
        return version

    return make


@pytest.fixture(scope="module")
def report(patch: Ask) -> Ask:
    """`report(made, token, status)`: write to an object's status the way a flow's pod does."""
    return lambda made, token, status: patch(made, {"status": status}, STATUS, token)


def forbidden(answer: Any, words: str) -> bool:
    assert answer.code == 403, answer
    assert words in answer.refusal
    return True


REPORT = {
    "tasks": [{"name": "a", "state": "Running", "startedAt": NOW, "runs": 1}],
    "progress": {"text": "0/1", "total": 1, "running": 1},
    "timeline": {"firstTaskAt": NOW},
    "report": {"state": "Success", "message": "done", "finishedAt": NOW},
}


def test_a_runner_writes_its_fields_of_its_own_run(report: Ask, run: Made, pod: Pod) -> None:
    answer = report(run, pod.token, REPORT)
    assert answer.refusal == ""
    assert answer.body["status"] == {
        **REPORT,
        "conditions": answer.body["status"]["conditions"],
        "observedGeneration": 1,
        "version": {"name": "etl-v1", "number": 1},
        "attempt": {"number": 1, **pod.attempt()},
        "timeline": {"createdAt": NOW, "admittedAt": NOW, "firstTaskAt": NOW},
        "startedAt": NOW,
    }


def test_a_runner_may_take_its_fields_back(report: Ask, make_run: Make, pod: Pod) -> None:
    mine = make_run("back", pod)
    assert report(mine, pod.token, REPORT).refusal == ""
    gone = {"tasks": None, "progress": None, "report": None, "timeline": {"firstTaskAt": None}}
    assert report(mine, pod.token, gone).refusal == ""


@pytest.mark.parametrize(
    "status",
    [
        {"conditions": []},
        {"conditions": None},
        {"conditions": [condition("Succeeded", "True", "Success")]},
        {"attempt": {"podUID": "other"}},
        {"attempt": {"number": 2}},
        {"attempt": None},
        {"version": {"number": 2}},
        {"version": None},
        {"startedAt": "2020-01-01T00:00:00Z"},
        {"startedAt": None},
        {"finishedAt": NOW},
        {"observedGeneration": 7},
    ],
    ids=str,
)
def test_a_runner_may_not_write_the_operators_fields(report: Ask, run: Made, pod: Pod, status: dict[str, Any]) -> None:
    words = "a pod may write only status.tasks, status.progress, status.report, status.timeline"
    assert forbidden(report(run, pod.token, {**REPORT, **status}), words)


@pytest.mark.parametrize(
    "timeline",
    [None, {"createdAt": "2020-01-01T00:00:00Z"}, {"admittedAt": None}, {"runnerStartedAt": NOW}, {"finishedAt": NOW}],
    ids=str,
)
def test_a_runner_may_write_one_moment_of_the_timeline(report: Ask, run: Made, pod: Pod, timeline: Any) -> None:
    answer = report(run, pod.token, {"timeline": timeline})
    assert forbidden(answer, "of status.timeline a pod may write firstTaskAt only")


def test_a_runner_may_not_take_the_status_away(patch: Ask, run: Made, pod: Pod) -> None:
    for body in (
        {"status": None},
        [{"op": "remove", "path": "/status"}],
        [{"op": "remove", "path": "/status/conditions"}],
    ):
        assert forbidden(patch(run, body, STATUS, pod.token), "a pod may write only status.tasks")


def test_an_apply_is_held_like_a_patch(ask: Ask, path: Callable[..., str], run: Made, pod: Pod) -> None:
    applied = {
        "apiVersion": run["apiVersion"],
        "kind": "FlowRun",
        "metadata": {"name": run["metadata"]["name"]},
        "status": {"conditions": [condition("Succeeded", "True", "Success")]},
    }
    where = f"{path(run, STATUS)}?fieldManager=runner&force=true"
    assert forbidden(ask("PATCH", where, applied, "apply-patch+yaml", pod.token), "a pod may write only status.tasks")


def test_through_the_status_nothing_else_changes(patch: Ask, make_run: Make, pod: Pod) -> None:
    mine = make_run("whole", pod)
    body = {
        "metadata": {"labels": {"a": "b"}, "finalizers": ["headwater.dev/x"]},
        "spec": {"flow": "other"},
        "status": {"progress": {"text": "1/1"}},
    }
    stored = patch(mine, body, STATUS, pod.token).body
    assert stored["status"]["progress"] == {"text": "1/1"}
    assert stored["spec"] == mine["spec"]
    assert not {"labels", "finalizers"} & set(stored["metadata"])


def test_a_runner_may_not_write_to_another_run(
    report: Ask, make_run: Make, make_pod: Callable[[str], Pod], pod: Pod
) -> None:
    theirs = make_run("theirs", make_pod("other"))
    words = f"pod {pod.name} {NOT_ITS_OWN}, not that of theirs"
    assert forbidden(report(theirs, pod.token, REPORT), words)


def test_a_pod_is_known_by_its_name_and_its_uid(report: Ask, make_run: Make, pod: Pod) -> None:
    for name, other in (
        ("earlier", Pod(pod.name, "00000000-0000-0000-0000-000000000000", pod.namespace)),
        ("renamed", Pod("other", pod.uid, pod.namespace)),
    ):
        assert forbidden(report(make_run(name, other), pod.token, REPORT), NOT_ITS_OWN)


def test_a_pod_writes_in_its_own_namespace_only(
    report: Ask, ask: Ask, path: Callable[..., str], make_run: Make, pod: Pod
) -> None:
    abroad = make_run(f"abroad-{pod.namespace}", pod, namespace="default")
    answer = report(abroad, pod.token, REPORT)
    ask("DELETE", path(abroad))
    assert forbidden(answer, NOT_ITS_OWN)


def test_before_its_pod_is_named_nobody_reports(report: Ask, patch: Ask, create: Make, pod: Pod) -> None:
    fresh = create("FlowRun", "unnamed", pod.namespace, {"flow": "etl"})
    assert forbidden(report(fresh, pod.token, REPORT), NOT_ITS_OWN)
    assert patch(fresh, {"status": {"attempt": {"number": 1, "podName": pod.name}}}, STATUS).refusal == ""
    assert forbidden(report(fresh, pod.token, REPORT), NOT_ITS_OWN)


def test_a_token_without_a_pod_writes_no_status(report: Ask, kubectl: Ask, run: Made, home: str) -> None:
    token = kubectl("create", "token", "flows", "-n", home).stdout.strip()
    assert forbidden(report(run, token, REPORT), "a status is written with the token of a pod only")


@pytest.mark.parametrize(("type", "status"), [("Succeeded", "False"), ("Succeeded", "True"), ("Finished", "True")])
def test_after_its_end_a_run_stays(report: Ask, make_run: Make, pod: Pod, type: str, status: str) -> None:
    over = make_run(f"over-{type}-{status}".lower(), pod, conditions=[condition(type, status, "Over")])
    assert forbidden(report(over, pod.token, REPORT), "the run is finished; its status stays")


FOUND = {
    "graph": {"counts": {"tasks": 1, "edges": 0}, "tasks": [{"name": "a", "slug": "a-1", "upstream": []}]},
    "parametersSchema": {"type": "object", "properties": {"n": {"default": 1}}},
    "runtime": {"python": "3.13.1"},
    "error": {"message": "m", "traceback": "t"},
}


def test_an_inspection_writes_what_it_found(report: Ask, make_version: Make, pod: Pod) -> None:
    version = make_version(1, pod)
    answer = report(version, pod.token, FOUND)
    assert answer.refusal == ""
    assert {field: answer.body["status"][field] for field in FOUND} == FOUND
    for status in (
        {"image": "acme/etl@sha256:" + "1" * 64},
        {"attempt": {"podUID": "x"}},
        {"conditions": [condition("Ready", "True", "Inspected")]},
        {"observedGeneration": 3},
    ):
        words = "a pod may write only status.graph, status.parametersSchema, status.runtime, status.error"
        assert forbidden(report(version, pod.token, status), words)


def test_a_runner_may_not_write_to_the_version_it_runs(
    report: Ask, make_version: Make, make_pod: Callable[[str], Pod], pod: Pod
) -> None:
    version = make_version(2, make_pod("etl-v2-inspect"))
    assert forbidden(report(version, pod.token, FOUND), NOT_ITS_OWN)


VERDICTS = {
    3: [condition("Ready", "True", "Inspected")],
    4: [condition("Ready", "False", "InspectionFailed"), condition("Stalled", "True", "InspectionFailed")],
}
NO_VERDICTS = {
    5: [condition("Ready", "False", "ImagePullBackOff"), condition("Stalled", "True", "ImagePullBackOff")],
    6: [condition("Ready", "Unknown", "Inspecting"), condition("Reconciling", "True", "Inspecting")],
}


@pytest.mark.parametrize("number", VERDICTS)
def test_after_the_verdict_a_version_stays(report: Ask, make_version: Make, pod: Pod, number: int) -> None:
    version = make_version(number, pod, conditions=VERDICTS[number])
    assert forbidden(report(version, pod.token, FOUND), "the version is inspected; its status stays")


@pytest.mark.parametrize("number", NO_VERDICTS)
def test_until_the_verdict_an_inspection_may_write(report: Ask, make_version: Make, pod: Pod, number: int) -> None:
    """An image that could not be pulled may still come."""
    version = make_version(number, pod, conditions=NO_VERDICTS[number])
    assert report(version, pod.token, FOUND).refusal == ""


def test_flow_pods_have_no_other_right(ask: Ask, path: Callable[..., str], run: Made, pod: Pod) -> None:
    runs = path(run).rpartition("/")[0]
    for method, where, body in (
        ("GET", path(run), None),
        ("GET", path(run, STATUS), None),
        ("GET", runs, None),
        ("PUT", path(run, STATUS), run),
        ("PATCH", path(run), {"metadata": {"labels": {"a": "b"}}}),
        ("DELETE", path(run), None),
        ("PATCH", runs.replace("flowruns", "flows/etl/status"), {"status": {}}),
    ):
        answer = ask(method, where, body, token=pod.token)
        assert forbidden(answer, "cannot "), (method, where)


def test_the_operator_writes_all_of_a_status_and_nothing_else(
    kubectl: Ask, ask: Ask, patch: Ask, make_run: Make, pod: Pod, installed: str
) -> None:
    token = kubectl("create", "token", "headwater-operator", "-n", installed).stdout.strip()
    governed = make_run("governed", pod)
    ended = [condition("Succeeded", "True", "Success"), condition("Finished", "True", "Success")]
    assert patch(governed, {"status": {"conditions": ended, "finishedAt": NOW}}, STATUS, token).refusal == ""
    assert forbidden(patch(governed, {"metadata": {"labels": {"a": "b"}}}, "", token), "cannot patch resource")
    # It looks for ConfigMaps with limits and claims, and makes some, but changes none.
    config_map = f"api/v1/namespaces/{pod.namespace}/configmaps/kube-root-ca.crt"
    assert forbidden(ask("PATCH", config_map, {"data": {"a": "b"}}, token=token), 'cannot patch resource "configmaps"')
    for resource in ("secrets", "serviceaccounts", "pods/log"):
        place = "pods/runner/log" if resource == "pods/log" else resource
        answer = ask("GET", f"api/v1/namespaces/{pod.namespace}/{place}", token=token)
        assert forbidden(answer, f'resource "{resource}"')


def test_an_account_of_the_operators_name_elsewhere_is_held(kubectl: Ask, report: Ask, run: Made, home: str) -> None:
    kubectl("create", "serviceaccount", "headwater-operator", "-n", home)
    token = kubectl("create", "token", "headwater-operator", "-n", home).stdout.strip()
    answer = report(run, token, {"conditions": [condition("Succeeded", "True", "Success")]})
    assert forbidden(answer, "a status is written with the token of a pod only")


@pytest.fixture(scope="module")
def allowed(kubectl: Ask, ask: Ask, home: str) -> Callable[[str, str, str], bool]:
    """Ask what ada, who has the cluster's role edit in the namespace, and vic, who has view, may do there."""
    for user, role in (("ada", "edit"), ("vic", "view")):
        kubectl("create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}", "-n", home)

    def may(user: str, verb: str, resource: str) -> bool:
        plural, _, subresource = resource.partition("/")
        place = {"namespace": home, "group": "headwater.dev", "resource": plural, "subresource": subresource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": {"verb": verb, **place}},
        }
        answer = ask("POST", "apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool(answer.body["status"]["allowed"])

    deadline = time.monotonic() + 30
    while not (may("ada", "create", "flows") and may("vic", "get", "flows")):
        assert time.monotonic() < deadline, "the cluster's roles were not extended"
        time.sleep(0.2)
    return may


@pytest.mark.parametrize(
    ("user", "verb", "resource", "expected"),
    [
        ("vic", "watch", "flowruns", True),
        ("vic", "get", "flowversions", True),
        ("vic", "create", "flowruns", False),
        ("ada", "list", "flows", True),
        ("ada", "create", "flowruns", True),
        ("ada", "deletecollection", "flowruns", True),
        ("ada", "patch", "flowruns/status", False),
        ("ada", "patch", "flowversions/status", False),
        ("ada", "update", "flows/status", False),
        ("ada", "create", "flowversions", False),
        ("ada", "delete", "flowversions", False),
    ],
)
def test_people_have_the_rights_of_the_clusters_roles(
    allowed: Callable[[str, str, str], bool], user: str, verb: str, resource: str, expected: bool
) -> None:
    assert allowed(user, verb, resource) == expected


def _template(part: str, field: str) -> dict[str, Any]:
    return {"execution": {part: {"podTemplate": {"spec": {field: "headwater-operator"}}}}}


OPERATORS = [
    {"serviceAccountName": "headwater-operator"},
    _template("runner", "serviceAccountName"),
    _template("worker", "serviceAccountName"),
    # Kubernetes still takes the field's old name.
    _template("runner", "serviceAccount"),
    _template("worker", "serviceAccount"),
]
FLOW = {"image": "acme/etl:1", "entrypoint": "etl:flow"}


@pytest.mark.parametrize("spec", OPERATORS, ids=str)
def test_no_flow_runs_as_the_operator(admit: Ask, installed: str, spec: dict[str, Any]) -> None:
    for kind, whole in (("Flow", {**FLOW, **spec}), ("FlowVersion", {**FLOW, **spec, "flow": "a", "number": 1})):
        assert forbidden(admit(kind, "a-v1", installed, whole), "the operator's account")
        # In another namespace that is another account.
        assert admit(kind, "a-v1", "default", whole).refusal == ""


def test_a_flow_may_not_come_to_run_as_the_operator(
    create: Make, patch: Ask, ask: Ask, path: Callable[..., str], installed: str
) -> None:
    flow = create("Flow", "account-test", installed, FLOW)
    refused = patch(flow, {"spec": {"serviceAccountName": "headwater-operator"}})
    ask("DELETE", path(flow))
    assert forbidden(refused, "the operator's account")


def test_other_accounts_are_free(admit: Ask, installed: str) -> None:
    execution = {"runner": {"podTemplate": {"spec": {"serviceAccountName": "etl"}}}, "worker": {"podTemplate": {}}}
    spec = {**FLOW, "serviceAccountName": "headwater-runner", "execution": execution}
    assert admit("Flow", "a", installed, spec).refusal == ""


def test_the_operators_pod_meets_the_strictest_standard(kubectl: Ask, ask: Ask, namespace: str, installed: str) -> None:
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    kubectl("create", "serviceaccount", "headwater-operator", "-n", namespace)
    deployment = ask("GET", f"apis/apps/v1/namespaces/{installed}/deployments/headwater-operator").body
    pod = {"apiVersion": "v1", "kind": "Pod", **deployment["spec"]["template"]}
    pod["metadata"]["name"] = "operator"
    pods = f"api/v1/namespaces/{namespace}/pods?dryRun=All"
    assert ask("POST", pods, pod).refusal == ""
    del pod["spec"]["containers"][0]["securityContext"]["capabilities"]
    assert forbidden(ask("POST", pods, pod), 'violates PodSecurity "restricted')
