"""LocalDaskExecutor: threads or processes of this machine, without a cluster."""

from __future__ import annotations

import os
import pickle
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import cloudpickle

from headwater.core.errors import TaskCrashedError
from headwater.core.flow import Flow
from headwater.core.states import Failed
from headwater.engine.drive import Drive, Post, run_here
from headwater.engine.events import NO_REF, SubmitTask, TaskCrashed, TaskStarted
from headwater.engine.inputs import resolve
from headwater.executors.here import call_of, ended
from headwater.executors.inline import loaded
from headwater.executors.local import LocalSession, PooledSession
from headwater.executors.processes import TaskProcess, show
from headwater.executors.program import FlowProgram, PickledProgram, Program, RunInfo
from headwater.executors.wire import PackedOutcome, pack, pickle_value
from headwater.executors.work import Outcome, TaskCall, run_task

SCHEDULERS = ("threads", "processes", "synchronous")


class LocalDaskExecutor:
    """Run tasks side by side on this machine: `LocalDaskExecutor(scheduler="processes", num_workers=4)`.

    *scheduler* is "threads" (default), "processes" or "synchronous". *num_workers* is how many tasks run at once,
    by default one per CPU. It is what simple scripts need instead of a cluster; Dask itself is not used.
    Raises ValueError for an unknown scheduler or fewer than one worker.
    """

    def __init__(self, scheduler: str = "threads", num_workers: int | None = None) -> None:
        if scheduler not in SCHEDULERS:
            raise ValueError(
                f'LocalDaskExecutor has no scheduler "{scheduler}"; choose one of {", ".join(SCHEDULERS)}.'
            )
        if num_workers is not None and num_workers < 1:
            raise ValueError(f"LocalDaskExecutor: num_workers is {num_workers}; give 1 or more.")
        self.scheduler = scheduler
        self.num_workers = num_workers or os.cpu_count() or 1

    def execute(self, flow: Flow, drive: Drive, info: RunInfo) -> None:
        begin = info.begin()
        if self.scheduler == "synchronous":
            run_here(drive, begin, LocalSession(FlowProgram.of(flow), info, drive))
            return
        own = FlowProgram.of(flow)
        session = (
            PooledSession(own, info, drive, self.num_workers)
            if self.scheduler == "threads"
            else ProcessSession(PickledProgram.of(flow, uuid.uuid4().hex), info, drive, self.num_workers, own)
        )
        try:
            run_here(drive, begin, session)
        finally:
            session.close()

    def __repr__(self) -> str:
        return f"<LocalDaskExecutor {self.scheduler} {self.num_workers}>"


class ProcessSession(PooledSession):
    """Each thread has a process that it gives its task runs to; one that dies takes only its own with it."""

    def __init__(
        self, program: PickledProgram, info: RunInfo, drive: Drive, threads: int, own_program: FlowProgram
    ) -> None:
        self._processes: dict[int, TaskProcess] = {}
        super().__init__(program, info, drive, threads, own_program)

    def execute(self, command: SubmitTask, post: Post) -> None:
        try:
            work = self._pickled(command)
        except Exception as error:
            name = self.drive.run.plan.tasks[command.task].name
            words = f'an argument of task "{name}" cannot be pickled and so cannot travel to its process ({error})'
            post(ended(command, Outcome(Failed(words, TypeError(words)))))
            return

        def on_frame(kind: str, content: Any) -> None:
            if kind == "began":
                at, name = content
                post(TaskStarted(command.task, command.run_count, at, command.map_index, name))
            else:
                show(kind, content)

        try:
            ok, answer = self._process().call(work, None, on_frame)
        except TaskCrashedError as error:
            at = time.time()
            post(TaskCrashed(command.task, command.run_count, at, str(error), command.map_index))
            return
        outcome = _unpacked(*answer) if ok else Outcome(Failed(str(answer.message), answer.load()))
        post(ended(command, outcome))

    def _pickled(self, command: SubmitTask) -> bytes:
        inputs = {key: resolve(given, command.map_index, loaded) for key, given in command.inputs.items()}
        call = call_of(self.drive.run, command)
        data: bytes = cloudpickle.dumps(partial(_run, self.program, self.info, call, inputs))
        return data

    def _process(self) -> TaskProcess:
        me = threading.get_ident()
        found = self._processes.get(me)
        if found is None or not found.alive:
            found = self._processes[me] = TaskProcess()
        return found

    def close(self) -> None:
        super().close()
        for process in list(self._processes.values()):
            process.kill()


def _run(
    program: Program, info: RunInfo, call: TaskCall, inputs: dict[str, Any], emit: Callable[[str, Any], None]
) -> tuple[bool, tuple[PackedOutcome, bytes | None]]:
    """Run one task in the child; its value is pickled there, where it can still fail the task run."""
    kept: list[tuple[Any, bytes]] = []

    def finish(value: Any) -> Any:
        kept[:] = [(value, pickle_value(value))]
        return value

    def began(run_name: str | None) -> None:
        emit("began", (time.time(), run_name))

    outcome = run_task(program, info, call, lambda: inputs, began=began, finish=finish)
    if outcome.value is NO_REF:
        return True, (pack(outcome), None)
    # A large result is not pickled twice, unless a state handler has put another in its place.
    data = next((data for value, data in kept if value is outcome.value), None)
    return True, (pack(outcome), data if data is not None else pickle_value(outcome.value))


def _unpacked(packed: PackedOutcome, value: bytes | None) -> Outcome:
    return packed.load(NO_REF if value is None else pickle.loads(value))
