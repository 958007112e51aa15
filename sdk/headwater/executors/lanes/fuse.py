"""Which task run can follow another on the same lane before the engine has asked for it. Pure.

It is one that the engine is bound to submit once the other has succeeded: it waits for nothing else that is not over,
and its trigger and inputs are known. The engine still decides: it gets the records in the order in which it would have
submitted the task runs.
"""

from __future__ import annotations

from headwater.core import triggers
from headwater.core.states import Success
from headwater.engine.events import NO_REF, UNMAPPED
from headwater.engine.inputs import Input, Value, Whole
from headwater.engine.plan import Plan, TaskPlan
from headwater.engine.run import Key, Run

# So many task runs are fused at most; the rest of a longer chain is another batch.
LONGEST = 256

# A task's only follower by its place in the plan, or None.
Followers = tuple[int | None, ...]


def followers(plan: Plan) -> Followers:
    """Return for each task the one that may follow it on its lane, as far as the plan tells."""
    return tuple(_follower(plan, i) for i in range(len(plan.tasks)))


def _follower(plan: Plan, i: int) -> int | None:
    task = plan.tasks[i]
    if len(task.downstream) != 1 or task.beside or task.parameter is not None:
        return None
    (j,) = task.downstream
    after = plan.tasks[j]
    if not _is_simple(after) or after.mapped != task.mapped:
        return None
    own = [edge for edge in after.edges if edge.up == i]
    others = [edge for edge in after.edges if edge.up != i]
    # Item by item from a mapped task; whole from one that is not.
    fits = all(edge.mapped == task.mapped and not edge.flattened for edge in own)
    return j if fits and not any(edge.mapped or edge.flattened for edge in others) else None


def _is_simple(task: TaskPlan) -> bool:
    told_late = task.checked or task.beside or task.resources or task.limited
    return not told_late and task.trigger is triggers.all_successful


def next_inputs(run: Run, key: Key, after: int, ref: int) -> dict[str, Input] | None:
    """Return the inputs of the task run that follows *key*, whose result will be at *ref*; None when it cannot yet."""
    i, map_index = key
    task = run.plan.tasks[after]
    found = run.tasks[after]
    if map_index != UNMAPPED:
        if found.children is None or map_index >= len(found.children):
            return None
        found = found.children[map_index]
    if not found.state.is_pending() or found.state.is_scheduled() or found.run_count or found.given:
        return None
    inputs: dict[str, Input] = {}
    for edge in task.edges:
        if edge.up == i:
            given: Input = Whole(ref)
        else:
            up = run.tasks[edge.up]
            if up.children is not None or type(up.state) is not Success or (edge.key and up.ref is NO_REF):
                return None
            given = Value(up.ref) if run.plan.tasks[edge.up].parameter is not None else Whole(up.ref)
        if edge.key is not None:
            inputs[edge.key] = given
    return inputs
