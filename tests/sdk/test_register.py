"""What a flow becomes when it is registered, and what is refused before anything is applied."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import oras.client
import pytest

from headwater import Flow, Parameter, task
from headwater.cli.register import as_yaml
from headwater.core.entrypoint import load_flow
from headwater.core.errors import ClusterError, FlowError, ParameterError
from headwater.registering.apply import _outcome, verdict
from headwater.registering.building import IGNORED, Builder, BuildError, containerfile, find_builder, ignored
from headwater.registering.digest import DigestError, _log_in, address, pinned
from headwater.registering.manifest import flow_manifest
from headwater.registering.place import MOST_BYTES, Place, place_of
from headwater.registering.register import Options, manifest_of, may_stay_a_tag
from headwater.schedules import CronSchedule, IntervalClock, Schedule

PLACE = Place("flow.py:flow", {"flow.py": "x = 1"})
CODE = "from headwater import Flow, task\n\n@task\ndef one(): ...\n\nwith Flow('f') as flow:\n    one()\n"


def parametrized(**more: Any) -> Flow:
    @task
    def say(day: Any, count: Any) -> None: ...

    with Flow("nightly", **more) as flow:
        say(Parameter("day", required=True), Parameter("count", default=1))
    return flow


def test_a_manifest_says_what_the_flow_says() -> None:
    flow = parametrized(schedule=CronSchedule("0 5 * * *"))
    found = flow_manifest(flow, PLACE, parameters={"day": "x"}, execution={"workers": 2}, active=False)
    assert found == {
        "apiVersion": "headwater.dev/v1alpha1",
        "kind": "Flow",
        "metadata": {"name": "nightly"},
        "spec": {
            "entrypoint": "flow.py:flow",
            "source": {"files": {"flow.py": "x = 1"}},
            "schedules": [{"name": "clock-1", "cron": "0 5 * * *", "timeZone": "UTC", "suspend": True}],
            "parameters": {"day": "x"},
            "execution": {"workers": 2},
        },
    }


def test_a_name_that_no_object_can_have_stays_as_title() -> None:
    found = flow_manifest(Flow("Tabela x (prod)"), Place("a.b:flow"), image="acme/etl:1")
    assert found["metadata"]["name"].startswith("tabela-x-prod-")
    assert found["spec"] == {"title": "Tabela x (prod)", "image": "acme/etl:1", "entrypoint": "a.b:flow"}


HOURLY = timedelta(hours=1)

REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no such parameter": (None, {"dya": 1}, "unexpected parameters: dya"),
    "no JSON": (None, {"day": {1, 2}}, 'parameter "day" cannot be written as JSON'),
    "a clock without a required one": (
        Schedule([IntervalClock(HOURLY, parameter_defaults={"day": 1}), IntervalClock(HOURLY)]),
        {},
        r'required parameters: day.*"clock-2".*parameter_defaults',
    ),
    "a clock with an unknown one": (
        Schedule([IntervalClock(HOURLY, parameter_defaults={"day": 1, "x": 1})]),
        {},
        "unexpected parameters: x",
    ),
    "no schedule": ("@daily", {}, "give one of headwater.schedules"),
}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"count": "5"}, "parameter count: '5' is not of type 'integer'"),
        ({"count": [1]}, 'Parameter "count" is'),
        ({"day": 2**63}, 'parameter "day" has 9223372036854775808, which a cluster rounds'),
        ({"day": [{"a": -(2**63) - 1}]}, "which a cluster rounds"),
        ({"day": float("nan")}, 'parameter "day" cannot be written as JSON'),
        ({"day": {"x": "\ud83d"}}, r'parameter "day" has half a character \(\\ud83d\)'),
        ({"none": None}, "unexpected parameters: none"),
    ],
)
def test_parameters_that_runs_are_refused_for_are_refused_before(values: dict[str, Any], words: str) -> None:
    with Flow("f") as flow:
        Parameter("day", required=True)
        Parameter("count", default=1, annotation=int)
    with pytest.raises(ParameterError, match=words):
        flow_manifest(flow, PLACE, parameters=values)
    found = flow_manifest(flow, PLACE, parameters={"day": -(2**63), "count": None})
    assert found["spec"]["parameters"] == {"day": -(2**63)}


def test_null_is_as_if_left_out(tmp_path: Path) -> None:
    assert "parameters" not in flow_manifest(parametrized(), PLACE, parameters={"day": None})["spec"]
    with pytest.raises(ParameterError, match="required parameters: day"):
        flow_manifest(parametrized(schedule=CronSchedule("0 5 * * *")), PLACE, parameters={"day": None})


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_run_could_have_is_refused(case: str) -> None:
    schedule, parameters, words = REFUSED[case]
    with pytest.raises((ParameterError, FlowError), match=words):
        flow_manifest(parametrized(schedule=schedule), PLACE, parameters=parameters)
    if schedule is None:
        flow_manifest(parametrized(), PLACE, parameters={"count": 2})  # the day comes with each run


def loaded(folder: Path, **files: str) -> Flow:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return load_flow(f"{folder}/main_{folder.name.replace('-', '_')}.py")


@pytest.fixture
def name(tmp_path: Path) -> str:
    """A module's name that no other test uses."""
    return f"main_{tmp_path.name.replace('-', '_')}"


def test_the_files_of_a_flow_go_along(tmp_path: Path, name: str) -> None:
    beside = f"{name}_beside"
    flow = loaded(tmp_path, **{name: f"import {beside}\n{CODE}", beside: "y = 1", f"{name}_other": "z = 1"})
    found = place_of(flow, False, f"{tmp_path}/{name}.py")
    assert found.entrypoint == f"{name}.py:flow"
    assert found.files == {f"{name}.py": f"import {beside}\n{CODE}", f"{beside}.py": "y = 1"}
    assert place_of(flow, False) == found
    assert place_of(flow, True) == Place(f"{name}.py:flow")


def test_what_tasks_import_when_they_run_goes_along(tmp_path: Path, name: str) -> None:
    late, later = f"{name}_late", f"{name}_later"
    code = f"import json, os.path\n{CODE}\ndef two():\n    import {late}.x, no_such_module\n    from yaml import dump\n"
    flow = loaded(tmp_path, **{name: code, late: f"def f():\n    from {later} import y\n", later: "y = 1"})
    assert set(place_of(flow, False).files) == {f"{name}.py", f"{late}.py", f"{later}.py"}


def test_a_package_that_a_task_imports_later_asks_for_an_image(tmp_path: Path, name: str) -> None:
    for folder in (f"{name}_lib", f"{name}_types"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("")
    typed = f"import typing\nif typing.TYPE_CHECKING:\n    import {name}_types\n{CODE}"
    flow = loaded(tmp_path, **{name: typed})
    assert list(place_of(flow, False).files) == [f"{name}.py"]
    (tmp_path / f"{name}.py").write_text(f"{typed}\ndef two():\n    from {name}_lib.x import y\n")
    with pytest.raises(FlowError, match=rf"imports {name}_lib, and .*headwater build"):
        place_of(flow, False)


def test_a_module_of_a_package_that_is_run_is_no_file_alone(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    more = "from headwater.registering.place import place_of\nprint(place_of(flow, True))\nplace_of(flow, False)\n"
    (tmp_path / "pkg" / "etl.py").write_text(CODE + more)
    done = subprocess.run([sys.executable, "-m", "pkg.etl"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "Place(entrypoint='pkg.etl:flow', files={})\n"
    assert "is in the package pkg, which a Flow resource cannot hold: build an image" in done.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig"])
def test_a_source_of_another_encoding_travels_as_utf_8(tmp_path: Path, name: str, encoding: str) -> None:
    cookie = "#!/usr/bin/env python\n# -*- coding: latin-1 -*-\n" if encoding == "latin-1" else ""
    (tmp_path / f"{name}.py").write_bytes(f"{cookie}x = 'Größe'\n{CODE}".encode(encoding))
    flow = load_flow(f"{tmp_path}/{name}.py")
    assert place_of(flow, False).files[f"{name}.py"] == f"{cookie.replace('latin-1', 'utf-8')}x = 'Größe'\n{CODE}"


def test_a_file_whose_name_a_resource_cannot_hold_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "my dir+1"
    folder.mkdir()
    (folder / "Größe.py").write_text(CODE)
    with pytest.raises(FlowError, match=r"Größe\.py is no name that a Flow resource can hold; rename"):
        place_of(load_flow(f"{folder}/Größe.py:flow"), False)


def test_a_package_beside_a_flow_asks_for_an_image(tmp_path: Path, name: str) -> None:
    package = tmp_path / f"{name}_lib"
    package.mkdir()
    (package / "__init__.py").write_text("")
    flow = loaded(tmp_path, **{name: f"import {name}_lib\n{CODE}"})
    with pytest.raises(FlowError, match=rf"imports {name}_lib/__init__.py.*headwater build"):
        place_of(flow, False)
    assert place_of(flow, True).entrypoint == f"{name}.py:flow"


def test_a_flow_that_is_too_large_asks_for_an_image(tmp_path: Path, name: str) -> None:
    flow = loaded(tmp_path, **{name: CODE + "#" * MOST_BYTES})
    with pytest.raises(FlowError, match=r"1 files with .* bytes.*headwater build"):
        place_of(flow, False)


def test_a_flow_in_a_package_is_found_by_its_module(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / f"{name}_pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "flows.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    target = f"{name}_pack.flows"
    flow = load_flow(target)
    assert place_of(flow, True, f"{target}:flow") == Place(f"{target}:flow")
    with pytest.raises(FlowError, match="build an image"):
        place_of(flow, False, target)


def test_a_flow_that_pods_could_not_find_is_told() -> None:
    with pytest.raises(FlowError, match="no global variable of a module"):
        place_of(parametrized(), False)


def test_register_does_nothing_where_the_file_is_loaded_for_a_run(tmp_path: Path, name: str) -> None:
    assert loaded(tmp_path, **{name: f"{CODE}flow.register('sales')\n"}).name == "f"


def test_register_in_the_block_of_the_flow_is_refused() -> None:
    with pytest.raises(FlowError, match="inside its own `with` block"), Flow("f") as flow:
        flow.register("sales")


def test_import_of_headwater_loads_nothing_of_it() -> None:
    code = "import sys, headwater; print([m for m in sys.modules if m.startswith(('headwater.registering', 'oras'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_files_are_readable_in_yaml() -> None:
    text = as_yaml(flow_manifest(Flow("f"), Place("flow.py:flow", {"flow.py": "a = 1\nb = 2\n"})))
    assert "      flow.py: |\n        a = 1\n        b = 2\n" in text


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("etl:1", "registry-1.docker.io/library/etl:1"),
        ("acme/etl", "registry-1.docker.io/acme/etl"),
        ("docker.io/acme/etl:1", "registry-1.docker.io/acme/etl:1"),
        ("ghcr.io/acme/etl:1", "ghcr.io/acme/etl:1"),
        ("localhost:5000/etl", "localhost:5000/etl"),
        ("localhost/etl", "localhost/etl"),
    ],
)
def test_an_image_without_a_registry_is_of_docker_hub(image: str, found: str) -> None:
    assert address(image) == found


def test_a_digest_is_kept_and_a_registry_that_is_away_is_told() -> None:
    assert pinned("acme/etl@sha256:1") == "acme/etl@sha256:1"
    with pytest.raises(DigestError, match=r"127\.0\.0\.1:1/etl:1 cannot be asked"):
        pinned("127.0.0.1:1/etl:1")


@pytest.mark.parametrize(
    ("image", "key"), [("acme/etl:1", "https://index.docker.io/v1/"), ("127.0.0.1:1/etl:1", "127.0.0.1:1")]
)
def test_the_credentials_of_docker_login_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str, key: str
) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": {key: {"auth": "YTpi"}}}))
    monkeypatch.setenv("HOME", str(tmp_path))
    client = oras.client.OrasClient()
    _log_in(client, client.get_container(address(image)))
    assert client.auth._basic_auth == "YTpi"


class _Private(BaseHTTPRequestHandler):
    """A registry that wants a login by Basic, with a realm that is no address."""

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        allowed = self.headers.get("Authorization") == "Basic YTpi"
        self.send_response(200 if allowed else 401)
        self.send_header("Docker-Content-Digest", f"sha256:{'1' * 64}")
        self.send_header("Www-Authenticate", 'Basic realm="x"')
        self.end_headers()


@pytest.fixture
def private() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Private) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_registry_that_wants_a_password_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(DigestError, match=f"wants a login: docker login {private}"):
        pinned(f"{private}/etl:1")
    (tmp_path / "config.json").write_text(json.dumps({"auths": {private: {"auth": "YTpi"}}}))
    assert pinned(f"{private}/etl:1") == f"{private}/etl:1@sha256:{'1' * 64}"
    (tmp_path / "config.json").write_text(json.dumps({"auths": {private: {"auth": "wrong"}}}))
    with pytest.raises(DigestError, match="answers 401 Unauthorized"):
        pinned(f"{private}/etl:1")


@pytest.mark.parametrize(
    ("image", "there", "found"),
    [
        ("headwater/aircraft:dev", None, True),
        ("headwater/aircraft:dev", {"spec": {"image": "headwater/aircraft:dev"}}, True),
        ("headwater/aircraft:dev", {"spec": {}}, True),
        ("headwater/aircraft:dev", {"spec": {"image": "headwater/aircraft:dev@sha256:1"}}, False),
        ("ghcr.io/acme/etl:stable", None, False),
        ("ghcr.io/acme/etl:stable", {"spec": {"image": "ghcr.io/acme/etl:stable"}}, False),
        ("docker.io/acme/etl", None, False),
        ("localhost/etl", None, False),
    ],
)
def test_a_tag_stays_only_where_nothing_else_can_be(image: str, there: dict[str, Any] | None, found: bool) -> None:
    assert may_stay_a_tag(image, there) is found


def test_a_registry_that_is_away_registers_nothing() -> None:
    options, said = Options(image="127.0.0.1:1/etl:stable", entrypoint="flow.py:flow"), []
    with pytest.raises(ClusterError, match=r"Nothing is registered.*cannot be asked.*--no-pin"):
        manifest_of(parametrized(), options, said.append)
    assert said == []
    unpinned = Options(image="127.0.0.1:1/etl:stable", pin=False, entrypoint="flow.py:flow")
    assert manifest_of(parametrized(), unpinned, said.append)["spec"]["image"] == "127.0.0.1:1/etl:stable"


def test_an_entrypoint_is_taken_as_it_is_given(tmp_path: Path, name: str) -> None:
    options = Options(image="a@sha256:1", entrypoint="flows/etl.py:flow")
    assert manifest_of(parametrized(), options, print)["spec"]["entrypoint"] == "flows/etl.py:flow"
    flow = loaded(tmp_path, **{name: CODE})
    found = manifest_of(flow, Options(entrypoint=f"{name}:flow"), print)["spec"]
    assert (found["entrypoint"], list(found["source"]["files"])) == (f"{name}:flow", [f"{name}.py"])


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1.0])
def test_a_timeout_is_a_number_of_seconds(seconds: float) -> None:
    with pytest.raises(FlowError, match=r"The timeout is .*; give seconds"):
        Options(seconds=seconds)


def test_a_folder_is_built_as_what_is_in_it() -> None:
    plain = containerfile("base", {"flow.py"})
    assert plain.startswith("FROM base\n")
    assert "pip" not in plain
    assert plain.endswith("USER 10001\n")
    assert "compileall -q /flow || true\n" in plain  # a template need be no Python
    full = containerfile("base", {"flow.py", "requirements.txt", "pyproject.toml"})
    assert full.index("requirements.txt") < full.index("COPY . /flow") < full.index("pip install --no-cache-dir /flow")


def test_what_a_folder_ignores_stays_out_of_its_image(tmp_path: Path) -> None:
    assert ignored(tmp_path).decode().splitlines() == list(IGNORED)
    (tmp_path / ".dockerignore").write_bytes(b"\xef\xbb\xbfsecrets.env\r\n*.pem")
    (tmp_path / ".containerignore").write_bytes(b"# \xff\n!public.pem\n")
    assert ignored(tmp_path).splitlines()[len(IGNORED) :] == [b"secrets.env", b"*.pem", b"# \xff", b"!public.pem"]


@pytest.mark.parametrize("program", ["docker", "podman"])
def test_a_builder_is_told_what_to_ignore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    # A builder that prints what it is to ignore: Docker's place for it is beside the Containerfile.
    script = '#!/bin/sh\nfor a; do case "$a" in */Containerfile) cat "$a.dockerignore" >"$OUT"; esac; done\n'
    (tmp_path / program).write_text(f'{script}echo "$@" >>"$OUT"\n')
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    folder = tmp_path / "etl"
    folder.mkdir()
    (folder / ".dockerignore").write_text("secrets.env\n")
    Builder(program).build(folder, "a:1", "base")
    said = (tmp_path / "out").read_text()
    assert "**/*.pyc\nsecrets.env\n" in said
    assert ("--ignorefile" in said) is (program == "podman")


@pytest.mark.parametrize("code", [0, 1])
def test_a_docker_that_does_not_tell_the_digest_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (tmp_path / "docker").write_text(f'#!/bin/sh\n[ "$1" = push ] || exit {code}\n')
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(BuildError, match="a:1 is pushed, but Docker does not tell its digest"):
        Builder("docker").push("a:1")


def test_a_builder_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="No builder of images works here"):
        find_builder()
    with pytest.raises(BuildError, match="no podman on the PATH"):
        find_builder("podman")
    with pytest.raises(BuildError, match="no folder"):
        Builder("podman").build(tmp_path / "none", "a:1", "base")


def flow_with(generation: int, seen: int, **conditions: str) -> dict[str, Any]:
    said = [{"type": k, "status": v, "reason": "R", "message": f"because {k}"} for k, v in conditions.items()]
    return {
        "metadata": {"name": "f", "generation": generation},
        "status": {"observedGeneration": seen, "conditions": said},
    }


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("InspectionFailed", "cannot run; version 3 stays current"),
        ("InvalidSchedule", "unchanged, version 3, but not all of its schedules make runs"),
    ],
)
def test_what_is_wrong_is_said_as_what_it_is(reason: str, words: str) -> None:
    flow = flow_with(2, 2, Ready="False", Stalled="True")
    flow["metadata"] |= {"uid": "u", "generation": 2}
    flow["status"]["currentVersion"] = {"number": 3}
    flow["status"]["conditions"][1]["reason"] = reason
    found = _outcome("sales", flow, flow, "because Stalled")
    assert (found.words, found.problem.partition("\n")[0], found.number) == (words, "because Stalled", 3)


@pytest.mark.parametrize(
    ("flow", "found"),
    [
        (flow_with(2, 2, Ready="True"), ""),
        (flow_with(2, 1, Ready="True"), None),
        (flow_with(1, 1, Ready="False", Stalled="True"), "because Stalled"),
        (flow_with(1, 1, Ready="Unknown", Reconciling="True"), None),
        ({"metadata": {"name": "f", "generation": 1}}, None),
    ],
)
def test_only_what_the_operator_says_of_this_very_spec_counts(flow: dict[str, Any], found: str | None) -> None:
    assert verdict(flow) == found
    flow["metadata"]["annotations"] = {"headwater.dev/resolve-image": "now"}
    assert verdict(flow) is None
