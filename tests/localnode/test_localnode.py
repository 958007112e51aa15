"""What localnode says and refuses. Nothing here touches a node that runs: homes and ports are the tests' own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
PROGRAMS = ("etcd", "containerd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "coredns")

as_root = pytest.mark.skipif(os.getuid() != 0, reason="up and down are for root")


def localnode(
    *arguments: str, home: Path, under: tuple[str, ...] = (), **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run localnode with a home of the test's own."""
    environment = {**os.environ, "LOCALNODE_HOME": str(home / "home"), "LOCALNODE_RUN": str(home / "run"), **settings}
    command = [*under, str(ROOT / "localnode" / "localnode"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def said(result: subprocess.CompletedProcess[str]) -> list[str]:
    return result.stderr.splitlines()


@pytest.mark.parametrize(
    "arguments", [(), ("frobnicate",), ("up", "now"), ("load",), ("volume",), ("volume", "a/b", "c/d")]
)
def test_wrong_usage_is_answered_with_the_verbs(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = localnode(*arguments, home=tmp_path)
    assert result.returncode == 2
    assert said(result)[0] == "usage: localnode VERB"
    assert any(line.split()[:1] == ["up"] for line in said(result))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may read; pytest's own are for its user alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize(
    "arguments", [("up",), ("down",), ("load", "image.tar"), ("volume", "flights/data"), ("ctr", "version")]
)
def test_what_needs_root_says_so_to_others(arguments: tuple[str, ...], open_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "localnode", open_folder / "localnode")
    command = [*(NOBODY if os.getuid() == 0 else ()), str(open_folder / "localnode" / "localnode"), *arguments]
    environment = {**os.environ, "LOCALNODE_HOME": str(open_folder / "home"), "LOCALNODE_RUN": str(open_folder / "run")}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    expected = f"localnode: {arguments[0]} needs root: containers, mounts and firewall rules; run it with sudo"
    assert said(result) == [expected]


@as_root
@pytest.mark.parametrize(
    ("setting", "program"), [("LOCALNODE_ETCD_PORT", "etcd"), ("LOCALNODE_API_PORT", "kube-apiserver")]
)
def test_a_taken_port_is_named_with_its_holder(setting: str, program: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        free = {"LOCALNODE_ETCD_PORT": "42379", "LOCALNODE_API_PORT": "46443"}
        result = localnode("up", home=tmp_path, **{**free, setting: str(port)})
    assert result.returncode == 1
    [line] = said(result)
    assert line.startswith(f"localnode: port {port}, which {program} needs, is taken by ")
    assert f"(process {os.getpid()})" in line
    assert list(tmp_path.iterdir()) == []


@as_root
def test_too_little_disk_is_found_before_the_build(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    # In a mount namespace of its own: the small disk is gone with the command.
    under = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=50m tmpfs {small} && exec "$@"', "sh")
    result = localnode("build", home=tmp_path, under=under, HEADWATER_CACHE=str(small))
    assert result.returncode == 1
    assert said(result) == [f"localnode: needs 3 GB of free disk to build, and {small} has 50 MB"]


def test_without_go_a_build_says_what_to_install(tmp_path: Path) -> None:
    system = "/usr/sbin:/usr/bin:/sbin:/bin"
    if shutil.which("go", path=system):
        pytest.skip("Go is where every program looks")
    result = localnode("build", home=tmp_path, HEADWATER_CACHE=str(tmp_path), PATH=system)
    assert result.returncode == 1
    expected = (
        "localnode: needs Go to build the node's programs and finds none on PATH; install it from https://go.dev/dl"
    )
    assert said(result) == [expected]


def test_kubectl_of_a_node_that_was_never_built_says_how_to_build_it(tmp_path: Path) -> None:
    if not shutil.which("go"):
        pytest.skip("without Go the answer is another one")
    result = localnode("kubectl", "version", home=tmp_path, HEADWATER_CACHE=str(tmp_path))
    assert result.returncode == 1
    assert said(result) == [f"localnode: is not built yet; run: {ROOT}/localnode/localnode build"]


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """The folder of this tree's programs."""
    result = localnode("env", home=tmp_path)
    if result.returncode != 0:
        pytest.skip("this tree's programs are not built here, which takes minutes: localnode/localnode build")
    [path] = [line for line in result.stdout.splitlines() if line.startswith("export PATH=")]
    return Path(path.removeprefix("export PATH=").removesuffix(':"$PATH"'))


def test_a_kept_build_is_found_at_once(built: Path, tmp_path: Path) -> None:
    before = time.monotonic()
    result = localnode("build", home=tmp_path)
    assert said(result) == [f"localnode: built: {built}"]
    assert result.returncode == 0
    assert time.monotonic() - before < 5


def test_a_kept_build_serves_where_go_is_not_installed(built: Path, tmp_path: Path) -> None:
    assert localnode("env", home=tmp_path, PATH="/usr/sbin:/usr/bin:/sbin:/bin").returncode == 0


def test_a_kept_build_is_whole(built: Path, tmp_path: Path) -> None:
    assert {"kubenode", "coredns", "helm", "pause.tar", *PROGRAMS} - {"containerd"} <= {
        path.name for path in built.iterdir()
    }
    version = localnode("kubectl", "version", "--client", home=tmp_path).stdout
    assert version.startswith("Client Version: v1.37.2\n")
    assert localnode("helm", "version", "--short", home=tmp_path).stdout.startswith("v4.")


def test_the_status_of_a_stopped_node_names_every_program(tmp_path: Path) -> None:
    result = localnode("status", home=tmp_path)
    assert result.returncode == 1
    assert result.stdout.splitlines() == [f"{program} stopped" for program in (*PROGRAMS, "kube-proxy")]


def test_another_programs_number_does_not_count_as_running(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "etcd.pid").write_text(f"{os.getpid()}\n")
    assert localnode("status", home=tmp_path).stdout.splitlines()[0] == "etcd stopped"


@as_root
def test_stopping_a_node_that_is_not_there_disturbs_nothing(tmp_path: Path) -> None:
    shared = [str(ROOT / "localnode" / "localnode"), "status"]
    before = subprocess.run(shared, capture_output=True, text=True, check=False).stdout.splitlines()[:8]
    result = localnode("down", home=tmp_path)
    assert (result.returncode, said(result)) == (0, ["localnode: nothing to stop"])
    assert subprocess.run(shared, capture_output=True, text=True, check=False).stdout.splitlines()[:8] == before


@as_root
@pytest.mark.parametrize("arguments", [("load", "image.tar"), ("volume", "flights/data"), ("ctr", "version")])
def test_a_stopped_node_takes_nothing_and_says_how_to_start_it(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = localnode(*arguments, home=tmp_path)
    assert result.returncode == 1
    assert said(result) == [f"localnode: the node is not up; run: {ROOT}/localnode/localnode up"]


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("busybox:1", "docker.io/library/busybox:1"),
        ("headwater/runtime:dev", "docker.io/headwater/runtime:dev"),
        ("localhost/pause:1", "localhost/pause:1"),
        ("localhost:5000/pause:1", "localhost:5000/pause:1"),
        ("ghcr.io/acme/aircraft:1.4.2", "ghcr.io/acme/aircraft:1.4.2"),
    ],
)
def test_a_loaded_image_gets_the_name_that_the_kubelet_looks_for(name: str, full: str) -> None:
    script = f". {ROOT}/localnode/lib/images.sh; full_name {name}"
    assert subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout == f"{full}\n"
