"""A task run's turn and its end, and what follows from them: who may be judged, who widens, when the run is over.

No recursion anywhere: chains may be long, and one failure may end all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from headwater.core.states import Cancelled, Failed, Mapped, State, Success
from headwater.engine.events import UNMAPPED, Command, SubmitTask
from headwater.engine.inputs import Input
from headwater.engine.judge import inputs_of, inputs_of_alike, judge, upstream_states
from headwater.engine.release import read_by_child, read_by_task, release_unread
from headwater.engine.run import NOT_RUN, UNOPENED, Family, Key, Run, TaskRun

# So many children of a mapped task are submitted at a time; the others come as these end.
WINDOW = 4_000


def submit(run: Run, key: Key, previous: State | None = None) -> SubmitTask:
    i, map_index = key
    task, plan = run.at(i, map_index), run.plan.tasks[i]
    task.run_count += 1
    alike = _alike(run, key)
    if alike is not None and previous is None:
        return SubmitTask(i, task.run_count, alike, map_index)
    return SubmitTask(
        i,
        task.run_count,
        inputs_of(run, i, map_index),
        map_index,
        previous=(previous or task.state) if plan.handled else None,
        upstream=upstream_states(run, i, map_index) if plan.checked else None,
        loop=task.loop,
        resumed=task.resumed,
        number=task.runs,
    )


def tell(run: Run, key: Key, state: State) -> SubmitTask:
    """Let the task's state handlers see a state before it is entered."""
    task = run.at(*key)
    task.run_count += 1
    task.uncounted += 1
    task.entering = state
    return SubmitTask(key[0], task.run_count, map_index=key[1], previous=task.state, enter=state, number=task.runs)


# A task and what follows from it


def _alike(run: Run, key: Key) -> dict[str, Input] | None:
    """Return the inputs of a child that one judgement has let run with all of its siblings."""
    family = run.tasks[key[0]].family
    return family.alike if family is not None and key[1] != UNMAPPED else None


def _given(run: Run, key: Key) -> State | None:
    """Return the state of one that an earlier run has finished; its result is where that run stored it."""
    task = run.tasks[key[0]]
    if key[1] == UNMAPPED:
        given, ups = task.given_in_turn, run.plan.tasks[key[0]].upstream
        if given is None or not all(run.tasks[up].state.is_successful() for up in ups):
            return None
    else:
        given = task.given_children.get(key[1]) if task.given_children is not None else None
        if given is None:
            return None
    child = run.at(*key)
    child.ref, child.length, child.given = given.ref, given.length, True
    if given.stored is not None:
        child.stored = given.stored
    return given.state


def _judged(run: Run, key: Key, commands: list[Command]) -> State | None:
    """A task run's turn has come: submit it, or return the state that it enters instead."""
    given = _given(run, key)
    if given is not None:
        return given
    if _alike(run, key) is not None:
        commands.append(submit(run, key))
        return None
    state, width = judge(run, *key)
    if state is None:
        commands.append(submit(run, key))
        return None
    if run.plan.tasks[key[0]].handled:
        commands.append(tell(run, key, state))
        return None
    if isinstance(state, Mapped):
        run.at(*key).length = width
    return state


def open_more(run: Run, i: int, at: float) -> list[Command]:
    """A child waits for its next run: another may be opened in its place."""
    commands: list[Command] = []
    for key, state in judged(run, _open_more(run, i), commands):
        commands += finish(run, key, state, at)
    return commands


def finish(run: Run, first: Key, state: State, at: float) -> list[Command]:
    """Finish a task run, and with it everything that can now never run. No recursion: chains may be long."""
    commands: list[Command] = []
    todo = [(first, state)]
    while todo:
        key, final = todo.pop()
        todo += judged(run, _close(run, key, final, at, commands), commands)
    if run.unfinished == 0 and run.finished_at is None:
        conclude(run, at)
    return commands


def judged(run: Run, ready: Iterable[Key], commands: list[Command]) -> list[tuple[Key, State]]:
    """Judge those whose turn has come; return the ones that are not run, with the state that they enter."""
    decided = []
    for key in ready:
        state = _judged(run, key, commands)
        if state is not None:
            decided.append((key, state))
    return decided


def _close(run: Run, key: Key, state: State, at: float, commands: list[Command]) -> Iterator[Key]:
    """Give a task run its final state; yield what may be judged by that."""
    i, map_index = key
    task = run.tasks[i]
    run.enter(i, map_index, state)
    if map_index != UNMAPPED:
        yield from _close_child(run, key, at, commands)
        return
    if isinstance(state, Mapped) and run.plan.tasks[i].mapped:
        yield from _open_family(run, i, at)
        if task.family is not None and task.family.unfinished:
            return
    yield from _close_task(run, i, at, commands)


def _open_family(run: Run, i: int, at: float) -> Iterator[Key]:
    """A mapped task is widened: its children may be opened now."""
    task = run.tasks[i]
    width = task.length if isinstance(task.length, int) else 0
    task.started_at = at
    # One that could not be widened gives an order only, and is over.
    follows = tuple(up for up in run.links[i].follows if run.tasks[up].children is not None)
    family = Family(width, width, Counter({type(NOT_RUN): width}), task.readers, follows)
    task.children, task.family = [UNOPENED] * width, family
    if width and not follows:
        family.alike = inputs_of_alike(run, i)
    for down in run.plan.tasks[i].downstream:
        if i in run.links[down].follows:
            yield from _one_less(run, (down, UNMAPPED))
    if not follows:
        yield from _open_more(run, i)
    else:
        # Those whose upstream children have ended already; none of them is the usual case.
        ended = [up for up in follows for its in [run.tasks[up].family] if its and its.unfinished < its.width]
        for index in range(width if ended else 0):
            yield from _open_child(run, i, index)


def _open_more(run: Run, i: int) -> Iterator[Key]:
    """Open as many children as may be in flight."""
    family = run.tasks[i].family
    while family is not None and not family.follows and family.opened < family.width and family.in_flight < WINDOW:
        family.opened += 1
        yield from _open_child(run, i, family.opened - 1)


def _open_child(run: Run, i: int, index: int) -> Iterator[Key]:
    """Yield a child if nothing that it follows is under way any more. One whose follows all are stays unopened."""
    task = run.tasks[i]
    assert task.children is not None, "a child is one of its task's"
    assert task.family is not None, "children are a family"
    if task.children[index] is not UNOPENED:
        return
    waiting = 0
    if task.family.follows:
        waiting = sum(not run.at(up, index).state.is_finished() for up in task.family.follows)
        if waiting == len(task.family.follows):
            return
    readers = task.family.readers - sum(begin <= index for begin in task.family.read_from)
    task.children[index] = TaskRun(waiting, readers)
    if not waiting:
        yield (i, index)


def _close_child(run: Run, key: Key, at: float, commands: list[Command]) -> Iterator[Key]:
    i, index = key
    task = run.tasks[i]
    assert task.children is not None, "a child is one of its task's"
    assert task.family is not None, "children are a family"
    child, family = task.children[index], task.family
    child.finished_at = at
    family.unfinished -= 1
    if child.state.is_failed():
        family.failed.append(index)
    if child.stored is not None:
        family.stored.append(index)
    if not run.keep_results:
        commands += read_by_child(run, i, index)
        commands += release_unread(run, i, index)
    for down in run.plan.tasks[i].downstream:
        children = run.tasks[down].children
        if i in run.links[down].follows and children is not None and index < len(children):
            if children[index] is UNOPENED:
                yield from _open_child(run, down, index)
            else:
                yield from _one_less(run, (down, index))
    yield from _open_more(run, i)
    if family.unfinished == 0:
        yield from _close_task(run, i, at, commands)


def _close_task(run: Run, i: int, at: float, commands: list[Command]) -> Iterator[Key]:
    task = run.tasks[i]
    task.finished_at = at
    run.unfinished -= 1
    commands += read_by_task(run, i)
    if task.children is None:
        commands += release_unread(run, i, UNMAPPED)
    for down in run.plan.tasks[i].downstream:
        # Who follows child by child was let go when the children came to be.
        if i not in run.links[down].follows or task.children is None:
            yield from _one_less(run, (down, UNMAPPED))


def _one_less(run: Run, key: Key) -> Iterator[Key]:
    task = run.at(*key)
    task.waiting_for -= 1
    if task.waiting_for == 0 and not task.given:
        yield key


# The end


def conclude(run: Run, at: float) -> None:
    """The reference tasks decide, a mapped one by its children; in a cancelled run, whether all of it has run."""
    run.finished_at = at
    if run.cancelled and any(issubclass(kind, Cancelled) for task in run.tasks for kind in _deciding(task)):
        run.state = Cancelled(f"Some tasks did not run: {run.cancelled}.")
        return
    kinds = {kind for i in run.plan.reference for kind in _deciding(run.tasks[i])}
    if any(issubclass(kind, Failed) for kind in kinds):
        run.state = Failed("Some reference tasks failed.")
    elif all(issubclass(kind, Success) for kind in kinds):
        run.state = Success("All reference tasks succeeded.")
    else:
        run.state = Success("No reference tasks failed.")


def _deciding(task: TaskRun) -> set[type[State]]:
    if task.family is None:
        return {type(task.state)}
    return {kind for kind, count in task.family.counts.items() if count}
