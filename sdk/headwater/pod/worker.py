"""`python -m headwater.pod.worker`: one Dask worker. The pod is the unit of failure: no nanny, no second try.

It imports what it will need first and connects then, polling the port itself: Dask's own way to
wait for a scheduler backs off for seconds.
"""

from __future__ import annotations

import headwater.pod.early  # noqa: F401  # before the imports that take long

# isort: split
import asyncio
import logging
import os
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from headwater.executors.program import EntrypointProgram
from headwater.pod import lines, process
from headwater.pod.handover import Handover, read_handover
from headwater.resources.names import RUN_FOLDER

logger = logging.getLogger("headwater.worker")

POLL_SECONDS = 0.03
# Far longer than a runner takes that lives; it may wait for a node, too.
PATIENCE_SECONDS = 3600.0

WORKER_CONFIG = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.worker.daemon": False,
}


def main() -> None:
    """Serve the attempt that this pod was made for until its scheduler is gone."""
    lines.capture()
    process.begin()
    try:
        handover = read_handover(Path(RUN_FOLDER))
        address = os.environ["HEADWATER_SCHEDULER"]
    except (Exception, KeyError) as error:
        sys.exit(f"headwater: {error}")
    import dask
    import distributed  # noqa: F401  # the long part of the start, before anybody waits for this worker

    import headwater.executors.lanes.worker  # noqa: F401  # likewise: its first task run is waited for
    from headwater.executors.dask_worker import AFTER_TASK_RUN

    AFTER_TASK_RUN.append(lines.send)
    dask.config.set(WORKER_CONFIG)
    _import_flow(handover)
    _wait_for(address)
    asyncio.run(_serve(handover, address))
    process.end(0)


def _import_flow(handover: Handover) -> None:
    program = EntrypointProgram(handover.entrypoint, process.source_folders())
    try:
        program.resolve("")
    except KeyError:
        pass  # imported; there is no task of that slug
    except Exception:
        # Each task run will fail with this error, which reaches the run's status; a dead worker would only be replaced.
        logger.exception("The flow cannot be imported on this worker")


def _wait_for(address: str) -> None:
    """Wait until the scheduler's port answers. Exits when it does not within PATIENCE_SECONDS."""
    place = urlsplit(address)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection((place.hostname, place.port), timeout=1.0).close()
            return
        except OSError:
            time.sleep(POLL_SECONDS)
    sys.exit(f"headwater: no scheduler at {address} within {PATIENCE_SECONDS:.0f} s")


async def _serve(handover: Handover, address: str) -> None:
    from distributed import Worker

    from headwater.pod.tls import security

    worker = Worker(
        address,
        nthreads=handover.threads_per_worker,
        name=os.environ.get("HEADWATER_POD", socket.gethostname()),
        security=security(Path(RUN_FOLDER)) if handover.tls else None,
        local_directory="/tmp/dask",
        dashboard=False,
        dashboard_address="127.0.0.1:0",
        death_timeout=60,
    )
    async with worker:
        sending = asyncio.create_task(lines.send_for_ever(worker))
        await worker.finished()
        sending.cancel()


if __name__ == "__main__":
    main()
