"""DaskExecutor: run tasks on a Dask cluster, a temporary one or one that is there."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import logging
import threading
import uuid
from collections.abc import Callable, Coroutine, Mapping
from contextvars import copy_context
from dataclasses import replace
from typing import Any

import dask
from distributed import Client, LocalCluster, Scheduler, performance_report

from headwater.core.errors import ClusterError
from headwater.core.flow import Flow
from headwater.engine.drive import Drive, run_async
from headwater.executors.dask_again import SCHEDULER_CONFIG
from headwater.executors.dask_closing import closed_quietly
from headwater.executors.dask_refs import held
from headwater.executors.dask_worker import DeliveredProgram, ProgramPlugin
from headwater.executors.lanes.choice import make_session
from headwater.executors.program import FlowProgram, PickledProgram, RunInfo

# How long an interrupted run may take to close its cluster.
STOP_SECONDS = 10.0

ClusterClass = str | Callable[..., Any]


class DaskExecutor:
    """Run tasks on a Dask cluster: a temporary local one, a temporary one of *cluster_class*, or the one at *address*.

    *cluster_class* is a class or a path to one, such as "dask_kubernetes.KubeCluster"; without it *cluster_kwargs* go
    to a `LocalCluster`, such as `{"n_workers": 4}`. *adapt_kwargs* let the cluster grow and shrink, such as
    `{"maximum": 10}`. *client_kwargs* go to Dask's client, such as `{"security": ...}`. *debug* lets Dask log.
    *performance_report_path* is an HTML file that Dask writes at the end. A task that has the tag
    `dask-resource:GPU=1` runs where a worker has that resource. Needs `pip install headwater[dask]`.
    """

    def __init__(
        self,
        address: str | None = None,
        cluster_class: ClusterClass | None = None,
        cluster_kwargs: Mapping[str, Any] | None = None,
        adapt_kwargs: Mapping[str, Any] | None = None,
        client_kwargs: Mapping[str, Any] | None = None,
        debug: bool = False,
        performance_report_path: str | None = None,
    ) -> None:
        if address is not None and (cluster_class, cluster_kwargs, adapt_kwargs) != (None, None, None):
            raise ValueError(
                "DaskExecutor takes an address of a running cluster, or cluster_class, cluster_kwargs and adapt_kwargs "
                "for a new one, not both."
            )
        if performance_report_path is not None and importlib.util.find_spec("bokeh") is None:
            raise ValueError("DaskExecutor: Dask draws its performance report with Bokeh: pip install bokeh")
        self.address = address
        self.cluster_class = _cluster_class(cluster_class)
        self.cluster_kwargs = dict(cluster_kwargs or {})
        self.adapt_kwargs = dict(adapt_kwargs or {})
        self.client_kwargs = dict(client_kwargs or {})
        self.debug = debug
        self.performance_report_path = performance_report_path

    def execute(self, flow: Flow, drive: Drive, info: RunInfo) -> None:
        if self.cluster_class is None:
            _in_thread(lambda: self._execute(flow, drive, info))
            return
        with self.cluster_class(**self.cluster_kwargs) as cluster:
            if self.adapt_kwargs:
                cluster.adapt(**self.adapt_kwargs)
            security = {"security": cluster.security} if getattr(cluster, "security", None) is not None else {}
            options = {**security, **self.client_kwargs}
            _in_thread(lambda: self._at(cluster.scheduler_address, options, flow, drive, info))

    async def _execute(self, flow: Flow, drive: Drive, info: RunInfo) -> None:
        if self.address is not None:
            await self._at(self.address, self.client_kwargs, flow, drive, info)
            return
        silence = None if self.debug else logging.ERROR
        with dask.config.set(SCHEDULER_CONFIG):
            options = {"dashboard_address": "127.0.0.1:0", "silence_logs": silence, **self.cluster_kwargs}
            async with closed_quietly(LocalCluster(asynchronous=True, **options)) as cluster:
                if self.adapt_kwargs:
                    cluster.adapt(**self.adapt_kwargs)
                async with closed_quietly(Client(cluster, asynchronous=True, **self.client_kwargs)) as client:
                    # Dask does not see what lanes do, and would take away workers that it takes for idle.
                    own = cluster.scheduler if not self.adapt_kwargs else None
                    await self._run(client, flow, drive, info, own)

    async def _at(self, address: str, options: Mapping[str, Any], flow: Flow, drive: Drive, info: RunInfo) -> None:
        try:
            client = await Client(address, asynchronous=True, **{"timeout": "10s", **options})
        except (OSError, TimeoutError) as error:
            raise ClusterError(
                f"No Dask scheduler answers at {address} ({error}); is it running, and reachable from here?"
            ) from None
        async with client:
            await self._run(client, flow, drive, info)

    async def _run(
        self, client: Client, flow: Flow, drive: Drive, info: RunInfo, scheduler: Scheduler | None = None
    ) -> None:
        plugin = ProgramPlugin(PickledProgram.of(flow, uuid.uuid4().hex))
        await client.register_plugin(plugin)
        begin = replace(info.begin(), given={i: replace(g, ref=held(g.ref)) for i, g in info.given.items()})
        # What was given is needed here only.
        delivered = DeliveredProgram(plugin.program.id)
        session = make_session(client, scheduler, delivered, replace(info, given={}), drive, FlowProgram.of(flow))
        await session.start()
        path = self.performance_report_path
        try:
            async with performance_report(filename=path) if path is not None else contextlib.nullcontext():
                await run_async(drive, begin, session)
                await session.fetch_results()
        except (OSError, TimeoutError) as error:
            raise ClusterError(
                f"The Dask scheduler went away in the middle of the run ({error}); what has run is not known any more. "
                "Start it again and run the flow anew: results that are stored are found again."
            ) from None
        finally:
            session.close()
            await session.leave()
            with contextlib.suppress(Exception):  # the cluster may be gone, and the program with it
                await client.unregister_worker_plugin(plugin.name)

    def __repr__(self) -> str:
        return f"<DaskExecutor {self.address or 'local'}>"


def _cluster_class(given: ClusterClass | None) -> Callable[..., Any] | None:
    """Return the class itself. Raises ValueError for a path at which there is none."""
    if given is None or callable(given):
        return given
    module, _, name = given.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f'DaskExecutor: there is no cluster_class "{given}" ({error}); give a class or its path, such as '
            '"dask_kubernetes.KubeCluster".'
        ) from None
    return found  # type: ignore[no-any-return]  # whatever stands there is called


def _in_thread(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run in a thread with an event loop of its own: the caller may have one running, as notebooks do."""
    errors: list[BaseException] = []
    # Not Thread.join: in Python 3.11 a join that Ctrl-C interrupts takes the thread for ended.
    ended = threading.Event()
    stop: list[Callable[[], object]] = []

    async def stoppable() -> None:
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        stop.append(functools.partial(asyncio.get_running_loop().call_soon_threadsafe, task.cancel))
        await work()

    around = copy_context()

    def main() -> None:
        try:
            around.run(asyncio.run, stoppable())
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    threading.Thread(target=main, name="headwater-dask", daemon=True).start()
    try:
        ended.wait()
    except BaseException:
        # Ctrl-C: take the cluster down before leaving.
        for cancel in stop:
            cancel()
        ended.wait(STOP_SECONDS)
        raise
    if errors:
        raise errors[0]
