"""Task runs that are ready, deepest first: what is begun is brought to its end before more is begun. Pure.

A wide map over a map thus holds few results at a time, and task runs of one task make a batch.
"""

from __future__ import annotations

import heapq
from collections import deque

from headwater.engine.events import SubmitTask
from headwater.engine.plan import Plan, depths


class Ready:
    """A line per task, and the tasks by their depth."""

    def __init__(self, plan: Plan) -> None:
        self._depths = depths(plan)
        self._lines: dict[int, deque[SubmitTask]] = {}
        self._deepest: list[tuple[int, int]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, command: SubmitTask) -> None:
        line = self._lines.get(command.task)
        if line is None:
            line = self._lines[command.task] = deque()
            heapq.heappush(self._deepest, (-self._depths[command.task], command.task))
        line.append(command)
        self._count += 1

    def peek(self) -> SubmitTask:
        """Return the next one. Raises IndexError when there is none."""
        return self._lines[self._deepest[0][1]][0]

    def take(self) -> SubmitTask:
        """Take the next one. Raises IndexError when there is none."""
        task = self._deepest[0][1]
        line = self._lines[task]
        command = line.popleft()
        if not line:
            heapq.heappop(self._deepest)
            del self._lines[task]
        self._count -= 1
        return command

    def take_all(self) -> list[SubmitTask]:
        return [self.take() for _ in range(self._count)]
