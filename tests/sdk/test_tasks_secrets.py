"""Secrets: where they are found, and that they are neither shown nor stored."""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headwater import Flow, context, task
from headwater.core.errors import FlowError
from headwater.results import LocalResult
from headwater.states import Failed, Success
from headwater.tasks.attributes import defaults_from_attrs
from headwater.tasks.secrets import EnvVarSecret, MissingSecretError, Secret, SecretTask
from headwater.tasks.shell import ShellTask


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a Kubernetes Secret is mounted."""
    found = tmp_path / "secrets"
    found.mkdir()
    monkeypatch.setenv("HEADWATER_SECRETS_FOLDER", str(found))
    return found


def test_a_secret_is_found_in_the_context_then_the_environment_then_a_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = Secret("db-pass.word")
    with pytest.raises(MissingSecretError) as caught:
        secret.get()
    for place in ("headwater.context.secrets", "HEADWATER_SECRET_DB_PASS_WORD", str(folder / "db-pass.word")):
        assert place in str(caught.value)
    (folder / "db-pass.word").write_text("from a file\n")
    assert secret.get() == "from a file"
    monkeypatch.setenv("HEADWATER_SECRET_DB_PASS_WORD", "from the environment")
    assert secret.get() == "from the environment"
    with context(secrets={"db-pass.word": {"any": "value"}}):
        assert secret.get() == {"any": "value"}
    with context(secrets={"other": 1}):
        assert secret.get() == "from the environment"


@pytest.mark.parametrize(
    ("content", "value"), [(b"a\n", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b" a ", " a "), (b"", "")]
)
def test_one_newline_at_the_end_of_a_file_is_not_part_of_it(folder: Path, content: bytes, value: str) -> None:
    (folder / "key").write_bytes(content)
    assert Secret("key").get() == value


@pytest.mark.parametrize("name", ["", "../key", "a/b", ".hidden", "a b", "..", None])
def test_a_name_cannot_lead_elsewhere(name: Any) -> None:
    with pytest.raises(ValueError, match="A secret is called"):
        Secret(name)


def test_what_cannot_be_read_is_told_without_the_value(folder: Path) -> None:
    (folder / "binary").write_bytes(b"hunter2\xff")
    with pytest.raises(MissingSecretError, match="is not UTF-8") as caught:
        Secret("binary").get()
    assert caught.value.__context__ is None
    (folder / "folder").mkdir()
    with pytest.raises(MissingSecretError, match="cannot be read"):
        Secret("folder").get()
    with context(secrets="hunter2"), pytest.raises(TypeError, match="secrets is a str"):
        Secret("x").get()


@task
def length(text: str) -> int:
    return len(text)


def test_secrets_reach_tasks_and_are_neither_stored_nor_logged(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    (folder / "password").write_text("hunter2")
    monkeypatch.setenv("TOKEN_VARIABLE", "sesame")
    monkeypatch.setenv("HEADWATER_CHECKPOINTING", "true")
    with Flow("f", result=LocalResult(str(tmp_path / "results"))) as flow:
        n = length(SecretTask("password")())
        m = length(EnvVarSecret("TOKEN_VARIABLE")())
        k = length(SecretTask("given")())
    state = flow.run(context={"secrets": {"given": "opensesame"}})
    assert [state.result[t].result for t in (n, m, k)] == [7, 6, 10]
    stored = [path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert len(stored) == 3  # the lengths
    shown = caplog.text + repr(state) + repr(flow.tasks) + repr(list(state.result.values()))
    for value in ("hunter2", "sesame", "opensesame"):
        assert value not in shown
        assert not [data for data in stored if value.encode() in data]


def test_the_context_shows_no_secrets() -> None:
    with context(secrets={"password": "hunter2"}, place="ZRH"):
        assert "ZRH" in repr(context)
        assert "hunter2" not in repr(context)


def test_an_item_of_a_secret_is_not_stored_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_SECRET_LOGIN", '{"password": "hunter2"}')
    monkeypatch.setenv("HEADWATER_CHECKPOINTING", "true")
    with Flow("f", result=LocalResult(str(tmp_path))) as flow:
        n = length(SecretTask("LOGIN", cast=json.loads)()["password"])
    assert flow.run().result[n].result == 7
    assert [path for path in tmp_path.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()] == []
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1  # the length


def test_a_secret_may_be_converted_or_missing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("N", "7")
    (folder / "n").write_text("8")
    assert EnvVarSecret("N", cast=int).run() == 7
    assert SecretTask("n", cast=int).run() == 8
    assert SecretTask("other").run(secret_name="n") == "8"
    assert EnvVarSecret("NOT_THERE", cast=int).run() is None
    assert SecretTask("not-there", raise_if_missing=False).run() is None
    with pytest.raises(MissingSecretError, match='"NOT_THERE": the environment has no NOT_THERE'):
        EnvVarSecret("NOT_THERE", raise_if_missing=True).run()
    with pytest.raises(MissingSecretError, match='Secret "not-there" was not found'):
        SecretTask("not-there").run()


def test_a_conversion_that_fails_does_not_quote_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("N", "hunter2")
    with Flow("f") as flow:
        n = EnvVarSecret("N", cast=int)()
    state = flow.run().result[n]
    assert isinstance(state, Failed)
    assert "(ValueError)" in str(state.result)
    assert "hunter2" not in f"{state.message} {state.result} {state.result.__context__}"


@pytest.mark.parametrize("option", [{"target": "x"}, {"cache_key": "x", "cache_validator": bool}, {"checkpoint": True}])
def test_a_secret_is_refused_options_that_would_store_it(option: dict[str, Any]) -> None:
    with pytest.raises(FlowError, match="never stored; leave out"):
        SecretTask("password", **option)
    with pytest.raises(FlowError, match="never stored; leave out"):
        EnvVarSecret("PASSWORD", **option)


def test_secrets_travel_as_their_names() -> None:
    assert repr(pickle.loads(pickle.dumps(Secret("password")))) == '<Secret "password">'
    assert (SecretTask("password").name, EnvVarSecret("PASSWORD").name) == ("password", "PASSWORD")
    assert SecretTask("password", checkpoint=False).checkpoint is False


def test_arguments_of_the_call_count_more_than_those_of_the_constructor() -> None:
    with Flow("f") as flow:
        shell = ShellTask(command="echo made", env={"A": "1"})
        made, called = shell(), shell(command="echo called $A")
    state = flow.run()
    assert isinstance(state, Success)
    assert (state.result[made].result, state.result[called].result) == ("made", "called 1")
    assert defaults_from_attrs is not None


def test_importing_the_tasks_loads_nothing_that_only_their_runs_need() -> None:
    names = [
        "shell",
        "files",
        "templates",
        "database",
        "http",
        "notifications",
        "secrets",
        "kubernetes",
        "attributes",
        "control_flow",
        "core",
    ]
    code = (
        "import sys, headwater.notifications, "
        + ", ".join(f"headwater.tasks.{name}" for name in names)
        + "\nprint(sorted({'kubernetes', 'urllib3', 'jinja2', 'dask', 'distributed', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"
