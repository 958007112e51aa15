"""`headwater start`: make a run of a flow in a cluster."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from headwater.cli.console import console
from headwater.cli.values import parse_parameters, read_parameters
from headwater.cli.watch import watch as follow
from headwater.core.errors import ClusterError
from headwater.kubernetes.client import Cluster
from headwater.resources.names import API_VERSION, object_name
from headwater.resources.parameters import check_values
from headwater.resources.titles import flow_called


def start(
    flow: Annotated[str, typer.Argument(help="The Flow's name, or its title")],
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="name=value; may be repeated")] = None,
    param_file: Annotated[
        Path | None, typer.Option(help="a JSON or YAML file of parameters; --param goes before it")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The run's name. Default: the flow's, and the time")] = None,
    key: Annotated[
        str | None, typer.Option(help="An idempotency key: what has been executed under it is not executed again")
    ] = None,
    version: Annotated[int | None, typer.Option(help="Number of a version. Default: the current one")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow the run to its end")] = False,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Default: kubeconfig's own")] = None,
    context: Annotated[str | None, typer.Option(help="A context of kubeconfig")] = None,
) -> None:
    """Make a run of a flow that is in a cluster.

    Exits 0 when it is made, 2 when it cannot be; with --watch 1 when the run did not succeed.
    """
    given = {**(read_parameters(param_file) if param_file is not None else {}), **parse_parameters(param or [])}
    check_values(given)
    cluster = Cluster(namespace, context)
    flow = flow_called(flow, cluster.find_all("flows"), cluster.namespace)
    run = run_manifest(flow, name or _new_name(flow), given, key, version)
    title = run["metadata"]["name"]
    if not cluster.create("flowruns", run):
        raise ClusterError(f'There is a FlowRun "{title}" in namespace "{cluster.namespace}" already.')
    out = console()
    hint = "" if watch else f"; `headwater watch {title} -n {cluster.namespace}` follows it"
    out.print(f'FlowRun "{title}" is made{hint}', highlight=False, markup=False)
    if watch:
        follow(title, namespace, context)


def run_manifest(
    flow: str, name: str, parameters: dict[str, Any], key: str | None = None, version: int | None = None
) -> dict[str, Any]:
    """Return the FlowRun."""
    spec: dict[str, Any] = {"flow": flow}
    if version is not None:
        spec["version"] = version
    if parameters:
        spec["parameters"] = parameters
    if key is not None:
        spec["idempotencyKey"] = key
    return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": {"name": name}, "spec": spec}


def _new_name(flow: str) -> str:
    return object_name(f"{flow}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}")
