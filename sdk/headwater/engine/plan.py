"""The plan of a run: a flow's graph as numbers and tuples, made once, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from headwater.core import triggers
from headwater.core.errors import FlowError
from headwater.core.parameter import Parameter
from headwater.core.states import State

if TYPE_CHECKING:
    from headwater.core.flow import Flow
    from headwater.core.task import Task

RESOURCE_TAG = "dask-resource:"

# A callable retry_delay is asked for so many attempts ahead; the last answer holds for all that follow.
DELAYS_AHEAD = 50


@dataclass(frozen=True, slots=True)
class EdgePlan:
    """What a task gets from an upstream one: its result as argument *key*, or with None only its end.

    *mapped*: item by item; *flattened*: of its items' items.
    """

    up: int
    key: str | None = None
    mapped: bool = False
    flattened: bool = False


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """What the engine must know of one task.

    *upstream* and *downstream* are indexes into `Plan.tasks`, each once. *trigger* is None when only user code can
    tell, which the worker asks. *checked* tasks are told the states upstream of them. *handled* ones have state
    handlers, which see every transition. A *plain* one ends in Success or Failed and leaves nothing to tell but that.
    One *beside* the engine runs in its process, wherever the others do. An *automatic* one nobody wrote: it makes a
    list of results, or takes an item. One that *cleans_up* runs whatever became of the others, also of a cancelled run.
    One of a *resource* makes its manager, sets it up or cleans it up, which is of use in one run only.
    *limited* are those of its tags of which it needs a slot each to begin.
    """

    name: str
    slug: str
    edges: tuple[EdgePlan, ...] = ()
    upstream: tuple[int, ...] = ()
    downstream: tuple[int, ...] = ()
    mapped: bool = False
    trigger: Any = triggers.all_successful
    skip_on_upstream_skip: bool = True
    checked: bool = False
    handled: bool = False
    plain: bool = True
    measure: int = 0
    max_retries: int = 0
    retry_delays: tuple[float, ...] = (0.0,)
    parameter: str | None = None
    resources: tuple[tuple[str, float], ...] = ()
    beside: bool = False
    automatic: bool = False
    cleans_up: bool = False
    resource: bool = False
    limited: tuple[str, ...] = ()

    def retry_delay_seconds(self, run_count: int) -> float:
        """How long to wait after this run of the task."""
        return self.retry_delays[min(run_count, len(self.retry_delays)) - 1]


@dataclass(frozen=True, slots=True)
class Plan:
    """A flow as the engine sees it; `reference` are the tasks that decide the final state."""

    flow_name: str
    tasks: tuple[TaskPlan, ...]
    reference: frozenset[int]
    slugs: Mapping[str, int]


def plan_of(flow_name: str, tasks: tuple[TaskPlan, ...], reference: frozenset[int]) -> Plan:
    return Plan(flow_name, tasks, reference, {task.slug: number for number, task in enumerate(tasks)})


def make_plan(flow: Flow, limited: Set[str] = frozenset()) -> Plan:
    """Compile a flow; *limited* tags have slots. Raises FlowError when it cannot run (see Flow.validate)."""
    flow.validate()
    index = {task: number for number, task in enumerate(flow.tasks)}
    edges: list[list[EdgePlan]] = [[] for _ in flow.tasks]
    downstream: list[dict[int, None]] = [{} for _ in flow.tasks]
    for edge in flow.edges:
        up, down = index[edge.upstream], index[edge.downstream]
        downstream[up][down] = None
        edges[down].append(EdgePlan(up, edge.key, edge.mapped, edge.flattened))
    slugs = flow.slugs
    mapped = [any(edge.mapped for edge in edges[number]) for number in range(len(edges))]
    tasks = tuple(
        _task_plan(flow, task, slugs[task], edges[i], tuple(downstream[i]), _measure(i, edges, downstream, mapped))
        for task, i in index.items()
    )
    if limited:
        pairs = zip(flow.tasks, tasks, strict=True)
        tasks = tuple(replace(plan, limited=_limited(task, limited)) for task, plan in pairs)
    return plan_of(flow.name, tasks, frozenset(index[task] for task in flow.reference_tasks()))


def _limited(task: Task, limited: Set[str]) -> tuple[str, ...]:
    """What nobody wrote, and what runs nothing, is not counted."""
    if task.auto_generated or isinstance(task, Parameter):
        return ()
    return tuple(sorted(task.tags & limited))


def _task_plan(
    flow: Flow, task: Task, slug: str, edges: list[EdgePlan], downstream: tuple[int, ...], measure: int
) -> TaskPlan:
    handled = bool(task.state_handlers or task.on_failure)
    built_in = task.trigger in triggers.BUILT_IN
    stored = task.cache_for is not None or task.target is not None or task.cache_validator is not None
    checked = handled or stored or not built_in
    return TaskPlan(
        name=task.name,
        slug=slug,
        edges=tuple(edges),
        upstream=tuple(dict.fromkeys(edge.up for edge in edges)),
        downstream=downstream,
        mapped=any(edge.mapped for edge in edges),
        trigger=task.trigger if built_in else None,
        skip_on_upstream_skip=task.skip_on_upstream_skip,
        checked=checked,
        handled=handled,
        plain=not checked and not measure and task.task_run_name is None and not _may_store(flow, task),
        measure=measure,
        max_retries=task.max_retries,
        retry_delays=retry_delays(task),
        parameter=task.name if isinstance(task, Parameter) else None,
        resources=resources_of(task),
        beside=task.beside_engine,
        automatic=task.auto_generated,
        cleans_up=task.trigger is triggers.all_finished or task.is_cleanup_task,
        resource=task.is_resource_task,
    )


def _may_store(flow: Flow, task: Task) -> bool:
    """Whether its result may be stored, so that there is an address to tell."""
    has_place = task.result is not None or flow.result is not None
    return has_place if task.checkpoint is None else task.checkpoint


def resources_of(task: Task) -> tuple[tuple[str, float], ...]:
    """Return what a task asks of a worker by its tags. Raises FlowError for one that cannot be read."""
    found = []
    for tag in sorted(tag for tag in task.tags if tag.startswith(RESOURCE_TAG)):
        name, _, number = tag.removeprefix(RESOURCE_TAG).partition("=")
        try:
            found.append((name, float(number)))
        except ValueError:
            raise FlowError(
                f'Task "{task.name}" has the tag "{tag}"; write the resource with a number, as in {RESOURCE_TAG}GPU=1.'
            ) from None
    return tuple(found)


def _measure(i: int, edges: list[list[EdgePlan]], downstream: list[dict[int, None]], mapped: list[bool]) -> int:
    """How deep a result's lengths are wanted: 0 not at all, 1 its own, 2 those of its items too."""
    wanted = [edge for down in downstream[i] for edge in edges[down] if edge.up == i and edge.mapped]
    if mapped[i]:
        return 1 if any(edge.flattened for edge in wanted) else 0
    return max((2 if edge.flattened else 1 for edge in wanted), default=0)


def retry_delays(task: Task) -> tuple[float, ...]:
    """Return the seconds to wait after the first run, the second and so on; the last holds for the rest."""
    delay = task.retry_delay
    if delay is None:
        return (0.0,)
    if isinstance(delay, timedelta):
        return (delay.total_seconds(),)
    if not callable(delay):
        return tuple(each.total_seconds() for each in delay) or (0.0,)
    found = []
    for attempt in range(1, min(max(task.max_retries, 1), DELAYS_AHEAD) + 1):
        answer = delay(attempt)
        if not isinstance(answer, timedelta) or answer < timedelta(0):
            raise FlowError(
                f'Task "{task.name}": retry_delay({attempt}) gave {answer!r}; return a timedelta of zero or more.'
            )
        found.append(answer.total_seconds())
    return tuple(found)


def depths(plan: Plan) -> list[int]:
    """Return for each task how many stand before it on its longest way."""
    found = [0] * len(plan.tasks)
    waiting = [len(task.upstream) for task in plan.tasks]
    ready = [i for i, count in enumerate(waiting) if not count]
    while ready:
        i = ready.pop()
        for down in plan.tasks[i].downstream:
            found[down] = max(found[down], found[i] + 1)
            waiting[down] -= 1
            if not waiting[down]:
                ready.append(down)
    return found


def labels(plan: Plan) -> list[str]:
    """Return what people call each task: its name, or its slug where two tasks share the name."""
    count: dict[str, int] = {}
    for task in plan.tasks:
        count[task.name] = count.get(task.name, 0) + 1
    return [task.name if count[task.name] == 1 else task.slug for task in plan.tasks]


@dataclass(frozen=True, slots=True)
class UpstreamTask:
    """Who stands upstream, as a trigger sees it."""

    name: str
    slug: str


@dataclass(frozen=True, slots=True)
class UpstreamEdge:
    """An edge as a trigger sees it; one per child where a mapped task is reduced."""

    upstream: UpstreamTask
    key: str | None
    mapped: bool
    map_index: int
    number: int

    @property
    def upstream_task(self) -> UpstreamTask:
        return self.upstream


UpstreamStates = dict[UpstreamEdge, State]
