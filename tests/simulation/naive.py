"""What a run has to come to, told naively: task by task in order, with plain lists, and no events, batches or releases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SUCCESS, SKIPPED, MAPPED = "Success", "Skipped", "Mapped"
FAILED, TRIGGER_FAILED, CRASHED = "Failed", "TriggerFailed", "Crashed"
GOOD = (SUCCESS, SKIPPED, MAPPED)


@dataclass
class Edge:
    up: int
    key: str | None
    mapped: bool = False
    flattened: bool = False


@dataclass
class Task:
    """*outcomes* of child i (0 for an unmapped task) are taken round and round: ok, fail, skip, crash."""

    edges: list[Edge]
    trigger: str = "all_successful"
    skip: bool = True
    retries: int = 0
    outcomes: tuple[str, ...] = ("ok",)
    value: Any = "plain"
    checked: bool = False

    def outcome(self, index: int) -> str:
        return self.outcomes[max(index, 0) % len(self.outcomes)]


@dataclass
class Node:
    state: str
    value: Any = None
    children: list[Node] | None = None
    inputs: dict[str, Any] = field(default_factory=dict)

    def all(self) -> list[Node]:
        return [self] if self.children is None else self.children

    def result(self) -> Any:
        return self.value if self.children is None else [child.value for child in self.children]


def passes(trigger: str, states: list[str]) -> str | None:
    """Return None when the task may run, else the state that it enters."""
    good = [state in GOOD for state in states]
    answer = {
        "all_successful": all(good),
        "all_failed": not any(good),
        "any_successful": not good or any(good),
        "any_failed": not good or not all(good),
        "all_finished": True,
        "not_all_skipped": all(good),
    }[trigger]
    if trigger == "not_all_skipped" and states and all(state == SKIPPED for state in states):
        return SKIPPED
    return None if answer else TRIGGER_FAILED


def evaluate(tasks: list[Task]) -> list[Node]:
    nodes: list[Node] = []
    for i, task in enumerate(tasks):
        if any(edge.mapped for edge in task.edges):
            nodes.append(widen(i, task, nodes))
        else:
            states = [child.state for edge in task.edges for child in nodes[edge.up].all()]
            inputs = {edge.key: whole(nodes[edge.up], edge) for edge in task.edges if edge.key}
            nodes.append(run(i, task, -1, states, inputs))
    return nodes


def whole(node: Node, edge: Edge) -> Any:
    value = node.result()
    return [item for items in value for item in items] if edge.flattened else value


def widen(i: int, task: Task, nodes: list[Node]) -> Node:
    steady = [
        child.state
        for edge in task.edges
        for child in ([] if edge.mapped and nodes[edge.up].children is not None else nodes[edge.up].all())
    ]
    if task.skip and SKIPPED in steady:
        return Node(SKIPPED)
    lists, unknown = [], False
    for edge in task.edges:
        if not edge.mapped:
            continue
        found = items_of(nodes[edge.up], edge)
        if isinstance(found, str) and edge.key is not None:
            return Node(found, f"{found} error")
        if isinstance(found, str):
            unknown = True
        else:
            lists.append(found)
    if unknown and not lists:
        return Node(FAILED, f"{FAILED} error")
    width = min((len(found) for found in lists), default=0)
    children = []
    for index in range(width):
        states, inputs = [], {}
        for edge in task.edges:
            up = nodes[edge.up]
            if edge.mapped:
                found = items_of(up, edge)
                states.append(up.state if up.children is None else child_of(up, edge, index).state)
                if edge.key:
                    inputs[edge.key] = found[index]
            else:
                states += [child.state for child in up.all()]
                if edge.key:
                    inputs[edge.key] = whole(up, edge)
        children.append(run(i, task, index, states, inputs))
    return Node(MAPPED, children=children)


def items_of(up: Node, edge: Edge) -> list[Any] | str:
    """Return what is mapped over, or the state of a task that cannot be."""
    if up.children is None and up.state not in GOOD:
        return FAILED
    if edge.flattened and any(child.state not in GOOD for child in up.children or []):
        return TRIGGER_FAILED
    value = up.result()
    if not isinstance(value, list):
        return FAILED
    if not edge.flattened:
        return value
    if any(not isinstance(items, list) for items in value):
        return FAILED
    return [item for items in value for item in items]


def child_of(up: Node, edge: Edge, index: int) -> Node:
    assert up.children is not None
    if not edge.flattened:
        return up.children[index]
    owners = [child for child in up.children for _ in child.value]
    return owners[index]


def run(i: int, task: Task, index: int, states: list[str], inputs: dict[str, Any]) -> Node:
    if task.skip and SKIPPED in states:
        return Node(SKIPPED)
    refusal = passes(task.trigger, states)
    if refusal is not None:
        return Node(refusal, value=f"{refusal} error" if refusal == TRIGGER_FAILED else None)
    outcome = task.outcome(index)
    if outcome == "ok":
        return Node(SUCCESS, value_of(task, i, index), inputs=inputs)
    if outcome == "skip":
        return Node(SKIPPED, inputs=inputs)
    return Node(FAILED if outcome == "fail" else CRASHED, f"{outcome} error", inputs=inputs)


def value_of(task: Task, i: int, index: int) -> Any:
    if task.value == "plain":
        return f"r{i}.{index}"
    if task.value == "list":
        return [f"r{i}.{index}.{n}" for n in range(i % 4)]
    return [[f"r{i}.{index}.{n}.{m}" for m in range(n)] for n in range(i % 4)]
