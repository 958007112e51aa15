"""Talk to the API server in plain HTTP: hundreds of questions in a few seconds, as an admin or with any token.

Tests of the resources write every part of a status themselves, so nobody else may: the operator is away.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

API = "apis/headwater.dev/v1alpha1"


@dataclass(frozen=True)
class Answer:
    code: int
    body: dict[str, Any]

    @property
    def refusal(self) -> str:
        """Why not; empty when the API server did as asked."""
        return "" if self.code < 300 else str(self.body.get("message"))


@pytest.fixture(scope="session")
def admin_url(environment: dict[str, str], kubectl: Any) -> Iterator[str]:
    """The API server behind a proxy that knows the kubeconfig's credentials, whatever their kind."""
    command = ["kubectl", "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as proxy:
        assert proxy.stdout is not None
        said = proxy.stdout.readline()
        found = re.search(r"127\.0\.0\.1:\d+", said)
        assert found is not None, said
        yield f"http://{found[0]}"
        proxy.terminate()


@pytest.fixture(scope="session")
def ask(kubectl: Callable[..., Any], admin_url: str) -> Callable[..., Answer]:
    """`ask(method, path, body=None, form=..., token=None)`: with a token as its bearer, else as the admin."""
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json").stdout)
    cluster = config["clusters"][0]["cluster"]
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())

    def send(
        method: str, path: str, body: Any = None, form: str = "merge-patch+json", token: str | None = None
    ) -> Answer:
        headers = {"Content-Type": f"application/{form if method == 'PATCH' else 'json'}"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(
            f"{admin_url if token is None else cluster['server']}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers=headers,
        )
        try:
            with urllib.request.urlopen(request, context=tls, timeout=10) as answer:
                return Answer(answer.status, json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.loads(error.read()))

    return send


@pytest.fixture(scope="session")
def path() -> Callable[..., str]:
    """`path(made, subresource="")`: where an object of ours is."""

    def of(made: dict[str, Any], subresource: str = "") -> str:
        metadata = made["metadata"]
        return f"{API}/namespaces/{metadata['namespace']}/{made['kind'].lower()}s/{metadata['name']}{subresource}"

    return of


@pytest.fixture(scope="session")
def admit(ask: Callable[..., Answer]) -> Callable[..., Answer]:
    """`admit(kind, name, namespace, spec)`: what the API server says to such an object, as kubectl would send it."""

    def create(kind: str, name: str, namespace: str, spec: Any, dry_run: bool = True) -> Answer:
        manifest = {
            "apiVersion": "headwater.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
        query = "fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
        return ask("POST", f"{API}/namespaces/{namespace}/{kind.lower()}s?{query}", manifest)

    return create


@pytest.fixture(scope="session")
def create(admit: Callable[..., Answer]) -> Callable[..., dict[str, Any]]:
    """`create(kind, name, namespace, spec)`: make an object and return it."""

    def make(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
        answer = admit(kind, name, namespace, spec, dry_run=False)
        assert answer.refusal == ""
        return answer.body

    return make


@pytest.fixture(scope="session")
def patch(ask: Callable[..., Answer], path: Callable[..., str]) -> Callable[..., Answer]:
    """`patch(made, body, subresource="", token=None)`: a merge patch, or for a list a JSON patch."""

    def change(made: dict[str, Any], body: Any, subresource: str = "", token: str | None = None) -> Answer:
        form = "json-patch+json" if isinstance(body, list) else "merge-patch+json"
        return ask("PATCH", path(made, subresource), body, form, token)

    return change


@pytest.fixture(scope="module")
def alone(kubectl: Callable[..., Any], installed: str) -> Iterator[None]:
    """The operator is away."""
    operator = ("-n", installed, "deployment/headwater-operator")
    pods = ("-n", installed, "pod", "-l", "app.kubernetes.io/component=operator")
    kubectl("scale", *operator, "--replicas=0")
    kubectl("wait", *pods, "--for=delete", "--timeout=60s")
    yield
    kubectl("scale", *operator, "--replicas=1")
