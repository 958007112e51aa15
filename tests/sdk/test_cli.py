"""The command line as a person meets it: exit codes, and one clear line when something is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from headwater.cli.values import parse_parameters
from headwater.cli.watch import headline
from headwater.core.entrypoint import load_flow
from headwater.core.errors import EntrypointError, ParameterError

FLOW = """
    from headwater import Flow, Parameter, task

    @task
    def double(n):
        return 2 * n

    @task
    def check(n):
        assert n < 100, "too many"

    with Flow("numbers") as flow:
        check(double(Parameter("n", default=1)))

    flow.run()  # a script may end so; loading it for another run must not run it
"""


@pytest.fixture(autouse=True)
def own_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a flow's folder adds to the import path ends with the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def write(folder: Path, code: str, name: str = "numbers_flow.py") -> Path:
    file = folder / name
    file.write_text(textwrap.dedent(code))
    return file


def headwater(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    return subprocess.run(
        [sys.executable, "-m", "headwater.cli.main", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**environment, "HOME": str(cwd or "/nonexistent")},
    )


def test_a_run_prints_its_tasks_and_exits_0(tmp_path: Path) -> None:
    done = headwater("run", str(write(tmp_path, FLOW)), "--param", "n=4")
    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["TASK", "STATE"],
        ["double", "Success"],
        ["check", "Success"],
        ["numbers:", "Success"],
    ]
    assert "Flow run SUCCESS" in done.stderr
    assert done.stderr.count("Beginning Flow run") == 1


def test_a_failed_run_says_why_and_exits_1(tmp_path: Path) -> None:
    done = headwater("run", str(write(tmp_path, FLOW)) + ":flow", "-p", "n=50")
    assert done.returncode == 1
    assert "AssertionError: too many" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.py"], 'There is no file "nowhere.py"'),
        (["no_such_module:flow"], 'there is no module "no_such_module"'),
        (["numbers_flow.py:flaw"], "has no such attribute; the module holds these flows: flow"),
        (["numbers_flow.py:double"], "that is no Flow but of type FunctionTask"),
        (["numbers flow.py"], 'There is no file "numbers flow.py"'),
        (["numbers flow"], "is not of the form"),
        (["numbers_flow.py:1"], "is not of the form"),
        (["two.py"], "holds these flows: a, b; name one"),
        (["broken.py"], "ZeroDivisionError"),
        (["numbers_flow.py", "-p", "m=1"], "unexpected parameters: m; it has n"),
        (["numbers_flow.py", "-p", "n"], "give a name and a value"),
        (["numbers_flow.py", "-p", "n=1", "-p", "n=2"], "given twice"),
    ],
)
def test_what_cannot_run_is_one_clear_error_and_exits_2(tmp_path: Path, arguments: list[str], words: str) -> None:
    write(tmp_path, FLOW)
    write(tmp_path, "from headwater import Flow\na = Flow('a')\nb = Flow('b')\n", "two.py")
    write(tmp_path, "1 / 0\n", "broken.py")
    done = headwater("run", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("headwater: ") or "broken.py" in arguments
    assert words in done.stderr
    assert "site-packages" not in done.stderr


@pytest.mark.parametrize("executor", ["local", "dask"])
def test_an_interrupt_ends_a_run_at_once(tmp_path: Path, executor: str) -> None:
    code = """
        import time
        from headwater import Flow, task

        @task
        def nap():
            print("napping", flush=True)
            time.sleep(60)

        with Flow("naps") as flow:
            nap()
    """
    command = [sys.executable, "-m", "headwater.cli.main", "run", str(write(tmp_path, code)), "--executor", executor]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what it starts in the background ignore the signal, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "napping\n"
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=40)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "headwater: interrupted"
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "command",
    [
        ["register", "numbers_flow.py"],
        ["register", "numbers_flow.py", "--dry-run"],
        ["start", "numbers"],
        ["watch", "etl-1"],
        ["cancel", "etl-1"],
        ["backfill", "etl", "--from", "2026-11-01", "--to", "2026-11-02"],
    ],
)
def test_an_empty_namespace_is_not_the_default(tmp_path: Path, command: list[str]) -> None:
    write(tmp_path, FLOW)
    done = headwater(*command, "-n", "", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("headwater: The namespace is given, but empty")


def test_what_a_flow_prints_is_not_among_the_yaml(tmp_path: Path) -> None:
    write(tmp_path, "print('loading: now')\n" + textwrap.dedent(FLOW))
    done = headwater("register", "numbers_flow.py", "--dry-run", cwd=tmp_path)
    assert done.stdout.startswith("apiVersion: ")
    assert done.stderr.startswith("loading: now\n")


@pytest.mark.parametrize("place", ["my dir/flow1.py", "a+b/flow2.py", "Größe.py", "x:y.py:flow"])
def test_a_file_may_be_called_as_it_likes(tmp_path: Path, place: str) -> None:
    file = tmp_path / place.removesuffix(":flow")
    file.parent.mkdir(exist_ok=True)
    write(file.parent, FLOW, file.name)
    assert load_flow(f"{tmp_path}/{place}").name == "numbers"


def test_watch_without_a_cluster_says_so(tmp_path: Path) -> None:
    done = headwater("watch", "etl-1", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("headwater: No cluster is configured")
    assert done.stderr.count("\n") == 1


def test_parameters_are_json_or_text() -> None:
    given = ["n=200", "airport=ZRH", "flag=true", "list=[1, 2]", "empty=", "url=a=b"]
    assert parse_parameters(given) == {
        "n": 200,
        "airport": "ZRH",
        "flag": True,
        "list": [1, 2],
        "empty": "",
        "url": "a=b",
    }
    with pytest.raises(ParameterError):
        parse_parameters(["=1"])


def test_a_flow_may_import_what_lies_beside_it_and_is_loaded_once(tmp_path: Path) -> None:
    write(tmp_path, "VALUE = 7\n", "beside_it.py")
    write(tmp_path, "import beside_it\nfrom headwater import Flow\nflow = Flow(str(beside_it.VALUE))\n", "loads.py")
    flow = load_flow("loads.py:flow", [tmp_path])
    assert flow.name == "7"
    assert load_flow("loads.py:flow", [tmp_path]) is flow


def test_a_file_does_not_displace_a_module_of_its_name(tmp_path: Path) -> None:
    write(tmp_path, "from headwater import Flow\nflow = Flow('mine')\n", "json.py")
    assert load_flow("json.py:flow", [tmp_path]).name == "mine"
    import json

    assert json.dumps(1) == "1"
    with pytest.raises(EntrypointError):
        load_flow("json.py:nothing", [tmp_path])


def test_a_headline_is_one_line() -> None:
    manifest = {
        "metadata": {"name": "etl-1"},
        "spec": {"flow": "etl"},
        "status": {
            "version": {"name": "etl-v2"},
            "progress": {"text": "2/3"},
            "conditions": [{"type": "Succeeded", "reason": "Failed", "message": "KeyError: 'x'\nTraceback"}],
        },
    }
    assert headline(manifest) == "etl-1 (etl-v2) Failed 2/3 tasks: KeyError: 'x'"


@pytest.mark.parametrize("code", ["import sys; sys.exit(0)", "raise SystemExit('bye')"])
def test_a_file_that_leaves_on_import_is_told(tmp_path: Path, code: str) -> None:
    done = headwater("run", str(write(tmp_path, code)))
    assert done.returncode == 2
    assert "cannot be imported" in done.stderr
    assert "SystemExit" in done.stderr


def test_a_kubeconfig_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").write_text("garbage: [")
    done = headwater("watch", "x", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("headwater: The kubeconfig ~/.kube/config cannot be read")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["values.json", "values.yaml"])
def test_parameters_come_from_a_file_and_the_command_goes_before_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"n": 50}')
    arguments = ["run", str(write(tmp_path, FLOW)), "--param-file", str(tmp_path / name), "--executor", "threads"]
    assert headwater(*arguments).returncode == 1, "fifty is refused by the flow"
    assert headwater(*arguments, "--param", "n=4").returncode == 0


@pytest.mark.parametrize("text", ["[1]", "{", "a: [", ""])
def test_a_file_of_parameters_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "values.yaml").write_text(text)
    done = headwater("run", str(write(tmp_path, FLOW)), "--param-file", str(tmp_path / "values.yaml"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"headwater: --param-file {tmp_path}/values.yaml:")


def test_the_command_names_itself_as_who_writes(tmp_path: Path) -> None:
    agents: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            agents.append(self.headers["User-Agent"])
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (tmp_path / ".kube").mkdir()
        (tmp_path / ".kube/config").write_text(json.dumps(config))
        assert headwater("cancel", "etl-1", cwd=tmp_path).returncode == 2
        server.shutdown()
    assert agents == ["headwater"]
