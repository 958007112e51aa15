"""May a task run? A column of questions, asked in this order once everything upstream of it is finished.

skipped   something directly upstream was skipped, and the task goes along with that
widened   a mapped task becomes one child per item, or says why there are no items
triggered its trigger lets it run; where only user code can tell, the worker asks, once no stored result was found

The first that has an answer decides; without an answer the task runs. Pure: a run is read, nothing is changed.
"""

from __future__ import annotations

from headwater.core import triggers
from headwater.core.signals import FAIL, TRIGGERFAIL, Signal
from headwater.core.states import Cancelled, Mapped, Skipped, State, Success, TriggerFailed
from headwater.engine.events import NO_REF, UNMAPPED
from headwater.engine.inputs import UNMAPPABLE, Each, Flat, Gathered, Input, Item, Results, Value, Whole, locate, outer
from headwater.engine.plan import EdgePlan, UpstreamEdge, UpstreamStates, UpstreamTask
from headwater.engine.run import Run, TaskRun

WIDTH_MESSAGE = "Preparing to submit {} mapped tasks for execution."


def judge(run: Run, i: int, map_index: int) -> tuple[State | None, int]:
    """Return the state to enter instead of running, or None; and how many children a Mapped one has."""
    state, width = _judge(run, i, map_index)
    if run.cancelled and state is not None and state.is_failed() and not run.plan.tasks[i].cleans_up:
        # It fails because others were not let run.
        return Cancelled(f"Not begun: {run.cancelled}."), 0
    return state, width


def _judge(run: Run, i: int, map_index: int) -> tuple[State | None, int]:
    plan = run.plan.tasks[i]
    if not plan.edges:
        return None, 0
    if all(_simply_succeeded(run, edge, map_index) for edge in plan.edges):
        # By far the most frequent, and with many children upstream to look at each would take long.
        if plan.mapped and map_index == UNMAPPED:
            return _widen(run, i)
        if plan.checked or plan.trigger is triggers.all_successful or plan.trigger is None:
            return None, 0
    states = upstream_states(run, i, map_index)
    if plan.skip_on_upstream_skip and any(state.is_skipped() for state in states.values()):
        words = (
            "An upstream task was skipped; with skip_on_upstream_skip=False this one would be judged by its trigger."
        )
        return Skipped(words), 0
    if plan.mapped and map_index == UNMAPPED:
        return _widen(run, i)
    if plan.checked or plan.trigger is None:
        return None, 0
    return ask_trigger(plan.trigger, states), 0


def ask_trigger(trigger: object, states: UpstreamStates) -> State | None:
    """Return the state that a trigger sends its task to, None when it may run."""
    try:
        passed = trigger(states)  # type: ignore[operator]  # any callable
    except Signal as signal:
        return signal.state()
    except Exception as error:
        return TriggerFailed(f"The trigger raised {type(error).__name__}: {error}", result=error)
    return None if passed else TriggerFailed(f'Trigger "{getattr(trigger, "__name__", trigger)}" said no.')


# Upstream


def _simply_succeeded(run: Run, edge: EdgePlan, map_index: int) -> bool:
    """Whether all that an edge shows to a trigger is in the state Success itself."""
    up = run.tasks[edge.up]
    if up.children is None or up.family is None:
        return type(up.state) is Success
    if edge.mapped and not edge.flattened and map_index != UNMAPPED:
        return type(up.children[map_index].state) is Success
    return up.family.counts[Success] == up.family.width


def upstream_states(run: Run, i: int, map_index: int) -> UpstreamStates:
    """Return what a trigger looks at. A mapped task that is about to widen does not look at its items' own tasks."""
    states: UpstreamStates = {}
    for edge in run.plan.tasks[i].edges:
        up = run.tasks[edge.up]
        if edge.mapped and up.children is not None:
            if map_index == UNMAPPED:
                continue
            index = map_index
            if edge.flattened:
                index, _ = locate(_child_lengths(up), map_index)
            _note(states, run, edge, index, up.children[index])
        elif up.children is None:
            _note(states, run, edge, UNMAPPED, up)
        else:
            for index, child in enumerate(up.children):
                _note(states, run, edge, index, child)
    return states


def _note(states: UpstreamStates, run: Run, edge: EdgePlan, index: int, found: TaskRun) -> None:
    plan = run.plan.tasks[edge.up]
    key = UpstreamEdge(UpstreamTask(plan.name, plan.slug), edge.key, edge.mapped, index, len(states))
    states[key] = found.state


# Width


def _widen(run: Run, i: int) -> tuple[State, int]:
    """Return Mapped and the width: that of the shortest input; or why nothing can be mapped over."""
    widths, unknown = [], ""
    for edge in run.plan.tasks[i].edges:
        if not edge.mapped:
            continue
        up, name = run.tasks[edge.up], run.plan.tasks[edge.up].name
        refusal, width = _measured(up, edge, name)
        if refusal is None:
            widths.append(width)
        elif edge.key is not None:
            return refusal, 0
        else:
            unknown = name  # an order only: its children judge it
    if not widths and unknown:
        return _failed(f'No upstream states can be mapped over: "{unknown}" gives no width.'), 0
    width = min(widths, default=0)
    return Mapped(WIDTH_MESSAGE.format(width)), width


def _measured(up: TaskRun, edge: EdgePlan, name: str) -> tuple[State | None, int]:
    """Return how many children an edge gives, or the state of a task that cannot be widened by it."""
    if up.children is None and not up.state.is_successful():
        return _failed(f'No upstream states can be mapped over: "{name}" did not succeed.'), 0
    if edge.flattened:
        for number, child in enumerate(up.children or []):
            if not child.state.is_successful():
                words = f'The items of "{name}" cannot be flattened: its child {number} did not succeed.'
                return TRIGGERFAIL(words).state(), 0
    width = _width(up, edge)
    if width != UNMAPPABLE:
        return None, width
    words = f'"{name}" gave no list; a task maps over what has a length and can be indexed by 0, 1, 2 and so on.'
    if edge.flattened:
        words = f'"{name}" gave no list of lists; flatten() takes one level of lists away.'
    return _failed(f"At least one upstream state has an unmappable result: {words}"), 0


def _failed(words: str) -> State:
    return FAIL(words).state()


def _width(up: TaskRun, edge: EdgePlan) -> int:
    if up.children is not None:
        if not edge.flattened:
            return len(up.children)
        lengths = _child_lengths(up)
        return UNMAPPABLE if UNMAPPABLE in lengths else sum(lengths)
    if not edge.flattened:
        return outer(up.length)
    if not isinstance(up.length, tuple) or UNMAPPABLE in up.length:
        return UNMAPPABLE
    return sum(up.length)


def _child_lengths(up: TaskRun) -> list[int]:
    return [outer(child.length) for child in up.children or []]


# Inputs


def inputs_of(run: Run, i: int, map_index: int) -> dict[str, Input]:
    """Return where each argument of a task run comes from."""
    return {edge.key: _input(run, edge, map_index) for edge in run.plan.tasks[i].edges if edge.key is not None}


def inputs_of_alike(run: Run, i: int) -> dict[str, Input] | None:
    """Return the inputs of all children of a task at once, where these differ by their index only and may run."""
    plan = run.plan.tasks[i]
    for edge in plan.edges:
        if edge.mapped and (edge.flattened or run.tasks[edge.up].children is not None):
            return None
    if plan.checked or judge(run, i, 0)[0] is not None:
        return None
    return {
        edge.key: Each(_source(run, edge.up, run.tasks[edge.up])) if edge.mapped else _input(run, edge, 0)
        for edge in plan.edges
        if edge.key is not None
    }


def _input(run: Run, edge: EdgePlan, map_index: int) -> Input:
    up = run.tasks[edge.up]
    if not edge.mapped:
        whole = _source(run, edge.up, up) if up.children is None else _gathered(run, edge.up, up)
        return Flat(whole) if edge.flattened else whole
    if up.children is not None:
        if not edge.flattened:
            return _source(run, edge.up, up.children[map_index])
        child, index = locate(_child_lengths(up), map_index)
        return Item(_source(run, edge.up, up.children[child]), index)
    source = _source(run, edge.up, up)
    if not edge.flattened:
        return Item(source, map_index)
    assert isinstance(up.length, tuple), "its width was known when it was widened"
    item, index = locate(up.length, map_index)
    return Item(Item(source, item), index)


def _gathered(run: Run, i: int, up: TaskRun) -> Input:
    assert up.family is not None, "children are a family"
    if up.family.gathered is None:
        # Once for all who read it: a wide map may be handed to every child of another.
        refs = tuple([child.ref for child in up.children or []])
        whole = not any(ref is NO_REF for ref in refs)
        parts = () if whole else tuple(_source(run, i, child) for child in up.children or [])
        up.family.gathered = Results(refs) if whole else Gathered(parts)
    return up.family.gathered


def _source(run: Run, i: int, found: TaskRun) -> Input:
    if run.plan.tasks[i].parameter is not None:
        return Value(found.ref)
    if found.ref is not NO_REF:
        return Whole(found.ref)
    return Value(found.state.result)
