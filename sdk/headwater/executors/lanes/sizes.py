"""How many task runs make a batch: few while nobody knows how long they take, then as many as fill its time. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
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

    def batch_size(self, names: Iterable[str], left: int, threads: int) -> int:
        """Return how many of these task runs, which come one after another, go into the next batch.

        *left* task runs are ready in all, for *threads* threads; the last ones are shared evenly.
        """
        share = max(1, math.ceil(left / (threads * IN_FLIGHT)))
        size, total = 0, 0.0
        for name in names:
            seconds = self.seconds.get(name)
            if seconds is None or size >= min(share, GROWTH * self.grown.get(name, 1)):
                break
            if size and total + seconds > TARGET_SECONDS:
                break
            total += seconds
            size += 1
        return max(1, size)

    def sent(self, name: str, size: int) -> None:
        """Note the size of a batch; the next one of these may be larger, if their duration is known by then."""
        if name in self.seconds:
            self.grown[name] = max(size, self.grown.get(name, 1))
