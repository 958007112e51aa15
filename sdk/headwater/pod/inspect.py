"""`python -m headwater.pod.inspect`: look at a new version in its own image.

Imports the flow and writes its graph, its parameters' schema and the versions of what it runs on into
the FlowVersion's status; or what went wrong, in words.
"""

from __future__ import annotations

import headwater.pod.early  # noqa: F401  # before the imports that take long

# isort: split
import json
import logging
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from headwater import __version__
from headwater.core.entrypoint import load_flow
from headwater.core.flow import Flow
from headwater.core.parameter import parameters_schema
from headwater.engine.plan import Plan, labels, make_plan
from headwater.pod import process
from headwater.pod.api import PodApi
from headwater.pod.report import NAME_LENGTH, shorten
from headwater.pod.reporter import Reporter, StatusApi

logger = logging.getLogger("headwater.inspect")

GRAPH_BYTES = 256 * 1024


def main() -> None:
    """Inspect the version named in the environment; exit 0 when the flow can run."""
    process.begin()
    namespace, name = os.environ["HEADWATER_NAMESPACE"], os.environ["HEADWATER_VERSION"]
    reporter = Reporter(StatusApi(PodApi(), "flowversions", namespace, name))
    try:
        status = inspect(os.environ["HEADWATER_ENTRYPOINT"])
    except BaseException as error:
        logger.exception("The flow cannot be used")
        sentence, tail = process.explain(error)
        status = {"error": {"message": sentence[:1000], "traceback": tail[:8000]}}
    failed = "error" in status
    # Read only when the pod fails: then an operator that was away for too long inspects once more.
    process.leave_word({"message": status["error"]["message"]} if failed else {"unreported": True})
    written = reporter.close(status)
    process.end(0 if written and not failed else 1)


def inspect(entrypoint: str) -> dict[str, Any]:
    """Return the inspection's fields of a FlowVersion's status."""
    flow = load_flow(entrypoint, [Path(folder) for folder in process.source_folders()])
    return {
        "graph": graph_of(flow),
        "parametersSchema": parameters_schema(flow.parameters()),
        "runtime": _runtime(),
    }


def graph_of(flow: Flow) -> dict[str, Any]:
    """Return the graph as the status holds it; counts only when it is too large."""
    plan = make_plan(flow)
    tasks = _entries(plan)
    counts = {"tasks": len(tasks), "edges": sum(len(task["upstream"]) for task in tasks)}
    graph = {"counts": counts, "tasks": tasks}
    return graph if len(json.dumps(graph)) <= GRAPH_BYTES else {"counts": counts}


def _entries(plan: Plan) -> list[dict[str, Any]]:
    names = labels(plan)
    return [
        {
            "name": shorten(names[i], NAME_LENGTH),
            "slug": shorten(task.slug, NAME_LENGTH),
            "upstream": [
                shorten(plan.tasks[up].slug, NAME_LENGTH) for up in task.upstream if plan.tasks[up].parameter is None
            ],
            **({"mapped": True} if task.mapped else {}),
        }
        for i, task in enumerate(plan.tasks)
        if task.parameter is None
    ]


def _runtime() -> dict[str, str]:
    found = {"python": platform.python_version(), "headwater": __version__}
    try:
        found["distributed"] = version("distributed")
    except PackageNotFoundError:
        found["distributed"] = "absent"  # InProcess runs do not need it
    return found


if __name__ == "__main__":
    main()
