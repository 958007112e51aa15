"""Where batches go."""

from __future__ import annotations

from dataclasses import dataclass, field

from headwater.engine.events import SubmitTask
from headwater.executors.lanes.batch import Name
from headwater.executors.lanes.sizes import IN_FLIGHT


def name_of(command: SubmitTask) -> Name:
    return command.task, command.map_index, command.run_count


@dataclass
class Place:
    """A worker with lanes: its address, its threads, and the batches that it has.

    Where many workers are one place, each batch is *alone_answerable*: it may be lost without the others.
    """

    address: str
    threads: int
    alone_answerable: bool = False
    batches: dict[int, list[Name]] = field(default_factory=dict)
    called_back: set[int] = field(default_factory=set)

    def holder(self, number: int) -> str:
        """Return by whose loss a batch is lost."""
        return f"{self.address}/{number}" if self.alone_answerable else self.address

    @property
    def room(self) -> int:
        return self.threads * IN_FLIGHT - len(self.batches)

    @property
    def idle(self) -> bool:
        return len(self.batches) < self.threads
