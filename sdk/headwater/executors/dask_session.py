"""Task runs as tasks of a Dask cluster.

A task run is a Dask task whose result stays on the worker that made it; the next task run gets it
from there. Only failures travel here, as text and, where it can be pickled, the exception.

Dask's own retries are off and its recomputing is prevented where the scheduler is ours: a task run
that is lost with its worker is Crashed, or run again if it has retries left. It never runs twice unseen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import time
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from dask.sizeof import sizeof
from distributed import Client, Future
from distributed.scheduler import KilledWorker

from headwater.core.states import Failed, Success
from headwater.engine.drive import Drive
from headwater.engine.events import (
    NO_REF,
    UNMAPPED,
    Event,
    SubmitTask,
    TaskCrashed,
    TaskEnded,
    TaskStarted,
)
from headwater.engine.inputs import Input, Value, resolve
from headwater.executors.beside import Beside
from headwater.executors.boxed import boxed, unboxed
from headwater.executors.dask_again import NeverAgain
from headwater.executors.dask_refs import Held, held, numbered
from headwater.executors.dask_worker import TaskEnding, WorkerCall, run_on_worker
from headwater.executors.failures import summary_of
from headwater.executors.here import call_of, ended, withdrawn
from headwater.executors.inline import Inline, Stored, loaded
from headwater.executors.program import Program, RunInfo
from headwater.executors.wire import PackedOutcome
from headwater.executors.work import Outcome

logger = logging.getLogger("headwater.executors.dask")

# How long the words about a result may take after the result.
WORDS_SECONDS = 30.0

# A result of this process up to this size travels with each task that reads it.
HELD_BYTES = 64 << 10

WORKER_LOST = "the worker that ran it, or was about to, went away"
INPUT_LOST = "an input it needs was lost with the worker that held it"

TaskRunId = tuple[int, int, int]  # task, map index, run count


class DaskSession:
    """Task runs of one flow run as tasks of a Dask cluster. Used in the event loop of *client* only."""

    def __init__(
        self, client: Client, program: Program, info: RunInfo, drive: Drive, own_program: Program | None = None
    ) -> None:
        self._client = client
        self._program = program
        self._beside = Beside(own_program or program, info, drive.run)
        self._info = info
        self._drive = drive
        self._id = uuid.uuid4().hex[:8]
        self._topic = f"headwater-{self._id}"
        self._following: set[asyncio.Task[None]] = set()
        self._endings: dict[TaskRunId, asyncio.Future[PackedOutcome]] = {}
        self._withdrawing = False

    async def start(self) -> None:
        self._client.subscribe_topic(self._topic, self._on_word)
        self._never_again = NeverAgain(self._id)
        try:
            await self._client.register_plugin(self._never_again)
        except Exception as error:
            words = "The scheduler cannot be kept from running a task twice after the loss of a worker: %s"
            logger.warning(words, summary_of(error))

    async def leave(self) -> None:
        """Take from the scheduler what `start` has given it."""
        with contextlib.suppress(Exception):  # it may be gone
            await self._client.unregister_scheduler_plugin(self._never_again.name)

    def _on_word(self, event: tuple[float, tuple[Any, ...]]) -> None:
        kind, name, *content = event[1]
        if kind == "began":
            task, map_index, run_count = name
            self._drive.post(TaskStarted(task, run_count, content[0], map_index, content[1]))
        else:
            self._ending(name).set_result(pickle.loads(content[0]))

    def _ending(self, name: TaskRunId) -> asyncio.Future[PackedOutcome]:
        """What a worker says of a result besides the result, when it has come; words and results take two ways."""
        return self._endings.setdefault(name, asyncio.get_running_loop().create_future())

    def submit(self, command: SubmitTask) -> None:
        plan = self._drive.run.plan.tasks[command.task]
        if self._taken_back(command):
            return
        if plan.beside:
            self._follow(self._run_beside(command))
            return
        refs: dict[Any, int] = {}
        inputs = {key: numbered(given, refs) for key, given in command.inputs.items()}
        name = (command.task, command.map_index, command.run_count)
        child = "" if command.map_index == UNMAPPED else f"-{command.map_index}"
        future = self._client.submit(
            run_on_worker,
            self._program,
            self._info,
            self._topic,
            WorkerCall(name, call_of(self._drive.run, command), inputs, plan.plain),
            list(refs),
            # The part before the id is what Dask's dashboard calls it.
            resources=dict(plan.resources) or None,
            key=f"{plan.name}-{self._id}{command.task:x}{child}-{command.run_count:x}",
            pure=False,
            retries=0,
        )
        self._follow(self._await_outcome(command, future))

    def withdraw(self) -> None:
        """What is a Dask task by now stays one: nobody here knows whether it has begun."""
        self._withdrawing = True

    def _taken_back(self, command: SubmitTask) -> bool:
        """Whether a task run is not begun any more; it is told so."""
        if not self._withdrawing or self._drive.run.plan.tasks[command.task].cleans_up:
            return False
        self._later(self._drive.post, withdrawn(command))
        return True

    def _follow(self, work: Coroutine[Any, Any, None]) -> None:
        following = asyncio.ensure_future(work)
        self._following.add(following)
        following.add_done_callback(self._followed)

    def _followed(self, following: asyncio.Task[None]) -> None:
        self._following.discard(following)
        if not following.cancelled() and following.exception() is not None:
            # Of ours: a run that waits for it would wait for ever.
            self._drive.give_up(following.exception())

    async def _run_beside(self, command: SubmitTask) -> None:
        """Run a task in this process: its inputs come here, and its result goes to the workers."""
        refs: dict[Any, int] = {}
        inputs = {key: numbered(given, refs) for key, given in command.inputs.items()}
        futures = {number: ref for ref, number in refs.items() if isinstance(ref, Future)}
        found = await self._client.gather(futures, errors="skip")
        if len(found) < len(futures):
            self._crash(command, INPUT_LOST)
            return
        values = {number: unboxed(value) for number, value in found.items()}
        values |= {number: loaded(ref) for ref, number in refs.items() if number not in futures}
        known: dict[str, Input] = {
            key: Value(resolve(given, command.map_index, values.__getitem__)) for key, given in inputs.items()
        }
        events: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def post(event: Event) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        self._beside.start(replace(command, inputs=known), post)
        while not isinstance(event := await events.get(), TaskEnded):
            self._drive.post(event)
        self._drive.post(replace(event, ref=await self._held(event.ref)))

    async def _held(self, value: Any) -> Any:
        """Return the ref of a result that was made here: a large one goes to a worker once, not with each reader."""
        if value is NO_REF or sizeof(value) <= HELD_BYTES:
            return held(value)
        return await self._client.scatter(boxed(value), hash=False)

    async def _await_outcome(self, command: SubmitTask, future: Future) -> None:
        """Wait for the outcome, not for the value: that stays where it is."""
        error = await future.exception()
        if isinstance(error, TaskEnding):
            outcome = error.outcome()
            held = outcome.value if outcome.value is NO_REF else Held(outcome.value)
            self._drive.post(ended(command, replace(outcome, value=held)))
        elif future.status == "finished":
            self._drive.post(await self._success(command, future))
        elif isinstance(error, KilledWorker):
            self._crash(command, WORKER_LOST)
        elif error is None or future.status in ("cancelled", "lost"):
            self._crash(command, INPUT_LOST)
        else:
            self._drive.post(ended(command, Outcome(Failed(summary_of(error), error))))

    async def _success(self, command: SubmitTask, future: Future) -> Event:
        if self._drive.run.plan.tasks[command.task].plain:
            return ended(command, Outcome(Success("Task run succeeded."), future))
        name = (command.task, command.map_index, command.run_count)
        try:
            packed = await asyncio.wait_for(self._ending(name), WORDS_SECONDS)
        except TimeoutError:
            return self._crashed(command, "its worker did not say how it ended")
        finally:
            self._endings.pop(name, None)
        return ended(command, packed.load(future))

    def _later(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Do it when the engine is done with the event that it is at."""
        asyncio.get_running_loop().call_soon(call, *arguments)

    def _crashed(self, command: SubmitTask, reason: str) -> TaskCrashed:
        return TaskCrashed(command.task, command.run_count, time.time(), reason, command.map_index)

    def _crash(self, command: SubmitTask, reason: str) -> None:
        self._drive.post(self._crashed(command, reason))

    def release(self, ref: Any) -> None:
        if isinstance(ref, Future):
            ref.release()

    async def fetch_results(self) -> None:
        """Bring every kept result here: the last step of `flow.run()`."""
        runs = [(i, run) for i, task in enumerate(self._drive.run.tasks) for run in [task, *(task.children or [])]]
        held = {number: run.ref for number, (_, run) in enumerate(runs) if isinstance(run.ref, Future)}
        values = await self._client.gather(held, errors="skip")
        for number, (i, run) in enumerate(runs):
            if isinstance(run.ref, Held):
                run.ref = run.ref.value
            elif isinstance(run.ref, Inline | Stored):
                run.ref = self._loaded(i, run.ref)
            elif number in held:
                if number not in values:
                    name = self._drive.run.plan.tasks[i].name
                    logger.warning("Task '%s': its result was lost with its worker; it reads as None.", name)
                run.ref = unboxed(values.get(number))

    def _loaded(self, task: int, ref: Inline | Stored) -> Any:
        try:
            return ref.load()
        except Exception as error:
            name = self._drive.run.plan.tasks[task].name
            logger.warning("Task '%s': its result cannot be read here and reads as None: %s", name, summary_of(error))
            return None

    def close(self) -> None:
        for following in self._following:
            following.cancel()
