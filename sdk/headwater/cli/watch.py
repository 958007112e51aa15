"""`headwater watch`: follow a run in a cluster until it is finished."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from headwater.cli.console import console, interruptible
from headwater.cli.tasks import task_table
from headwater.core.errors import ClusterError
from headwater.kubernetes.client import Cluster
from headwater.resources.conditions import find


def watch(
    run: Annotated[str, typer.Argument(help="The FlowRun's name")],
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Default: kubeconfig's own")] = None,
    context: Annotated[str | None, typer.Option(help="A context of kubeconfig")] = None,
) -> None:
    """Follow a run until it is finished: live for a person, a line per change otherwise.

    Exits 0 on success, 1 when the run did not succeed, 2 when it cannot be followed.
    """
    out = console()
    follow = _live if out.is_terminal else _lines
    with interruptible(f'no longer watching; FlowRun "{run}" goes on'):
        final = follow(Cluster(namespace, context), run, out)
    if final is None:
        raise ClusterError(f'FlowRun "{run}" was deleted before it was finished.')
    raise typer.Exit(0 if final["status"] == "True" else 1)


def _live(cluster: Cluster, run: str, out: Console) -> dict[str, Any] | None:
    with Live(console=out, auto_refresh=False) as live:
        for manifest in cluster.follow("flowruns", run):
            live.update(Group(task_table(_tasks(manifest)), Text(headline(manifest))), refresh=True)
            final = _verdict(manifest)
            if final is not None:
                return final
    return None


def _lines(cluster: Cluster, run: str, out: Console) -> dict[str, Any] | None:
    told: dict[str, str] = {}
    for manifest in cluster.follow("flowruns", run):
        now = {task["name"]: task["state"] for task in manifest.get("status", {}).get("tasks", [])}
        for name, state in now.items():
            if told.get(f"task {name}") != state:
                out.print(f"  task {name}: {state}", highlight=False, markup=False)
                told[f"task {name}"] = state
        words = headline(manifest)
        if told.get("run") != words:
            out.print(words, highlight=False, markup=False)
            told["run"] = words
        final = _verdict(manifest)
        if final is not None:
            out.print(task_table(_tasks(manifest)))
            return final
    return None


def _verdict(manifest: dict[str, Any]) -> dict[str, Any] | None:
    condition = find(manifest.get("status", {}).get("conditions", []), "Succeeded")
    return dict(condition) if condition is not None and condition["status"] != "Unknown" else None


def _tasks(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = manifest.get("status", {}).get("tasks", [])
    return found


def headline(manifest: dict[str, Any]) -> str:
    """One line about the run: its state, its progress and why."""
    status = manifest.get("status", {})
    condition = find(status.get("conditions", []), "Succeeded") or {"reason": "Scheduled", "message": ""}
    version = status.get("version", {}).get("name", manifest["spec"]["flow"])
    progress = status.get("progress", {}).get("text")
    parts = [f"{manifest['metadata']['name']} ({version})", condition["reason"]]
    parts += [f"{progress} tasks"] if progress else []
    return (
        ": ".join([" ".join(parts), condition["message"].splitlines()[0]]) if condition["message"] else " ".join(parts)
    )
