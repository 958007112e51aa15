"""What a drawing of a flow shows, as plain values: boxes and the arrows between them.

The layout and the writers of SVG and Mermaid read nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from headwater.core.flow import Flow
from headwater.core.graph import Edge
from headwater.core.parameter import Parameter
from headwater.core.states import State
from headwater.core.task import Task

# A mapped task that ran has a box per child up to this many, and one box that counts them past it.
MOST_CHILDREN = 20
MOST_MESSAGE = 500


class Kind(StrEnum):
    TASK = "task"
    PARAMETER = "parameter"
    MAPPED = "mapped"


@dataclass(frozen=True)
class Node:
    """A box: *name* then *suffix*, and *note* on a line below. *color* is that of its state, if it has one.

    *shares* are the colours of the states of children that have no boxes, each with how many there are.
    """

    name: str
    kind: Kind
    suffix: str = ""
    note: str = ""
    color: str | None = None
    details: str = ""
    shares: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Arrow:
    """From one node to another, by their places in the drawing."""

    upstream: int
    downstream: int
    label: str | None = None
    mapped: bool = False


@dataclass(frozen=True)
class Drawing:
    title: str
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]


def draw(flow: Flow, flow_state: State | None = None) -> Drawing:
    """Return what to draw of a flow, in the order of its definition.

    Raises CycleError for a flow that cannot run, TypeError for what is no flow or no state, and
    ValueError for a state that is not of a run of this flow.
    """
    if not isinstance(flow, Flow):
        raise TypeError(f"{flow!r} cannot be drawn: it is no flow; give a headwater.Flow.")
    flow.sorted_tasks()
    states = _states(flow, flow_state)
    mapped = {edge.downstream for edge in flow.edges if getattr(edge, "mapped", False)}
    nodes: list[Node] = []
    places: dict[Task, Sequence[int]] = {}
    for task, slug in flow.slugs.items():
        boxes = list(_boxes(task, slug, states.get(task), task in mapped))
        places[task] = range(len(nodes), len(nodes) + len(boxes))
        nodes += boxes
    expanded = {task for task in mapped if _shown_children(states.get(task))}
    arrows = [arrow for edge in flow.edges for arrow in _arrows(edge, places, expanded)]
    return Drawing(flow.name, tuple(nodes), tuple(arrows))


def _states(flow: Flow, flow_state: State | None) -> Mapping[Task, State]:
    if flow_state is None:
        return {}
    if not isinstance(flow_state, State):
        raise TypeError(f'Flow "{flow.name}" cannot be drawn with {flow_state!r}: give the state that run() returned.')
    states = flow_state.result
    if not isinstance(states, Mapping):
        raise ValueError(
            f'Flow "{flow.name}" cannot be drawn with {flow_state!r}: its result holds no states of tasks; '
            "give the state that run() returned."
        )
    if states and flow.tasks and not any(task in states for task in flow.tasks):
        raise ValueError(f'Flow "{flow.name}" cannot be drawn with {flow_state!r}: it is of a run of another flow.')
    return states


def _shown_children(state: State | None) -> Sequence[State | None]:
    """Return the children that get a box each: none when there are none, or too many."""
    children: Sequence[State | None] = getattr(state, "map_states", None) or ()
    return children if len(children) <= MOST_CHILDREN else ()


def _boxes(task: Task, slug: str, state: State | None, mapped: bool) -> Iterator[Node]:
    if not mapped:
        yield _box(task, slug, state, Kind.PARAMETER if isinstance(task, Parameter) else Kind.TASK, "")
        return
    children = _shown_children(state)
    for i, child in enumerate(children):
        yield _box(task, slug, child, Kind.MAPPED, f"[{i}]")
    if not children:
        yield _box(task, slug, state, Kind.MAPPED, " <map>")


def _box(task: Task, slug: str, state: State | None, kind: Kind, suffix: str) -> Node:
    details = [f"{task.name}{suffix}"]
    if kind is not Kind.PARAMETER:  # the slug of a parameter is its name
        details.append(f"slug: {slug}")
    tags = sorted(getattr(task, "tags", None) or ())
    if tags:
        details.append(f"tags: {', '.join(tags)}")
    if state is None:
        return Node(task.name, kind, suffix, details="\n".join(details))
    counts = _counts(getattr(state, "map_states", None) or ())
    note = ", ".join(f"{count} {name}" for (name, _), count in counts) or state.name
    details.append(f"{state.name}: {state.message[:MOST_MESSAGE]}" if state.message else state.name)
    if counts:
        details.append(note)
    shares = tuple((color, count) for (_, color), count in counts)
    return Node(task.name, kind, suffix, note, state.color, "\n".join(details), shares)


def _counts(children: Sequence[State | None]) -> list[tuple[tuple[str, str], int]]:
    """Return the name and colour of each state of children with how many are in it, the most frequent first."""
    return Counter(
        ("without a state", State.color) if child is None else (child.name, child.color) for child in children
    ).most_common()


def _arrows(edge: Edge, places: Mapping[Task, Sequence[int]], expanded: set[Task]) -> Iterator[Arrow]:
    """Return an arrow per pair of boxes, the middle one with the argument's name."""
    mapped, flattened = getattr(edge, "mapped", False), getattr(edge, "flattened", False)
    ups, downs = places[edge.upstream], places[edge.downstream]
    pairs: list[tuple[int, int]] = [(up, down) for up in ups for down in downs]
    if mapped and not flattened and {edge.upstream, edge.downstream} <= expanded:
        pairs = list(zip(ups, downs, strict=False))  # child to child; the shortest input decides how many there are
    for i, (up, down) in enumerate(pairs):
        yield Arrow(up, down, edge.key if i == len(pairs) // 2 else None, mapped)
