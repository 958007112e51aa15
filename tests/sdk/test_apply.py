"""What a registration says of what came of it, with an API server on this machine."""

from __future__ import annotations

import pytest

from headwater.core.errors import ClusterError
from headwater.kubernetes.client import Cluster
from headwater.registering.apply import apply_flow
from sdk.flow_server import FlowServer, conflict, manifest

WISH = ".metadata.annotations.headwater.dev/resolve-image"


def test_our_own_is_ours(api: FlowServer) -> None:
    api.watched = [lambda server: server.judge(1)]
    assert apply_flow(Cluster(), manifest(), seconds=20).words == "version 1"
    assert apply_flow(Cluster(), manifest(), seconds=20).words == "unchanged, version 1"


@pytest.mark.parametrize("theirs", [manifest("b:1"), manifest(wish="build-218")])
def test_what_somebody_else_does_meanwhile_is_not_ours(api: FlowServer, theirs: dict[str, object]) -> None:
    def other(server: FlowServer) -> None:
        server.apply(theirs)
        server.judge(2)

    api.watched = [other]
    with pytest.raises(ClusterError, match=r"was changed meanwhile by somebody else.*register again"):
        apply_flow(Cluster(), manifest(), seconds=20)


def test_a_wish_takes_the_place_of_one_by_kubectl(api: FlowServer) -> None:
    api.apply(manifest(wish="build-218"))
    api.judge(1)
    api.refuse = [conflict(WISH)]
    api.watched = [lambda server: server.judge(2)]
    assert apply_flow(Cluster(), manifest(wish="now"), seconds=20).words == "version 2 (before: 1)"
    assert ["force=true" in path for path, _ in api.applied] == [False, True]


@pytest.mark.parametrize(
    ("fields", "wish"),
    [((WISH, ".spec.image"), "now"), ((".spec.image",), "now"), ((WISH,), "")],
)
def test_nothing_else_of_somebody_is_taken_over(api: FlowServer, fields: tuple[str, ...], wish: str) -> None:
    api.refuse = [conflict(*fields)]
    with pytest.raises(ClusterError, match="--force"):
        apply_flow(Cluster(), manifest(wish=wish), seconds=20)


def test_the_wish_for_a_flow_without_an_image_stays_too(api: FlowServer) -> None:
    plain = {**manifest(), "spec": {"entrypoint": "flow.py:flow"}}
    api.apply({**plain, "metadata": {"name": "f", "annotations": {"headwater.dev/resolve-image": "then"}}})
    apply_flow(Cluster(), plain, seconds=0)
    assert api.flow is not None
    assert api.flow["metadata"]["annotations"] == {"headwater.dev/resolve-image": "then"}


def test_a_failure_that_may_be_over_names_a_way_out(api: FlowServer) -> None:
    api.watched = [lambda server: server.judge(3, Stalled="InspectionFailed")]
    found = apply_flow(Cluster(), manifest(), seconds=20)
    assert "kubectl -n sales delete flowversion f-v3, or change the flow" in found.problem
    api.judge(3, Stalled="ImagePullBackOff")
    assert "delete flowversion" not in apply_flow(Cluster(), manifest(), seconds=20).problem
