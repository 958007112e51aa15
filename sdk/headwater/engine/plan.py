"""The plan of a run: a flow's graph as numbers and tuples, made once, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.core.parameter import Parameter

if TYPE_CHECKING:
    from headwater.core.flow import Flow


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """What the engine must know of one task.

    *upstream* and *downstream* are indexes into `Plan.tasks`, each once; *inputs* are the
    arguments that come from upstream results; *parameter* is set for a Parameter.
    """

    name: str
    slug: str
    upstream: tuple[int, ...] = ()
    downstream: tuple[int, ...] = ()
    inputs: tuple[tuple[str, int], ...] = ()
    max_retries: int = 0
    retry_delay_seconds: float = 0.0
    parameter: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A flow as the engine sees it; `reference` are the tasks that decide the final state."""

    flow_name: str
    tasks: tuple[TaskPlan, ...]
    reference: frozenset[int]


def make_plan(flow: Flow) -> Plan:
    """Compile a flow. Raises FlowError when it cannot run (see Flow.validate)."""
    flow.validate()
    index = {task: number for number, task in enumerate(flow.tasks)}
    upstream: list[dict[int, None]] = [{} for _ in flow.tasks]
    downstream: list[dict[int, None]] = [{} for _ in flow.tasks]
    inputs: list[list[tuple[str, int]]] = [[] for _ in flow.tasks]
    for edge in flow.edges:
        up, down = index[edge.upstream], index[edge.downstream]
        upstream[down][up] = None
        downstream[up][down] = None
        if edge.key is not None:
            inputs[down].append((edge.key, up))
    slugs = flow.slugs
    tasks = tuple(
        TaskPlan(
            name=task.name,
            slug=slugs[task],
            upstream=tuple(upstream[number]),
            downstream=tuple(downstream[number]),
            inputs=tuple(inputs[number]),
            max_retries=task.max_retries,
            retry_delay_seconds=task.retry_delay.total_seconds() if task.retry_delay else 0.0,
            parameter=task.name if isinstance(task, Parameter) else None,
        )
        for task, number in index.items()
    )
    return Plan(flow.name, tasks, frozenset(index[task] for task in flow.reference_tasks()))


def labels(plan: Plan) -> list[str]:
    """Return what people call each task: its name, or its slug where two tasks share the name."""
    count: dict[str, int] = {}
    for task in plan.tasks:
        count[task.name] = count.get(task.name, 0) + 1
    return [task.name if count[task.name] == 1 else task.slug for task in plan.tasks]
