"""What goes to an API server and what comes back, with one on this machine that can be cut off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import yaml

from headwater.core.errors import ClusterError
from headwater.kubernetes import client
from headwater.kubernetes.client import Cluster
from headwater.kubernetes.wire import AwayError, as_yaml_text, conflicting
from sdk.flow_server import FlowServer, conflict, manifest

TEXT = 'print("done 🚀")\t# \x00\x1b\x7f\x85\x9f\xa0\u2028\u2029\ufeff\ufffd\ufffe\uffff\U0010ffff \\ud83d "\\"'


def test_what_is_applied_is_json_and_yaml_alike() -> None:
    sent = as_yaml_text({"x": TEXT})
    assert "🚀" in sent  # as two escapes it would be no YAML
    assert json.loads(sent) == yaml.safe_load(sent) == {"x": TEXT}
    assert as_yaml_text({"x": json.loads('"\\ud83d\\ude80"')}) == '{"x": "🚀"}'


@pytest.mark.parametrize("half", ["\ud83d", "\ude80\ud83d"])
def test_half_a_character_is_told(half: str) -> None:
    with pytest.raises(ClusterError, match=r"half a character \(\\ud.*behind '.*see '"):
        as_yaml_text({"x": f"see {half}"})


def test_an_emoji_is_applied_and_the_answer_is_what_was_made(api: FlowServer) -> None:
    found = Cluster().apply("flows", manifest(), "me", force=True)
    ((path, body),) = api.applied
    assert path.endswith("/namespaces/sales/flows/f?fieldManager=me&force=true")
    assert "🚀".encode() in body
    assert (found["spec"]["title"], found["metadata"]["generation"]) == ("🚀", 1)


@pytest.mark.parametrize("fields", [(".spec.image",), (".spec.image", ".spec.title")])
def test_however_many_conflicts_there_are_force_is_named(api: FlowServer, fields: tuple[str, ...]) -> None:
    api.refuse = [conflict(*fields)]
    with pytest.raises(ClusterError, match=r"somebody else manages fields of it.*git.*--force"):
        Cluster().apply("flows", manifest(), "me")


def test_another_409_is_no_conflict_of_fields() -> None:
    assert conflicting(SimpleNamespace(body='{"message": "the object has been modified"}')) == ()
    assert conflicting(SimpleNamespace(body=None)) == ()


# Following


def followed(api: FlowServer, seconds: float | None = 20.0) -> Iterator[int]:
    return (flow["metadata"]["generation"] for flow in Cluster().follow("flows", "f", seconds))


def one_more(api: FlowServer) -> None:
    assert api.flow is not None
    api.apply({**api.flow, "spec": {"image": f"a:{api.watches}"}})


@pytest.mark.parametrize("seconds", [20.0, None])
def test_a_connection_that_is_lost_is_made_anew(api: FlowServer, seconds: float | None) -> None:
    api.apply(manifest())
    api.watched = [one_more, None, one_more, None, None, one_more]
    seen = followed(api, seconds)
    found: list[int] = []
    while 4 not in found:
        found.append(next(seen))
    assert sorted(set(found)) == [1, 2, 3, 4]
    assert found == sorted(found)
    assert api.watches >= 4


def test_a_server_that_stays_away_is_told_at_the_deadline(api: FlowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(server: FlowServer) -> None:
        server.away = True

    api.apply(manifest())
    api.watched = [leave, None]
    with pytest.raises(AwayError, match="The API server does not answer"):
        list(followed(api, 1.0))
    api.away, api.watched = False, [leave, None]
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(AwayError, match="The API server does not answer"):
        list(followed(api, None))


def test_what_was_deleted_while_nobody_looked_is_not_followed_on(api: FlowServer) -> None:
    def replace(server: FlowServer) -> None:
        server.flow = None

    api.apply(manifest())
    api.watched = [lambda server: server.change(), None, replace]
    seen = followed(api)
    assert next(seen) == 1

    def other(server: FlowServer) -> None:
        assert server.flow is not None
        server.flow["metadata"]["uid"] = "another"

    api.watched = [None]
    api.apply(manifest("a:2"))
    other(api)
    assert list(seen) == []
