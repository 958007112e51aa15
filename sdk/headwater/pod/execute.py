"""`python -m headwater.pod.execute`: the runner, one pod per attempt of a run.

It imports the flow, hosts the Dask scheduler that the workers join (or threads, with InProcess),
drives the engine, writes tasks and progress into the run's status, and leaves with its report.
"""

from __future__ import annotations

import headwater.pod.early  # noqa: F401  # before the imports that take long

# isort: split
import asyncio
import logging
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.core.entrypoint import load_flow
from headwater.core.flow import Flow
from headwater.core.flow_runs import serving
from headwater.engine.drive import AsyncSession, Drive, run_async
from headwater.engine.events import Event, RunBegan, TaskStarted
from headwater.engine.gate import Gate
from headwater.engine.machine import Run
from headwater.engine.plan import make_plan
from headwater.executors.program import EntrypointProgram, RunInfo
from headwater.pod import ledgers, lines, process
from headwater.pod.api import PodApi
from headwater.pod.child_runs import ClusterFlowRuns
from headwater.pod.control import Control
from headwater.pod.handover import Handover, read_handover
from headwater.pod.report import final_report, status_of, verdict
from headwater.pod.reporter import Reporter, StatusApi
from headwater.pod.wishes import decisions_of, given_by
from headwater.resources.conditions import RunState
from headwater.resources.names import RECORDS_PORT, RUN_FOLDER, SCHEDULER_PORT
from headwater.run import begin_flow, end_flow, log_end

if TYPE_CHECKING:
    from distributed import Scheduler

logger = logging.getLogger("headwater.runner")


def main() -> None:
    """Execute the attempt that this pod was made for; exit 0 on Success and 1 otherwise."""
    process.begin()
    try:
        handover = read_handover(Path(RUN_FOLDER))
    except Exception as error:
        sys.exit(f"headwater: {error}")
    api = PodApi()
    control = Control(api, handover.namespace, handover.run, handover.decisions)
    reporter = Reporter(StatusApi(api, "flowruns", handover.namespace, handover.run), control.see)
    try:
        with serving(ClusterFlowRuns(api, handover.namespace, handover.run)):
            state, message, status = _execute(handover, reporter, control)
    except BaseException as error:
        # A flow that cannot be imported, parameters that do not fit: the run says so and ends.
        sentence, tail = process.explain(error)
        logger.exception("The run cannot be executed")
        state, message, status = RunState.FAILED, f"{sentence}\n{tail}".rstrip(), {}
    report = final_report(state, message, time.time())
    process.leave_word(report)
    if not reporter.close({**status, "report": report}):
        logger.error("The final status did not reach the API server; the operator reads it from this pod's exit.")
    process.end(0 if state is RunState.SUCCESS else 1)


def _execute(handover: Handover, reporter: Reporter, control: Control) -> tuple[RunState, str, dict[str, Any]]:
    """Run the flow; return the verdict, its sentence, and the status that goes with them."""
    if handover.provisioner == "Pods":
        import distributed  # noqa: F401  # before the flow: what both import is then loaded once, in a known order
    flow = load_flow(handover.entrypoint, [Path(folder) for folder in process.source_folders()])
    values = flow.check_parameters(handover.parameters)
    run = Run(make_plan(flow, frozenset(handover.task_limits)), keep_results=False)
    gate = Gate(run)
    marked = given_by(run.plan, decisions_of(handover.decisions))
    given = ledgers.given_to(flow, run.plan, handover, marked)
    info = RunInfo(flow.name, handover.title or handover.run, values, extra=_extra(handover), given=given)
    drive = Drive(run, patient=True, gate=gate if gate.is_needed else None)
    keeper = ledgers.Keeper(flow, handover, run)
    observer = Observer(drive, reporter, control, keeper)
    drive.observed_by(observer)
    logging.getLogger("headwater.flow").info("Beginning Flow run for '%s'", flow.name)
    begun = begin_flow(flow, info)
    if not begun.is_running():
        run.state = begun
        return (*verdict(run), status_of(run))
    if handover.provisioner == "InProcess":
        asyncio.run(_in_threads(handover, flow, drive, info, observer))
    else:
        asyncio.run(_on_workers(handover, drive, info, observer))
    keeper.close()
    end_flow(flow, run, info)
    log_end(run)
    state, message = verdict(run)
    return state, message, status_of(run, drive.gate)


def _extra(handover: Handover) -> dict[str, Any]:
    """What the run adds to the context of its tasks."""
    if not handover.scheduled_time:
        return {}
    return {"scheduled_start_time": datetime.fromisoformat(handover.scheduled_time)}


class Observer:
    """Hand the run's status to the reporter whenever it has changed, and its events to who goes by them.

    What changes with every event is told by each write, so only the start of the first task is urgent:
    the rest is gathered until the reporter takes it.
    """

    def __init__(self, drive: Drive, reporter: Reporter, control: Control, keeper: ledgers.Keeper) -> None:
        self.control = control
        self._keeper = keeper
        self._drive = drive
        self._run = drive.run
        self._reporter = reporter
        self._armed = False

    def __call__(self, event: Event) -> None:
        self.control.after(event)
        self._keeper.saw(event)
        if isinstance(event, RunBegan) and (self._drive.gate is None or not self._drive.gate.waits):
            return
        self.tell(0.05 if isinstance(event, TaskStarted | RunBegan) else 0.25)

    def tell(self, delay_seconds: float = 0.05) -> None:
        """Write the status soon."""
        if self._armed or self._run.finished_at is not None:
            return  # the last status goes out with the report
        self._armed = True
        asyncio.get_running_loop().call_later(delay_seconds, self._put)

    def _put(self) -> None:
        self._armed = False
        if self._run.finished_at is None:
            self._reporter.put(status_of(self._run, self._drive.gate))


async def _run(drive: Drive, info: RunInfo, session: AsyncSession, observer: Observer) -> None:
    observer.control.attach(drive, session, observer.tell)
    await run_async(drive, info.begin(), session)


async def _in_threads(handover: Handover, flow: Flow, drive: Drive, info: RunInfo, observer: Observer) -> None:
    from headwater.executors.local import ThreadSession
    from headwater.executors.program import FlowProgram

    session = ThreadSession(FlowProgram.of(flow), info, drive, handover.threads_per_worker)
    if drive.gate is not None:
        drive.gate.places = lambda: handover.threads_per_worker
    await _run(drive, info, session, observer)
    session.close()


async def _on_workers(handover: Handover, drive: Drive, info: RunInfo, observer: Observer) -> None:
    import dask
    from distributed import Client, Scheduler

    from headwater.executors.dask_again import SCHEDULER_CONFIG
    from headwater.executors.dask_closing import closed_quietly
    from headwater.executors.lanes.choice import make_session
    from headwater.pod.tls import security
    from headwater.pod.workers import Comings

    # A worker looks whether the port is open before it speaks TLS.
    logging.getLogger("distributed.comm.tcp").setLevel(logging.ERROR)
    # The engine shares this thread's interpreter lock with whatever the flow's handlers do.
    sys.setswitchinterval(0.0005)
    dask.config.set(RUNNER_CONFIG | SCHEDULER_CONFIG)
    protocol = "tls" if handover.tls else "tcp"
    scheduler: Scheduler = Scheduler(
        protocol=[protocol, "inproc"],
        host=["0.0.0.0", None],
        port=[SCHEDULER_PORT, None],
        security=security(Path(RUN_FOLDER)) if handover.tls else None,
        dashboard=False,
        dashboard_address="127.0.0.1:0",
    )
    gate = drive.gate
    if gate is not None:
        gate.places = lambda: scheduler.total_nthreads
        scheduler.add_plugin(Comings(lambda: observer.tell() if gate.waits else None))
    async with closed_quietly(scheduler):
        listeners = [listener.contact_address for listener in scheduler.listeners]
        inproc = next(address for address in listeners if address.startswith("inproc"))
        async with closed_quietly(Client(inproc, asynchronous=True, security=scheduler.security)) as client:
            program = EntrypointProgram(handover.entrypoint, process.source_folders())
            session = make_session(
                client, scheduler, program, replace(info, given={}), drive, program, ("0.0.0.0", RECORDS_PORT)
            )
            await session.start()
            client.subscribe_topic(lines.TOPIC, lines.show)
            await _run(drive, info, session, observer)
            await lines.bring_last(client)
            session.close()


# A busy runner must not take its own silence for that of its workers: pod events tell of lost ones.
RUNNER_CONFIG = {
    "distributed.scheduler.worker-ttl": None,
    "distributed.scheduler.worker-saturation": "inf",
    "distributed.admin.system-monitor.gil.enabled": False,
}


if __name__ == "__main__":
    main()
