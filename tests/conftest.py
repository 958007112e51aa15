"""What tests of several folders share: a cluster to talk to, and Headwater installed in it.

Tests marked `cluster` use the cluster of KUBECONFIG, else the one that `scripts/cluster` knows, else the
local node. Where none answers they are skipped at a desk and fail in CI.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
LOCAL_NODE = Path("/var/lib/localnode/kubeconfig")
SYSTEM_NAMESPACE = "headwater-system"

Run = Callable[..., subprocess.CompletedProcess[str]]


def _required() -> bool:
    return bool(os.environ.get("CI") or os.environ.get("HEADWATER_REQUIRE_CLUSTER"))


def _absent(why: str) -> None:
    """Nothing may pass in CI because it was not looked at."""
    if _required():
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment of commands that talk to the cluster: KUBECONFIG, and PATH with kubectl and helm."""
    found = dict(os.environ)
    script = ROOT / "scripts" / "cluster"
    if script.exists():
        printed = subprocess.run([script, "kubeconfig"], capture_output=True, text=True, check=False).stdout
        for word in shlex.split(printed, comments=True):
            name, equals, value = word.partition("=")
            if equals and name in ("KUBECONFIG", "PATH"):
                found[name] = os.path.expandvars(value)
    if os.environ.get("KUBECONFIG"):
        found["KUBECONFIG"] = os.environ["KUBECONFIG"]
    found.setdefault("KUBECONFIG", str(LOCAL_NODE))
    cache = Path(os.environ.get("HEADWATER_CACHE", Path.home() / ".cache" / "headwater"))
    built = sorted(cache.glob("localnode/*/helm"), key=lambda path: path.stat().st_mtime, reverse=True)
    found["PATH"] = os.pathsep.join([found["PATH"], *(str(path.parent) for path in built)])
    return found


def _command(name: str, environment: dict[str, str]) -> Run:
    program = shutil.which(name, path=environment["PATH"])
    if program is None:
        _absent(f"{name} is not on the PATH, nor is the local node built, which brings it")

    def run(*args: str, input: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [str(program), *args], input=input, capture_output=True, text=True, env=environment, cwd=ROOT, check=False
        )
        if check and result.returncode != 0:
            pytest.fail(f"{name} {shlex.join(args)} exited {result.returncode}:\n{result.stdout}{result.stderr}")
        return result

    return run


@pytest.fixture(scope="session")
def helm(environment: dict[str, str]) -> Run:
    """`helm(*args, input=None, check=True)`; rendering a chart needs no cluster."""
    return _command("helm", environment)


@pytest.fixture(scope="session")
def kubectl(environment: dict[str, str]) -> Run:
    """`kubectl(*args, input=None, check=True)` on a cluster that answers."""
    run = _command("kubectl", environment)
    answer = run("get", "--raw", "/readyz", "--request-timeout=5s", check=False)
    if answer.returncode != 0:
        _absent(f"no cluster answers at {environment['KUBECONFIG']}: {answer.stderr.strip()}")
    return run


@pytest.fixture(scope="session")
def installed(kubectl: Run, helm: Run) -> str:
    """Install this tree's CRDs and chart; return the operator's namespace."""
    # Helm makes custom resource definitions but never changes them.
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "crds")
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", "crds")
    operator, runtime = _images()
    helm(
        *("upgrade", "--install", "headwater", "helm/headwater", "--namespace", SYSTEM_NAMESPACE, "--create-namespace"),
        *("--reset-values", "--set", f"images.operator={operator},images.runtime={runtime}"),
    )
    _wait_for_policies(kubectl)
    return SYSTEM_NAMESPACE


def _images() -> list[str]:
    """This tree's images, by digest where the cluster knows one."""
    command = [ROOT / "scripts" / "images", "--pinned", "operator", "runtime"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def _wait_for_policies(kubectl: Run) -> None:
    """A new policy holds a moment after it is made; until then the API server lets everything pass."""
    flow = {
        "apiVersion": "headwater.dev/v1alpha1",
        "kind": "Flow",
        "metadata": {"name": "policy-probe", "namespace": SYSTEM_NAMESPACE},
        "spec": {"image": "none", "entrypoint": "a:b", "serviceAccountName": "headwater-operator"},
    }
    deadline = time.monotonic() + 30
    while kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(flow), check=False).returncode == 0:
        assert time.monotonic() < deadline, "the admission policies do not hold"
        time.sleep(0.2)


@pytest.fixture
def namespace(kubectl: Run) -> Iterator[str]:
    """A namespace of the test's own, gone with it."""
    yield from _namespace(kubectl)


@pytest.fixture(scope="module")
def module_namespace(kubectl: Run) -> Iterator[str]:
    """A namespace that the tests of a module share."""
    yield from _namespace(kubectl)


def _namespace(kubectl: Run) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def get(kubectl: Run) -> Callable[..., Any]:
    """`get(*args)`: what `kubectl get` finds, as data."""
    return lambda *args: json.loads(kubectl("get", *args, "-o", "json").stdout)
