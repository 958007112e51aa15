"""`headwater cancel`, `approve`, `reject`, `mark` and `restart`: what people do to runs, by patch or new FlowRun."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from headwater.cli.console import console
from headwater.cli.known import slug_of, stored_nothing, why_useless
from headwater.core.errors import ClusterError
from headwater.kubernetes.client import Cluster, UnfitError
from headwater.resources.conditions import find
from headwater.resources.names import API_VERSION, SCHEDULE_LABEL, object_name

Run = Annotated[str, typer.Argument(help="The FlowRun's name")]
TaskName = Annotated[str, typer.Argument(help="The task's slug, such as deploy-1, or its name")]
Index = Annotated[int | None, typer.Option(help="Which child of a mapped task, from 0")]
Message = Annotated[str, typer.Option("--message", "-m", help="Why; it becomes the task's message")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Default: kubeconfig's own")]
Context = Annotated[str | None, typer.Option(help="A context of kubeconfig")]

MOST_RESTARTS = 1000


@dataclass(frozen=True)
class Where:
    """A cluster, and what a command needs *more* to get there."""

    cluster: Cluster
    more: str

    @classmethod
    def of(cls, namespace: str | None, context: str | None) -> Where:
        more = (f" -n {namespace}" if namespace else "") + (f" --context {context}" if context else "")
        return cls(Cluster(namespace, context), more)


class Mark(StrEnum):
    SUCCESS = "Success"
    FAILED = "Failed"
    SKIPPED = "Skipped"


def cancel(
    run: Run,
    terminate: Annotated[bool, typer.Option("--terminate", help="Stop the pods, whatever runs in them")] = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Cancel a run: what runs is let finish, what cleans up runs, nothing else begins.

    Exits 0 when it is asked for, 2 when it cannot be.
    """
    where = Where.of(namespace, context)
    _under_way(where, run)
    wish = "Terminate" if terminate else "Cancel"
    where.cluster.patch("flowruns", run, {"spec": {"cancel": wish}})
    _say(f'FlowRun "{run}" is asked to end (spec.cancel: {wish}); `headwater watch {run}{where.more}` follows it')


def approve(
    run: Run,
    task: TaskName,
    index: Index = None,
    message: Message = "",
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Let a task go on that is paused for a person; of a mapped task all children, or one.

    Exits 0 when it is said, 2 when it cannot be.
    """
    _decide(run, task, "Approve", index, message, Where.of(namespace, context))


def reject(
    run: Run,
    task: TaskName,
    index: Index = None,
    message: Message = "",
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Let a task fail that is paused for a person.

    Exits 0 when it is said, 2 when it cannot be.
    """
    _decide(run, task, "Reject", index, message, Where.of(namespace, context))


def mark(
    run: Run,
    task: TaskName,
    state: Annotated[Mark, typer.Argument(help="How the task ends")],
    index: Index = None,
    message: Message = "",
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Say how a task of a run under way ends, whatever it waits for or does. It has no result then.

    Exits 0 when it is said, 2 when it cannot be.
    """
    _decide(run, task, state, index, message, Where.of(namespace, context))


def restart(
    run: Run,
    begin: Annotated[
        list[str] | None, typer.Option("--from", help="A task that runs again though it succeeded; several times")
    ] = None,
    marks: Annotated[
        list[str] | None, typer.Option("--mark", help="TASK=Success, Failed or Skipped: how a task ends, unrun")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The new run's name. Default: the old one's, numbered")] = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Make a run that goes on where a finished one ended: what succeeded there is not run again.

    Exits 0 when the run is made, 2 when it cannot be.
    """
    where = Where.of(namespace, context)
    cluster, more = where.cluster, where.more
    old = cluster.get("flowruns", run)
    if not _is_finished(old):
        raise ClusterError(f'FlowRun "{run}" is not finished; wait for it, or `headwater cancel {run}{more}`.')
    again = [_check_task(cluster, old, task) for task in begin or []]
    decisions = [_parsed(cluster, old, text) for text in marks or []]
    if stored_nothing(old):
        _say(
            f'Beware: the status of "{run}" tells of no stored result. Without a result on the flow, such as '
            "Flow(..., result=S3Result(...)), nothing was kept, and the new run will fail and say so."
        )
    made = restarted(old, again, decisions)
    for title in [name] if name is not None else [object_name(f"{_stem(run)}-r{n}") for n in range(2, MOST_RESTARTS)]:
        made["metadata"]["name"] = title
        if cluster.create("flowruns", made):
            break
    else:
        raise ClusterError(f'There is a FlowRun "{title}" in namespace "{cluster.namespace}" already; give a --name.')
    _say(f'FlowRun "{title}" goes on where "{run}" ended; `headwater watch {title}{more}` follows it')


def restarted(old: dict[str, Any], begin: list[str], decisions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the manifest of a run that goes on where another ended: of the same version, with its parameters.

    Argo CD's action "Retry what failed" makes the same (helm/argocd, FlowRun/actions/retry-failed).
    """
    spec: dict[str, Any] = {
        name: old["spec"][name] for name in ("flow", "parameters", "title", "scheduledTime") if name in old["spec"]
    }
    number = old.get("status", {}).get("version", {}).get("number") or old["spec"].get("version")
    if number is not None:
        spec["version"] = number
    spec["resumeFrom"] = {"run": old["metadata"]["name"], **({"tasks": begin} if begin else {})}
    if decisions:
        spec["decisions"] = decisions
    return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": _handed_on(old["metadata"]), "spec": spec}


def _handed_on(metadata: dict[str, Any]) -> dict[str, Any]:
    """What a run's metadata gives to one that goes on from it: the Flow that it is of, and the schedule. The run that
    started it is left out: its wishes would hold for the new one, which nobody there waits for."""
    labels = {name: text for name, text in metadata.get("labels", {}).items() if name == SCHEDULE_LABEL}
    owners = [owner for owner in metadata.get("ownerReferences", []) if owner["kind"] == "Flow"]
    return {**({"labels": labels} if labels else {}), **({"ownerReferences": owners} if owners else {})}


def _stem(run: str) -> str:
    """A run's name without the number of an earlier restart."""
    stem, _, last = run.rpartition("-r")
    return stem if stem and last.isdecimal() else run


def _parsed(cluster: Cluster, run: dict[str, Any], text: str) -> dict[str, Any]:
    task, _, state = text.rpartition("=")
    if not task or state not in {str(each) for each in Mark}:
        raise ClusterError(f"--mark {text}: write TASK=STATE, such as load-1=Success; a state is {', '.join(Mark)}.")
    return {"task": _check_task(cluster, run, task), "decision": state}


def _decide(run: str, task: str, decision: str, index: int | None, message: str, where: Where) -> None:
    cluster, more = where.cluster, where.more
    for last in (False, False, False, True):
        manifest = _under_way(where, run)
        entry: dict[str, Any] = {"task": _check_task(cluster, manifest, task), "decision": str(decision)}
        refusal = why_useless(manifest, entry["task"], entry["decision"], index)
        if refusal:
            raise ClusterError(f'FlowRun "{run}": {refusal}.')
        if index is not None:
            entry["mapIndex"] = index
        if message:
            entry["message"] = message
        try:
            cluster.patch("flowruns", run, one_more(manifest, entry))
            break
        except UnfitError:
            if last or cluster.get("flowruns", run)["metadata"]["generation"] == manifest["metadata"]["generation"]:
                raise
            # Somebody else has decided something at the same time.
    _say(f'FlowRun "{run}": {decision} {entry["task"]}; `headwater watch {run}{more}` follows it')


def one_more(run: dict[str, Any], entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the patch that puts a decision behind those that are there; of two who make the list one is refused."""
    if run["spec"].get("decisions"):
        return [{"op": "add", "path": "/spec/decisions/-", "value": entry}]
    unchanged = {"op": "test", "path": "/metadata/generation", "value": run["metadata"]["generation"]}
    return [unchanged, {"op": "add", "path": "/spec/decisions", "value": [entry]}]


def _under_way(where: Where, run: str) -> dict[str, Any]:
    found = where.cluster.get("flowruns", run)
    if _is_finished(found):
        state = (find(found["status"]["conditions"], "Succeeded") or {})["reason"]
        raise ClusterError(
            f'FlowRun "{run}" is finished already: {state}. `headwater restart {run}{where.more}` goes on from there.'
        )
    return found


def _is_finished(run: dict[str, Any]) -> bool:
    condition = find(run.get("status", {}).get("conditions", []), "Succeeded")
    return condition is not None and condition["status"] != "Unknown"


def _check_task(cluster: Cluster, run: dict[str, Any], task: str) -> str:
    """Return the task's slug. The version may be deleted by now, and the run goes on."""
    version = run.get("status", {}).get("version", {}).get("name")
    if version is None:
        return task  # it has not begun: the run itself will tell
    return slug_of(run, cluster.find("flowversions", version), task)


def _say(words: str) -> None:
    console().print(words, highlight=False, markup=False)
