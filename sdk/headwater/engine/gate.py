"""Which task runs may begin: those with a limited tag wait here for a slot of each of theirs, and hold no worker.

    ceiling   how many slots of a tag this run may use, as the newest grant says
    used      how many are taken by task runs that were let through and are not over

A grant that is smaller than what is used takes nothing away: nothing more is let through until enough are over. No
clock and no I/O.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headwater.core.errors import FlowError
from headwater.engine.events import Event, SubmitTask, TaskCrashed, TaskEnded, TaskMarked, TaskStarted, TaskWithdrawn
from headwater.engine.intervene import is_marked
from headwater.engine.run import Run

Name = tuple[int, int, int]  # task, map index, run count

# Of so many tags a run's status has room to tell.
MOST_TAGS = 64


@dataclass(frozen=True)
class Demand:
    """What a run has to do with a limited tag: slots that it could use now, and slots that it may be using."""

    wanted: int
    held: int


@dataclass(frozen=True)
class Line:
    """Task runs that wait for the same. What runs *beside* the engine needs no worker."""

    tags: tuple[str, ...]
    beside: bool


class Gate:
    """The limited task runs of one run. Raises FlowError where they have more limited tags than MOST_TAGS."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._tags = sorted({tag for task in run.plan.tasks for tag in task.limited})
        if len(self._tags) > MOST_TAGS:
            raise FlowError(
                f"tasks of this flow have {len(self._tags)} tags with a limit, and at most {MOST_TAGS} are possible: "
                "limit fewer of them, or split the flow"
            )
        self._ceiling: dict[str, int] = dict.fromkeys(self._tags, 0)
        self._words: Mapping[str, str] = {}
        self._used: Counter[str] = Counter()
        self._waiting: dict[Line, deque[tuple[int, SubmitTask]]] = {}
        self._under_way: dict[Name, Line] = {}
        self._begun: set[Name] = set()
        self._waits: Counter[int] = Counter()  # by task
        self._numbers = itertools.count()
        self._open = False
        self.serial = 0
        # How many task runs the workers can run at a time.
        self.places: Callable[[], int] = lambda: 1

    @property
    def is_needed(self) -> bool:
        """Whether the flow has tasks with a limited tag at all."""
        return bool(self._tags)

    @property
    def waits(self) -> bool:
        """Whether a task run waits here."""
        return bool(self._waiting)

    # From the engine

    def passes(self, command: SubmitTask) -> bool:
        """Take the slots of a task run, or keep it here until `admitted` returns it."""
        plan = self._run.plan.tasks[command.task]
        if not plan.limited or command.enter is not None or (self._open and not plan.cleans_up):
            return True
        line = Line(plan.limited, plan.beside)
        if line not in self._waiting and self._has_room(line):
            self._take(command, line)
            return True
        self._waiting.setdefault(line, deque()).append((next(self._numbers), command))
        self._waits[command.task] += 1
        return False

    def saw(self, event: Event) -> None:
        """Give back the slots of a task run that is over."""
        match event:
            case TaskStarted(task, run_count, _, map_index):
                name = (task, map_index, run_count)
                if name in self._under_way:
                    self._begun.add(name)
            case TaskEnded() | TaskCrashed() | TaskWithdrawn():
                self._free((event.task, event.map_index, event.run_count))
            case TaskMarked(task, map_index=map_index):
                # One that has begun goes on all the same, and tells of its end; another never will.
                marked = [name for name in self._under_way if name[:2] == (task, map_index)]
                for name in marked:
                    if name not in self._begun:
                        self._free(name)

    def admitted(self) -> list[SubmitTask]:
        """Return the task runs whose turn has come, those that have waited longest first."""
        found: list[SubmitTask] = []
        while heads := [(line[0][0], kind) for kind, line in self._waiting.items() if self._has_room(kind)]:
            _, kind = min(heads, key=lambda head: head[0])
            line = self._waiting[kind]
            _, command = line.popleft()
            if not line:
                del self._waiting[kind]
            self._waits[command.task] -= 1
            if not is_marked(self._run, command):
                self._take(command, kind)
                found.append(command)
        return found

    def opened(self) -> list[SubmitTask]:
        """The run is cancelled: return what waits, to be taken back; only what cleans up has to wait from now on."""
        self._open = True
        waiting = sorted((entry for line in self._waiting.values() for entry in line), key=lambda entry: entry[0])
        self._waiting.clear()
        self._waits.clear()
        # `passes` knows who has to wait on.
        return [command for _, command in waiting if self.passes(command)]

    # From and to whoever gives slots

    def grant(self, serial: int, slots: Mapping[str, int], words: Mapping[str, str]) -> bool:
        """Take in a grant unless it is an old one; return whether it is new. *words* say what a tag's limit is."""
        if serial <= self.serial:
            return False
        self.serial = serial
        self._ceiling.update({tag: slots.get(tag, 0) for tag in self._tags})
        self._words = words
        return True

    def demand(self) -> dict[str, Demand]:
        """Return what is wanted of each tag; no more for workers than they have places for."""
        waiting: Counter[str] = Counter()
        beside: Counter[str] = Counter()
        for kind, line in self._waiting.items():
            for tag in kind.tags:
                (beside if kind.beside else waiting)[tag] += len(line)
        found = {}
        for tag in self._tags:
            used = self._used[tag]
            wanted = min(used + waiting[tag], max(used, self.places(), 1)) + beside[tag]
            found[tag] = Demand(wanted, max(self._ceiling[tag], used))
        return found

    def waits_for(self, task: int) -> str:
        """Say for what a task, or children of it, wait here; "" when none does."""
        plan = self._run.plan.tasks[task]
        if not self._waits[task]:
            return ""
        short = [tag for tag in plan.limited if self._used[tag] >= self._ceiling[tag]] or list(plan.limited)
        return "Waits for a slot of " + " and of ".join(
            f'tag "{tag}"' + (f" ({self._words[tag]})" if self._words.get(tag) else "") for tag in short
        )

    def _has_room(self, line: Line) -> bool:
        return all(self._used[tag] < self._ceiling[tag] for tag in line.tags)

    def _take(self, command: SubmitTask, line: Line) -> None:
        self._used.update(line.tags)
        self._under_way[(command.task, command.map_index, command.run_count)] = line

    def _free(self, name: Name) -> None:
        line = self._under_way.pop(name, None)
        self._begun.discard(name)
        if line is not None:
            self._used.subtract(line.tags)
