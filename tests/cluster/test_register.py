"""From a file to a flow in a cluster: register, build, start; tags that move in a real registry."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]

CODE = """
    import sys
    from datetime import timedelta
    from beside import greeting
    from headwater import Flow, Parameter, task
    from headwater.schedules import IntervalSchedule

    @task
    def say(name):
        print(greeting(name), {number})

    with Flow("Say it!", schedule=IntervalSchedule(interval=timedelta(days=300))) as flow:
        say(Parameter("name", {default}))

    if __name__ == "__main__":
        print("made", flow.register(sys.argv[1], execution={{"provisioner": "InProcess"}}))
"""


class Desk:
    """A folder with a flow, and what a person types in it."""

    def __init__(self, project: Any, folder: Path, environment: dict[str, str]) -> None:
        self.project, self.folder, self.environment = project, folder, environment
        (folder / "beside.py").write_text(
            'def greeting(name):\n    from later import mark\n    return f"Hello, {name}!{mark}"\n'
        )
        (folder / "later.py").write_text('mark = "🚀"[1:]\n')

    def write(self, number: int, default: str = 'default="you"') -> None:
        (self.folder / "flow.py").write_text(textwrap.dedent(CODE.format(number=number, default=default)))

    def python(self, *args: str, code: int = 0) -> str:
        environment = {**os.environ, **self.environment, "BUILDAH_ISOLATION": "chroot"}
        command = [sys.executable, *args]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def headwater(self, *args: str, code: int = 0) -> str:
        return self.python("-m", "headwater.cli.main", *args, code=code)

    def register(self, *args: str, code: int = 0) -> str:
        more = ["--provisioner", "InProcess", "-n", self.project.name]
        return self.headwater("register", "flow.py", *more, *args, code=code)


@pytest.fixture
def desk(project: Any, environment: dict[str, str], tmp_path: Path) -> Desk:
    return Desk(project, tmp_path, environment)


def name_of(project: Any) -> str:
    (flow,) = project.list("flows")
    found: str = flow["metadata"]["name"]
    return found


def versions(project: Any) -> dict[str, bool]:
    """Names and which is current."""
    return {v["metadata"]["name"]: v["status"].get("current", False) for v in project.list("flowversions")}


def test_what_is_registered_runs_and_the_same_again_makes_no_version(desk: Desk) -> None:
    project = desk.project
    desk.write(1)
    assert ": version 1\n" in desk.register()
    name = name_of(project)
    flow = project.get("flow", name)
    assert flow["spec"]["title"] == "Say it!"
    assert flow["spec"]["schedules"] == [
        {"name": "clock-1", "interval": "300d", "timeZone": "UTC", "catchUp": "Skip", "suspend": False}
    ]
    assert set(flow["spec"]["source"]["files"]) == {"flow.py", "beside.py", "later.py"}
    assert "unchanged, version 1" in desk.register()
    assert "FlowRun" in desk.headwater("start", "Say it!", "-p", "name=Ada 🚀", "-w", "-n", project.name)
    (run,) = project.list("flowruns")
    assert "Hello, Ada 🚀! 1" in project.kubectl("logs", run["status"]["attempt"]["podName"]).stdout
    # The same by the file's own call.
    assert f"made {name}-v1" in desk.python("flow.py", project.name)
    desk.write(2)
    assert "version 2 (before: 1)" in desk.register()
    project.until("v2 is the current one", lambda: versions(project) == {f"{name}-v1": False, f"{name}-v2": True})
    table = project.kubectl("get", "fv").stdout.split("\n")
    assert table[0].split() == ["NAME", "FLOW", "NUMBER", "CURRENT", "READY", "REASON", "TASKS", "AGE", "IMAGE"]
    desk.write(1)
    assert "version 1 (before: 2)" in desk.register()
    project.until("v1 is it again", lambda: versions(project) == {f"{name}-v1": True, f"{name}-v2": False})


def test_what_cannot_run_is_told_in_words(desk: Desk) -> None:
    project = desk.project
    desk.write(1)
    desk.register()
    name = name_of(project)
    desk.write(2, default="required=True")
    words = desk.register(code=2)
    assert "required parameters: name" in words
    assert "parameter_defaults" in words
    desk.write(2)
    (desk.folder / "beside.py").write_text(
        "import os\nif os.path.isdir('/etc/headwater'):\n    raise OSError('not here')\n\ndef greeting(name): ...\n"
    )
    words = desk.register(code=1)
    assert "cannot run; version 1 stays current" in words
    assert "OSError: not here" in words
    assert versions(project)[f"{name}-v1"] is True
    words = desk.headwater("register", "flow.py", "-n", f"{project.name}-not", code=2)
    assert f"kubectl create namespace {project.name}-not" in words
    project.kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=git",
        "-f",
        "-",
        input=(
            f"apiVersion: headwater.dev/v1alpha1\nkind: Flow\nmetadata: {{name: {name}}}\nspec: {{entrypoint: 'other.py:flow', source: {{files: {{other.py: ''}}}}}}\n"
        ),
    )
    words = desk.register(code=2)
    assert 'conflict with "git"' in words
    assert "--force" in words


def test_a_failure_that_is_over_is_inspected_anew(desk: Desk) -> None:
    project, over = desk.project, time.time() + 40
    (desk.folder / "beside.py").write_text(
        f"import os, time\nif os.path.isdir('/etc/headwater') and time.time() < {over}:\n    raise OSError('not yet')\n\n"
        "def greeting(name): ...\n"
    )
    desk.write(1)
    words = desk.register(code=1)
    name = name_of(project)
    assert "OSError: not yet" in words
    assert f"kubectl -n {project.name} delete flowversion {name}-v1" in words
    time.sleep(max(0.0, over - time.time()))
    assert "OSError: not yet" in desk.register(code=1)
    project.kubectl("delete", "flowversion", f"{name}-v1")
    project.until("v2 is the current one", lambda: versions(project) == {f"{name}-v2": True})
    assert "unchanged, version 2" in desk.register()


def test_a_schedule_whose_runs_would_be_refused_is_told_by_the_flow(project: Any) -> None:
    code = """
    from headwater import Flow, Parameter, task

    @task
    def say(name): ...

    with Flow("f") as flow:
        say(Parameter("name", required=True))
    """
    bad, good = {"name": "bad", "interval": "1s"}, {"name": "good", "interval": "1s", "parameters": {"name": "x"}}
    project.flow("f", code, schedules=[bad, good])
    project.until("the good one's runs are made", lambda: project.list("flowruns"))
    words = project.until("it says so", lambda: project.get("flow", "f")["status"]["conditions"])
    words = project.until(
        "it says so",
        lambda: [
            c["message"] for c in project.get("flow", "f")["status"]["conditions"] if c["reason"] == "InvalidSchedule"
        ],
    )[0]
    assert words.startswith('schedules "bad": its runs would be refused, and none is made (spec.parameters: name must')
    project.kubectl("patch", "flow", "f", "--type=merge", "-p", '{"spec": {"schedules": []}}')


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry on this machine, at the one address from which the local node pulls."""
    script = [ROOT / "scripts" / "go-program", "tests/registry"]
    program = subprocess.run(script, check=True, capture_output=True, text=True).stdout.strip()
    address, folder = "127.0.0.1:5000", tmp_path_factory.mktemp("registry")
    with subprocess.Popen([program, address, folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n", f"something else listens at {address}"
        yield address
        server.terminate()


def test_an_image_is_built_and_a_tag_that_moves_is_looked_up_when_asked(desk: Desk, registry: str) -> None:
    # A name of its own: the node keeps what a tag stood for, also beyond this test.
    project, image = desk.project, f"{registry}/{desk.project.name}:moving"
    (desk.folder / "lib").mkdir()
    (desk.folder / "lib" / "__init__.py").write_text("")
    (desk.folder / "beside.py").write_text(
        "import os, lib\nassert os.getcwd() != '/flow' or not os.path.exists('secret.env')\n\ndef greeting(name): ...\n"
    )
    (desk.folder / "secret.env").write_text("password")
    (desk.folder / ".dockerignore").write_text("secret.env\n")
    (desk.folder / "template.py").write_text("{{ no Python }}\n")
    desk.write(1)
    assert "source.files have no folders" in desk.register(code=2)

    def build(number: int) -> str:
        desk.write(number)
        told = desk.headwater("build", ".", "-t", image, "--push")
        return next(line.split()[1] for line in told.splitlines() if line.startswith("Image ")).partition("@")[2]

    def images() -> list[str]:
        found = sorted(project.list("flowversions"), key=lambda version: version["spec"]["number"])
        return [version["status"]["image"].partition("@")[2] for version in found]

    first = build(1)
    assert ": version 1\n" in desk.register("--image", image)
    assert project.get("flow", name_of(project))["spec"]["image"] == f"{image}@{first}"
    second = build(2)
    assert second != first
    assert "version 2 (before: 1)" in desk.register("--image", image)
    assert "unchanged, version 2" in desk.register("--image", image)
    # By the tag alone: what it stood for stays, until somebody asks.
    assert "version 3 (before: 2)" in desk.register("--image", image, "--no-pin")
    third = build(3)
    assert "unchanged, version 3" in desk.register("--image", image, "--no-pin")
    assert images() == [first, second, second]
    assert "version 4 (before: 3)" in desk.register("--image", image, "--resolve")
    assert images() == [first, second, second, third]
    assert "unchanged, version 4" in desk.register("--image", image, "--no-pin")
    # What somebody has asked for with kubectl gives way to a new wish.
    name = name_of(project)
    project.kubectl("annotate", "flow", name, "headwater.dev/resolve-image=build-218", "--overwrite")
    project.until("v5 is the current one", lambda: versions(project).get(f"{name}-v5"))
    assert "version 6 (before: 5)" in desk.register("--image", image, "--resolve")
    # A registry that is away takes no Flow back to a tag.
    assert "Nothing is registered" in desk.register("--image", "127.0.0.1:1/etl:moving", code=2)
    desk.headwater("start", name, "-w", "-n", project.name)
