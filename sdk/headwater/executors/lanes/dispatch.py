"""What is ready becomes batches, and batches go to workers with room."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator
from typing import Protocol

import cloudpickle
from distributed import Future

from headwater.core.states import Failed
from headwater.engine.drive import Drive
from headwater.engine.events import SubmitTask, TaskCrashed
from headwater.engine.inputs import Each, Flat, Item, Whole
from headwater.engine.intervene import is_marked
from headwater.executors.dask_session import INPUT_LOST
from headwater.executors.here import ended
from headwater.executors.lanes.batch import LAST, Name
from headwater.executors.lanes.book import Book
from headwater.executors.lanes.fuse import LONGEST, followers, next_inputs
from headwater.executors.lanes.making import Making, Store
from headwater.executors.lanes.places import Place, name_of
from headwater.executors.lanes.ready import Ready
from headwater.executors.lanes.sizes import Durations
from headwater.executors.work import Outcome

# A batch's inputs have at most so many bytes, unless one task run alone has more.
BATCH_INPUT_BYTES = 64 << 20
# No batch has more task runs, and no turn of the loop takes much longer to make some.
LARGEST = 500
TURN_SECONDS = 0.005
# From this size on it matters where an input is.
HEAVY_BYTES = 1 << 20
# How long a thread may be idle before the steps that wait behind a long one elsewhere are called back.
RECALL_SECONDS = 0.1


class Transport(Protocol):
    """How batches reach their workers."""

    def send(self, place: str, number: int, data: bytes, making: Making) -> None:
        """Send a batch, pickled; *making* knows what it reads."""

    def recall(self, place: str, number: int) -> None:
        """Ask for what of a batch is not begun."""


class Dispatcher:
    """The task runs that are ready, and the workers. Used in the session's event loop only."""

    def __init__(self, transport: Transport, store: Store, drive: Drive, book: Book) -> None:
        self._transport = transport
        self._store = store
        self._drive = drive
        self._book = book
        self._loop = asyncio.get_running_loop()
        self._places: dict[str, Place] = {}
        self._ready = Ready(drive.run.plan)
        self._alone: set[Name] = set()  # to be sent by themselves: what is with them may spoil them
        self._followers = followers(drive.run.plan)
        self._durations = Durations()
        self._numbers = itertools.count(1)
        self._armed = False
        self._closed = False
        self._recall: asyncio.TimerHandle | None = None

    def add(self, place: Place) -> None:
        self._places[place.address] = place
        self._arm()

    def remove(self, address: str) -> Place | None:
        return self._places.pop(address, None)

    def put(self, commands: Iterable[SubmitTask], alone: bool = False) -> None:
        """Take task runs that are ready; *alone* each in a batch of its own."""
        for command in commands:
            self._ready.put(command)
            if alone:
                self._alone.add(name_of(command))
        self._arm()

    @property
    def has_places(self) -> bool:
        return bool(self._places)

    def take_all(self) -> list[SubmitTask]:
        """Give back all that is ready."""
        return self._ready.take_all()

    def done(self, address: str, number: int) -> list[Name]:
        """A batch has left its worker; return the names of its task runs."""
        self._arm()
        place = self._places.get(address)
        if place is None:
            return []
        place.called_back.discard(number)
        return place.batches.pop(number, [])

    def saw(self, command: SubmitTask, seconds: float) -> None:
        self._durations.saw(self._drive.run.plan.tasks[command.task].name, seconds)

    def close(self) -> None:
        self._closed = True
        if self._recall is not None:
            self._recall.cancel()

    @property
    def places(self) -> list[str]:
        return list(self._places)

    def _arm(self) -> None:
        if not self._armed and not self._closed:
            self._armed = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        try:
            self._dispatch_ready()
        except Exception as error:
            self._drive.give_up(error)

    def _dispatch_ready(self) -> None:
        self._armed = False
        began = time.monotonic()
        while self._ready:
            place = self._choose(self._ready.peek())
            if place is None:
                break
            if time.monotonic() - began > TURN_SECONDS:
                self._arm()  # others want the loop too
                return
            self._fill(place)
        if not self._ready and self._recall is None and any(place.idle for place in self._places.values()):
            self._recall = self._loop.call_later(RECALL_SECONDS, self._call_back)

    def _choose(self, command: SubmitTask) -> Place | None:
        """Return where the next batch goes: where a heavy input of its is, else where there is most room."""
        free = [place for place in self._places.values() if place.room > 0]
        if not free:
            return None
        heavy = self._holders_of_heavy(command) if len(free) > 1 else set()
        return max(free, key=lambda place: (place.address in heavy and place.idle, place.room / place.threads))

    def _holders_of_heavy(self, command: SubmitTask) -> set[str]:
        kept = []
        for given in command.inputs.values():
            while isinstance(given, Each | Item | Flat):
                given = given.source
            if isinstance(given, Whole) and isinstance(given.ref, Future):
                kept.append(self._store.find(given.ref))
        return {
            holder
            for entry in kept
            if entry and self._store.nbytes(entry.key) >= HEAVY_BYTES
            for holder in entry.holders
        }

    def _fill(self, place: Place) -> None:
        """Make a batch of what is ready, and send it."""
        tasks = self._drive.run.plan.tasks
        budget = self._durations.budget(len(self._ready), sum(each.threads for each in self._places.values()))
        making = Making(self._store, self._drive)
        number = next(self._numbers)
        holder = place.holder(number)
        first = tasks[self._ready.peek().task].name
        while self._ready and making.bytes <= BATCH_INPUT_BYTES and len(making.steps) < LARGEST:
            command = self._ready.peek()
            name = name_of(command)
            alone = name in self._alone
            if making.steps and (alone or not budget.admits(tasks[command.task].name)):
                break
            self._ready.take()
            if is_marked(self._drive.run, command):
                continue
            if not making.add(name, command):
                self._fail(command, INPUT_LOST)
                continue
            if len(making.steps) == 1:
                budget.admits(first)
            self._book.send(name, command, holder)
            if alone:
                break
            for follower in self._fuse(making, command, holder):
                budget.add(tasks[follower].name)
        self._durations.sent(first, budget.size)
        if making.steps:
            self._send(place, number, making)

    def _fuse(self, making: Making, command: SubmitTask, holder: str) -> Iterator[int]:
        """Put those that can follow behind a task run, one after another; yield their tasks."""
        run, i, index = self._drive.run, command.task, command.map_index
        for _ in range(LONGEST if command.enter is None else 0):
            after = self._followers[i]
            if after is None:
                return
            inputs = next_inputs(run, (i, index), after, LAST)
            name = (after, index, 1)
            if inputs is None or self._book.knows(name) or not making.follow(name, inputs):
                return
            self._book.send(name, None, holder)
            i = after
            yield after

    def _send(self, place: Place, number: int, making: Making) -> None:
        batch = making.batch(number)
        try:
            data = cloudpickle.dumps(batch)
        except Exception:
            self._send_what_pickles(place, making)
            return
        place.batches[number] = [step.name for step in batch.steps]
        self._transport.send(place.address, number, data, making)

    def _send_what_pickles(self, place: Place, making: Making) -> None:
        """Something in a batch cannot travel: what is to blame fails, the others are sent anew, one by one."""
        for step in making.steps:
            for command in self._book.put_back([step.name]):
                try:
                    cloudpickle.dumps(step)
                except Exception as error:
                    name = self._drive.run.plan.tasks[command.task].name
                    words = f'an argument of task "{name}" cannot be pickled and so cannot travel to a worker ({error})'
                    failure = Outcome(Failed(words, TypeError(words)))
                    self._loop.call_soon(self._drive.post, ended(command, failure))
                else:
                    self._ready.put(command)
        self._arm()

    def _call_back(self) -> None:
        """A thread is idle and nothing is ready: take back what waits behind others."""
        self._recall = None
        if self._ready or not any(place.idle for place in self._places.values()):
            return
        busiest = max(self._places.values(), key=self._waiting_at)
        if self._waiting_at(busiest) <= busiest.threads:
            return  # nothing waits behind what runs
        self._call_back_from(busiest)

    def _call_back_from(self, place: Place) -> None:
        for number in place.batches:
            if number not in place.called_back:
                place.called_back.add(number)
                self._transport.recall(place.address, number)

    def call_all_back(self) -> None:
        """Ask for all that is not begun."""
        for place in self._places.values():
            self._call_back_from(place)

    def _waiting_at(self, place: Place) -> int:
        """How many task runs a worker has, those ahead left out: they wait for their own chain only."""
        at = self._book.at
        return sum(at[name] == place.address for name in self._book.sent if name in at)

    def _fail(self, command: SubmitTask, reason: str) -> None:
        crash = TaskCrashed(command.task, command.run_count, time.time(), reason, command.map_index)
        self._loop.call_soon(self._drive.post, crash)
