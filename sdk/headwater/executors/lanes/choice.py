"""By which of the two ways task runs travel."""

from __future__ import annotations

import logging

from distributed import Client, Scheduler

from headwater.engine.drive import Drive
from headwater.executors.dask_session import DaskSession
from headwater.executors.lanes.foreign import ForeignSession
from headwater.executors.lanes.own import LaneSession, missing_on_workers, missing_parts
from headwater.executors.program import Program, RunInfo

logger = logging.getLogger("headwater.executors.dask")


def make_session(
    client: Client,
    scheduler: Scheduler | None,
    program: Program,
    info: RunInfo,
    drive: Drive,
    own_program: Program,
    meet_at: tuple[str, int] | None = None,
) -> DaskSession:
    """Return a session with lanes where *scheduler* is ours, in this process, else one of batches as Dask tasks.

    *meet_at* is the address where lanes tell what they have run, by default any free port where the scheduler is.
    """
    if scheduler is None:
        missing = missing_on_workers()
        if missing:
            logger.warning("Task runs go as Dask tasks: this version of distributed has no %s", ", ".join(missing))
            return DaskSession(client, program, info, drive, own_program)
        logger.info(
            "Task runs go in batches as Dask tasks: the scheduler is elsewhere, or its cluster adapts by itself"
        )
        return ForeignSession(client, program, info, drive, own_program)
    missing = missing_parts(scheduler)
    if missing:
        logger.warning("Task runs go as Dask tasks: this version of distributed has no %s", ", ".join(missing))
        return DaskSession(client, program, info, drive, own_program)
    logger.info("Task runs go in lanes of this run's own scheduler")
    return LaneSession(client, scheduler, program, info, drive, own_program, meet_at)
