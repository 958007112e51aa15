"""How many task runs make a batch: few while nobody knows how long they take, then as many as fill its time. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

# A batch is to take about so long: many times what it costs, and short enough to share the rest evenly.
TARGET_SECONDS = 0.05
GROWTH = 4
# Per thread, so that the next batch is there when one ends.
IN_FLIGHT = 2
# Of older durations so much is kept with each new one.
MEMORY = 0.7


@dataclass
class Durations:
    """How long task runs take, by the names of their tasks, and how large their batches have been."""

    seconds: dict[str, float] = field(default_factory=dict)
    grown: dict[str, int] = field(default_factory=dict)

    def saw(self, name: str, seconds: float) -> None:
        before = self.seconds.get(name)
        self.seconds[name] = seconds if before is None else MEMORY * before + (1 - MEMORY) * seconds

    def budget(self, left: int, threads: int) -> Budget:
        """Return what the next batch may hold. *left* task runs are ready in all, for *threads* threads."""
        return Budget(self, max(1, math.ceil(left / (threads * IN_FLIGHT))))

    def sent(self, name: str, size: int) -> None:
        """Note the size of a batch; the next one of these may be larger, if their duration is known by then."""
        if name in self.seconds:
            self.grown[name] = max(size, self.grown.get(name, 1))


@dataclass
class Budget:
    """What one batch may hold; *share* of all that is ready, so that the last ones are shared evenly."""

    durations: Durations
    share: int
    size: int = 0
    total: float = 0.0

    def admits(self, name: str) -> bool:
        """Take one more task run if it fits; the first one always does."""
        seconds = self.durations.seconds.get(name)
        if self.size:
            limit = min(self.share, GROWTH * self.durations.grown.get(name, 1))
            if seconds is None or self.size >= limit or self.total + seconds > TARGET_SECONDS:
                return False
        self.add(name)
        self.size += 1
        return True

    def add(self, name: str) -> None:
        """Take one that comes with another. Behind one whose duration nobody knows a batch has no more."""
        self.total += self.durations.seconds.get(name, TARGET_SECONDS)
