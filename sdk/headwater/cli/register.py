"""`headwater register`: put a flow into a cluster."""

from __future__ import annotations

import contextlib
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from headwater.cli.console import console, interruptible
from headwater.cli.loading import load
from headwater.cli.values import parse_parameters, read_parameters
from headwater.kubernetes.client import Cluster, check_namespace
from headwater.registering.register import WAIT_SECONDS, Options, manifest_of
from headwater.registering.register import register as register_in


class Provisioner(StrEnum):
    PODS = "Pods"
    IN_PROCESS = "InProcess"


def register(
    entrypoint: Annotated[str, typer.Argument(help="file.py, file.py:flow or package.module:flow")],
    project: Annotated[
        str | None, typer.Option("--project", "-n", "--namespace", help="A namespace. Default: kubeconfig's own")
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="An image that holds the flow. Without one the flow's file goes along")
    ] = None,
    place: Annotated[
        str | None,
        typer.Option("--entrypoint", help="Where the image has the flow, such as flows/etl.py:flow or pkg.etl:flow"),
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="name=value over the defaults in the code; several times")
    ] = None,
    param_file: Annotated[
        Path | None, typer.Option(help="a JSON or YAML file of parameters; --param goes before it")
    ] = None,
    workers: Annotated[str | None, typer.Option(help="How many worker pods a run gets")] = None,
    provisioner: Annotated[
        Provisioner | None, typer.Option(help="Pods: workers of its own; InProcess: threads of the runner")
    ] = None,
    schedule: Annotated[
        bool, typer.Option("--schedule/--no-schedule", help="Whether the flow's schedule makes runs")
    ] = True,
    pin: Annotated[
        bool, typer.Option("--pin/--no-pin", help="Whether to ask the registry for the digest of the image's tag")
    ] = True,
    resolve: Annotated[
        bool, typer.Option("--resolve", help="Let the cluster look up anew what the image's tag stands for")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Take over fields that somebody else manages")] = False,
    timeout: Annotated[
        float, typer.Option(help="How many seconds to wait for the version to be inspected; 0: not at all")
    ] = WAIT_SECONDS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resource as YAML, and apply nothing")] = False,
    context: Annotated[str | None, typer.Option(help="A context of kubeconfig")] = None,
) -> None:
    """Put a flow into a cluster: its Flow resource is applied, and its version, if it is a new one, inspected.

    Exits 0 when the flow can run, 1 when its version cannot, 2 when it cannot be registered.
    """
    options = Options(
        image=image,
        parameters={
            **(read_parameters(param_file) if param_file is not None else {}),
            **parse_parameters(param or []),
        },
        execution=_execution(workers, provisioner),
        active=schedule,
        pin=pin,
        resolve=resolve,
        force=force,
        seconds=timeout,
        target=entrypoint,
        entrypoint=place,
    )
    check_namespace(project)
    with contextlib.redirect_stdout(sys.stderr) if dry_run else contextlib.nullcontext():
        flow = load(entrypoint)
    if dry_run:
        # Nothing but YAML on the standard output: it may be piped.
        manifest = manifest_of(flow, options, lambda words: typer.echo(f"headwater: {words}", err=True))
        typer.echo(as_yaml(manifest if project is None else _in(manifest, project)), nl=False)
        return
    with interruptible("no longer waiting; what was applied stays"):
        outcome = register_in(flow, Cluster(project, context), options, _say)
    raise typer.Exit(1 if outcome.problem else 0)


def _execution(workers: str | None, provisioner: Provisioner | None) -> dict[str, Any]:
    found: dict[str, Any] = {} if provisioner is None else {"provisioner": str(provisioner)}
    if workers is not None:
        if not workers.isdecimal():
            raise typer.BadParameter(f"{workers} is no number", param_hint="--workers")
        found["workers"] = int(workers)
    return found


def _in(manifest: dict[str, Any], namespace: str) -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as it is: files are to be read."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def as_yaml(manifest: dict[str, Any]) -> str:
    """Return a manifest as people write them."""
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _say(words: str) -> None:
    console().print(words, highlight=False, markup=False)
