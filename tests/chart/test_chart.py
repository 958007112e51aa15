"""The chart as data: what Helm renders, whole where it matters, and what it refuses."""

from __future__ import annotations

import filecmp
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = "helm/headwater"

Objects = dict[tuple[str, str], dict[str, Any]]
Render = Callable[..., Objects]


@pytest.fixture(scope="session")
def render(helm: Callable[..., Any]) -> Render:
    """`render(release="headwater", namespace="headwater-system", **values)`: the objects by kind and name."""

    def template(release: str = "headwater", namespace: str = "headwater-system", **values: Any) -> Objects:
        arguments = ("template", release, CHART, "--namespace", namespace, "--values", "-")
        printed = helm(*arguments, input=json.dumps(values)).stdout
        objects = [manifest for manifest in yaml.safe_load_all(printed) if manifest]
        found = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in objects}
        assert len(found) == len(objects)
        return found

    return template


@pytest.fixture(scope="session")
def objects(render: Render) -> Objects:
    return render()


def deployment(objects: Objects) -> dict[str, Any]:
    return dict(objects["Deployment", "headwater-operator"]["spec"]["template"]["spec"])


def environment(objects: Objects) -> dict[str, Any]:
    (container,) = deployment(objects)["containers"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def rules(role: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Every right of a role: group, resource, verb."""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def rights(group: str, resources: str, verbs: str) -> set[tuple[str, str, str]]:
    return {(group, resource, verb) for resource in resources.split() for verb in verbs.split()}


def test_the_release_is_these_objects(objects: Objects) -> None:
    policies = ("headwater-accounts", "headwater-parameters", "headwater-status")
    assert set(objects) == {
        ("Deployment", "headwater-operator"),
        ("Service", "headwater-operator"),
        ("ServiceAccount", "headwater-operator"),
        ("ServiceAccount", "headwater-runner"),
        *(("ClusterRole", f"headwater-{who}") for who in ("operator", "runner", "flow-runs", "view", "edit")),
        *(("ClusterRoleBinding", f"headwater-{who}") for who in ("operator", "runner")),
        *(("ValidatingAdmissionPolicy", policy) for policy in policies),
        *(("ValidatingAdmissionPolicyBinding", policy) for policy in policies),
    }


def test_every_object_is_labelled_as_the_releases(render: Render) -> None:
    for manifest in render(release="other").values():
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "headwater"
        assert labels["app.kubernetes.io/instance"] == "other"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app.kubernetes.io/component"] in ("operator", "runner", "users", "policies")


def test_a_version_with_build_metadata_makes_labels_that_are_valid(helm: Callable[..., Any], tmp_path: Path) -> None:
    shutil.copytree(ROOT / CHART, tmp_path / "headwater")
    chart = tmp_path / "headwater" / "Chart.yaml"
    chart.write_text(chart.read_text().replace("0.1.0", f"0.1.0+{'abc.' * 20}abc"))
    printed = helm("template", "headwater", str(tmp_path / "headwater"), "--set", "metrics.rules.enabled=true").stdout
    for manifest in filter(None, yaml.safe_load_all(printed)):
        for name, value in manifest["metadata"]["labels"].items():
            assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", value), (name, value)


def test_what_is_said_after_an_installation_can_be_done(helm: Callable[..., Any]) -> None:
    """Helm leaves custom resource definitions alone, so the notes say how they are upgraded, from the chart itself."""
    notes = helm("install", "headwater", CHART, "--dry-run=client", "-n", "data").stdout.partition("NOTES:")[2]
    assert "helm show crds CHART | kubectl apply --server-side --force-conflicts -f -" in notes
    assert "helm upgrade headwater CHART --namespace data --reset-then-reuse-values" in notes
    shown = [crd["metadata"]["name"] for crd in yaml.safe_load_all(helm("show", "crds", CHART).stdout) if crd]
    assert sorted(shown) == [f"{plural}.headwater.dev" for plural in ("flowruns", "flows", "flowversions")]


def test_the_operator_has_exactly_these_rights(objects: Objects) -> None:
    assert rules(objects["ClusterRole", "headwater-operator"]) == (
        rights("headwater.dev", "flows flowversions flowruns", "get list watch")
        | rights("headwater.dev", "flowversions", "create delete")
        | rights("headwater.dev", "flowruns", "create delete")
        | rights("headwater.dev", "flows/status flowversions/status flowruns/status", "patch")
        | rights("headwater.dev", "flows/finalizers flowversions/finalizers flowruns/finalizers", "update")
        | rights("", "pods", "get list watch create delete deletecollection")
        | rights("", "services", "get create delete")
        | rights("", "secrets", "create delete")
        | rights("", "configmaps", "get list watch create delete")
        | rights("", "serviceaccounts", "get create")
        | rights("rbac.authorization.k8s.io", "rolebindings", "create")
        | rights("rbac.authorization.k8s.io", "clusterroles", "bind")
        | rights("", "events", "get create patch")
    )


def test_the_operator_may_bind_one_role_only(objects: Objects) -> None:
    bind = [rule for rule in objects["ClusterRole", "headwater-operator"]["rules"] if "bind" in rule["verbs"]]
    assert [rule["resourceNames"] for rule in bind] == [["headwater-flow-runs"]]
    assert rules(objects["ClusterRole", "headwater-flow-runs"]) == (
        rights("headwater.dev", "flows", "list") | rights("headwater.dev", "flowruns", "create get list watch")
    )


def test_flow_pods_may_only_patch_status(objects: Objects) -> None:
    expected = rights("headwater.dev", "flowruns/status flowversions/status", "patch")
    assert rules(objects["ClusterRole", "headwater-runner"]) == expected
    binding = objects["ClusterRoleBinding", "headwater-runner"]
    assert binding["roleRef"]["name"] == "headwater-runner"
    assert [subject["name"] for subject in binding["subjects"]] == ["system:serviceaccounts"]


def test_people_may_edit_flows_and_runs_but_forge_nothing(objects: Objects) -> None:
    view, edit = objects["ClusterRole", "headwater-view"], objects["ClusterRole", "headwater-edit"]
    assert rules(view) == rights("headwater.dev", "flows flowversions flowruns", "get list watch")
    assert rules(edit) == rights("headwater.dev", "flows flowruns", "create update patch delete deletecollection")

    def extends(role: dict[str, Any]) -> set[str]:
        prefix = "rbac.authorization.k8s.io/aggregate-to-"
        return {label.removeprefix(prefix) for label in role["metadata"]["labels"] if label.startswith(prefix)}

    assert extends(view) == {"view", "edit", "admin"}
    assert extends(edit) == {"edit", "admin"}


def test_no_right_is_a_wildcard(objects: Objects) -> None:
    for (kind, _), manifest in objects.items():
        if kind == "ClusterRole":
            assert not [right for right in rules(manifest) if "*" in right]


def test_the_operators_pod_has_no_more_than_it_needs(objects: Objects) -> None:
    spec = deployment(objects)
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert spec["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
    assert container["resources"] == {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


def test_there_are_never_two_operators(objects: Objects) -> None:
    whole = objects["Deployment", "headwater-operator"]["spec"]
    assert whole["replicas"] == 1
    assert whole["strategy"] == {"type": "Recreate"}
    spec = whole["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == 30
    assert {toleration["key"]: toleration["tolerationSeconds"] for toleration in spec["tolerations"]} == {
        "node.kubernetes.io/not-ready": 15,
        "node.kubernetes.io/unreachable": 15,
    }


def test_the_deployment_finds_its_pod(render: Render) -> None:
    whole = render(release="other")["Deployment", "headwater-operator"]["spec"]
    assert whole["selector"]["matchLabels"].items() <= whole["template"]["metadata"]["labels"].items()


def test_probes_ask_the_operator_itself(objects: Objects) -> None:
    (container,) = deployment(objects)["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}


def test_the_operator_is_told_its_settings(objects: Objects) -> None:
    assert environment(objects) == {
        "HEADWATER_NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}},
        "HEADWATER_OPERATOR_ACCOUNT": "headwater-operator",
        "HEADWATER_FLOW_ACCOUNT": "headwater-runner",
        "HEADWATER_RUNTIME_IMAGE": "headwater/runtime:dev",
        "HEADWATER_IMAGE_PULL_POLICY": "IfNotPresent",
        "HEADWATER_TLS": "true",
        "HEADWATER_KEEP_RUNNER_SECONDS": "3600",
        "HEADWATER_LOG_LEVEL": "INFO",
        "HOME": "/tmp",
    }


def test_every_value_arrives(render: Render) -> None:
    toleration = {"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}
    objects = render(
        images={"operator": "r.example/op:1", "runtime": "r.example/run@sha256:1", "pullPolicy": "Never"},
        operator={
            "logLevel": "debug",
            "resources": {"requests": None, "limits": {"memory": "1Gi", "cpu": 2}},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [toleration],
            "priorityClassName": "high",
        },
        runs={"tls": False, "keepRunnerSeconds": 604800},
        flowAccount="etl-pods",
    )
    spec = deployment(objects)
    (container,) = spec["containers"]
    assert container["image"] == "r.example/op:1"
    assert container["imagePullPolicy"] == "Never"
    assert container["resources"] == {"limits": {"memory": "1Gi", "cpu": 2}}
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["tolerations"][2:] == [toleration]
    assert spec["priorityClassName"] == "high"
    told = environment(objects)
    assert told["HEADWATER_RUNTIME_IMAGE"] == "r.example/run@sha256:1"
    assert told["HEADWATER_IMAGE_PULL_POLICY"] == "Never"
    assert told["HEADWATER_LOG_LEVEL"] == "DEBUG"
    assert told["HEADWATER_TLS"] == "false"
    assert told["HEADWATER_KEEP_RUNNER_SECONDS"] == "604800"
    assert told["HEADWATER_FLOW_ACCOUNT"] == "etl-pods"
    assert ("ServiceAccount", "etl-pods") in objects


def test_policies_mean_the_operator_of_this_release(render: Render) -> None:
    objects = render(release="other", namespace="data")
    held = objects["ValidatingAdmissionPolicy", "headwater-status"]["spec"]
    (condition,) = held["matchConditions"]
    assert condition["expression"] == (
        "request.userInfo.username.startsWith('system:serviceaccount:') "
        "&& request.userInfo.username != 'system:serviceaccount:data:headwater-operator'"
    )
    accounts = objects["ValidatingAdmissionPolicy", "headwater-accounts"]["spec"]
    assert accounts["matchConditions"][0]["expression"] == "request.namespace == 'data'"
    assert accounts["variables"][0] == {"name": "account", "expression": "'headwater-operator'"}
    assert objects["ServiceAccount", "headwater-operator"]["metadata"]["namespace"] == "data"
    (subject,) = objects["ClusterRoleBinding", "headwater-operator"]["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": "headwater-operator", "namespace": "data"}


def test_policies_deny_in_every_namespace_and_when_they_fail(objects: Objects) -> None:
    for (kind, name), manifest in objects.items():
        if kind == "ValidatingAdmissionPolicy":
            assert manifest["spec"]["failurePolicy"] == "Fail"
        if kind == "ValidatingAdmissionPolicyBinding":
            assert manifest["spec"] == {"policyName": name, "validationActions": ["Deny"]}


REFUSED = {
    "a misspelt value": ({"image": {}}, "additional properties 'image' not allowed"),
    "a misspelt nested value": (
        {"runs": {"keepRunner": 5}},
        "at '/runs': additional properties 'keepRunner' not allowed",
    ),
    "an unknown pull policy": (
        {"images": {"pullPolicy": "Sometimes"}},
        "at '/images/pullPolicy': value must be one of",
    ),
    "an empty image": ({"images": {"runtime": ""}}, "at '/images/runtime'"),
    "an image with a blank": ({"images": {"operator": "a b"}}, "at '/images/operator'"),
    "an unknown log level": ({"operator": {"logLevel": "loud"}}, "at '/operator/logLevel': value must be one of"),
    "TLS as a word": ({"runs": {"tls": "yes please"}}, "at '/runs/tls': got string, want boolean"),
    "a negative time": ({"runs": {"keepRunnerSeconds": -1}}, "at '/runs/keepRunnerSeconds': minimum"),
    "half a second": ({"runs": {"keepRunnerSeconds": 0.5}}, "at '/runs/keepRunnerSeconds': got number, want integer"),
    "an amount as a list": (
        {"operator": {"resources": {"limits": {"cpu": [1]}}}},
        "at '/operator/resources/limits/cpu'",
    ),
    "tolerations as a map": ({"operator": {"tolerations": {}}}, "at '/operator/tolerations': got object, want array"),
    "an interval without a unit": (
        {"metrics": {"serviceMonitor": {"interval": "30"}}},
        "at '/metrics/serviceMonitor/interval'",
    ),
    "a switch as a word": (
        {"metrics": {"dashboard": {"enabled": "on"}}},
        "at '/metrics/dashboard/enabled': got string, want boolean",
    ),
    "an account in capitals": ({"flowAccount": "Runner"}, "at '/flowAccount'"),
    "the operator's account": ({"flowAccount": "headwater-operator"}, "at '/flowAccount': 'not' failed"),
}


@pytest.mark.parametrize(("values", "words"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_value_is_refused_by_name(helm: Callable[..., Any], values: dict[str, Any], words: str) -> None:
    answer = helm("template", "headwater", CHART, "--values", "-", input=json.dumps(values), check=False)
    assert answer.returncode != 0
    assert words in answer.stderr


def test_helm_finds_nothing_to_mend(helm: Callable[..., Any]) -> None:
    printed = helm("lint", "--strict", CHART).stdout
    assert "WARNING" not in printed
    assert "0 chart(s) failed" in printed


def test_the_chart_brings_the_resources_as_they_are() -> None:
    """To mend: cp crds/*.yaml helm/headwater/crds/"""
    originals = {path.name for path in (ROOT / "crds").iterdir()}
    assert {path.name for path in (ROOT / CHART / "crds").iterdir()} == originals
    same, differing, errors = filecmp.cmpfiles(ROOT / "crds", ROOT / CHART / "crds", originals, shallow=False)
    assert (set(same), differing, errors) == (originals, [], [])


def test_the_chart_is_of_the_packages_version() -> None:
    chart = yaml.safe_load((ROOT / CHART / "Chart.yaml").read_text())
    assert f'version = "{chart["version"]}"' in (ROOT / "pyproject.toml").read_text()
    assert chart["appVersion"] == chart["version"]
