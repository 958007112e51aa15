"""A run as the engine keeps it: the plan, and per task run where it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.core.states import Paused, Pending, Retrying, Scheduled, State
from headwater.engine.events import NO_REF, UNMAPPED, Given, Loop
from headwater.engine.inputs import Input, Length
from headwater.engine.plan import Plan

NOT_RUN = Pending("Task not run.")

# A child in one of these is not under way.
WAITING = (Retrying, Paused, Scheduled)

# What stands upstream of a task run: its task, and its child where one child is meant.
Key = tuple[int, int]


class TaskRun:
    """One task in one run, or one child of a mapped task.

    `waiting_for` counts what has to happen before it may be judged, `readers` the tasks that still want its result.
    `run_count` counts submissions; those that were no new run, as a pause was over or only the state handlers were
    told, are `uncounted`. `entering` is the state that the handlers are being told of.

    There may be a million of them: what each has is in slots, what few have takes room only where it is set.
    """

    __slots__ = (
        "__dict__",
        "finished_at",
        "length",
        "readers",
        "ref",
        "run_count",
        "started_at",
        "state",
        "waiting_for",
    )

    uncounted: int = 0
    resumed: bool = False
    entering: State | None = None
    given: bool = False
    loop: Loop | None = None
    stored: Any = None
    run_name: str | None = None
    children: list[TaskRun] | None = None
    family: Family | None = None
    given_children: Mapping[int, Given] | None = None
    given_in_turn: Given | None = None

    def __init__(self, waiting_for: int = 0, readers: int = 0) -> None:
        self.state: State = NOT_RUN
        self.waiting_for = waiting_for
        self.readers = readers
        self.run_count = 0
        self.ref: Any = NO_REF
        self.length: Length = None
        self.started_at: float | None = None
        self.finished_at: float | None = None

    @property
    def runs(self) -> int:
        """How often its function was run, or was about to be."""
        return self.run_count - self.uncounted


# In the place of children that nobody has looked at yet; never changed.
UNOPENED = TaskRun()


@dataclass(slots=True)
class Family:
    """What a mapped task knows of its children without looking at each.

    They are opened in the order of their index, `opened` being the next one; those that follow other children are
    opened by these. With `alike` they differ by their index only: one judgement and these inputs serve all of them.
    A task that has read all children from an index of `read_from` on will not read those that come. `failed`, `stored`
    and `paused` are the indexes of those children, `gathered` are their results as an input.
    """

    width: int
    unfinished: int
    counts: Counter[type[State]]
    readers: int
    follows: tuple[int, ...]
    opened: int = 0
    alike: dict[str, Input] | None = None
    read_from: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    paused: set[int] = field(default_factory=set)
    first_started_at: float | None = None
    gathered: Input | None = None

    @property
    def in_flight(self) -> int:
        """How many are submitted and have not ended; one that waits for its next run is not."""
        waiting = sum(self.counts[kind] for kind in WAITING if kind in self.counts)
        return self.opened - (self.width - self.unfinished) - waiting


@dataclass(frozen=True, slots=True)
class Links:
    """What the plan says of a task's neighbours, found once.

    *follows*: mapped upstream tasks whose children its own follow one by one. *data*: upstream tasks whose results it
    reads; *aligned*: those of them that only its child of the same index reads.
    """

    follows: tuple[int, ...]
    data: tuple[int, ...]
    aligned: frozenset[int]


@dataclass(slots=True)
class Run:
    """A run of a plan. With *keep_results* no result is released: `flow.run()` returns them all.

    *begun_at* is when the first task began, or was found to wait for a person; *cancelled* says who wanted it to stop,
    "" while nobody does; *marked*: somebody has said how a task ends.
    """

    plan: Plan
    keep_results: bool = True
    state: State = field(default_factory=lambda: Pending("Not begun."))
    tasks: list[TaskRun] = field(default_factory=list)
    links: list[Links] = field(default_factory=list)
    unfinished: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    begun_at: float | None = None
    cancelled: str = ""
    marked: bool = False

    def __post_init__(self) -> None:
        self.unfinished = len(self.plan.tasks)
        self.links = [_links(self.plan, i) for i in range(len(self.plan.tasks))]
        self.tasks = [TaskRun(waiting_for=len(task.upstream)) for task in self.plan.tasks]
        for links in self.links:
            for up in links.data:
                self.tasks[up].readers += 1

    def at(self, task: int, map_index: int = UNMAPPED) -> TaskRun:
        """Return a task run. Raises IndexError when there is no such child."""
        found = self.tasks[task]
        if map_index == UNMAPPED:
            return found
        if found.children is None or not 0 <= map_index < len(found.children):
            raise IndexError(f"task {task} has no child {map_index}")
        return found.children[map_index]

    def enter(self, task: int, map_index: int, state: State) -> None:
        """Change the state of a task run."""
        found = self.tasks[task]
        if map_index == UNMAPPED:
            found.state = state
            return
        assert found.children is not None, "a child is one of its task's"
        assert found.family is not None, "children are a family"
        child = found.children[map_index]
        counts = found.family.counts
        counts[type(child.state)] -= 1
        counts[type(state)] += 1
        if type(state) is Paused:
            found.family.paused.add(map_index)
        elif type(child.state) is Paused:
            found.family.paused.discard(map_index)
        child.state = state


def _links(plan: Plan, i: int) -> Links:
    by_up: dict[int, list[tuple[bool, bool]]] = {}
    for edge in plan.tasks[i].edges:
        one_by_one = edge.mapped and not edge.flattened and plan.tasks[edge.up].mapped
        by_up.setdefault(edge.up, []).append((one_by_one, edge.key is not None))
    follows = tuple(up for up, edges in by_up.items() if all(one for one, _ in edges))
    data = tuple(up for up, edges in by_up.items() if any(read for _, read in edges))
    aligned = frozenset(up for up in data if all(one for one, read in by_up[up] if read))
    return Links(follows, data, aligned)
