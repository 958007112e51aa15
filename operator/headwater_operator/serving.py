"""The operator's one HTTP server: /healthz and /readyz for the kubelet, /metrics for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from headwater_operator.metrics import Metrics, Snapshot


class Serving:
    """*alive* and *ready* return why not, in words, or "" when all is well; *snapshot* what is there at this moment."""

    def __init__(
        self,
        metrics: Metrics,
        snapshot: Callable[[], Snapshot],
        alive: Callable[[], str],
        ready: Callable[[], str],
    ) -> None:
        self._metrics = metrics
        self._snapshot = snapshot
        self._telling = asyncio.Lock()
        application = web.Application()
        application.router.add_get("/healthz", _answer(alive))
        application.router.add_get("/readyz", _answer(ready))
        application.router.add_get("/metrics", self._tell)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)

    async def start(self, port: int, host: str | None = None) -> None:
        """Listen on all addresses, or one. Raises OSError when the port is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """Where it listens, also when any free port was asked for."""
        return int(self._runner.addresses[0][1])

    async def _tell(self, _: web.Request) -> web.Response:
        # Beside the loop, which has runs to look after; one at a time, however many ask.
        async with self._telling:
            text = await asyncio.to_thread(self._metrics.text, self._snapshot())
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(problem: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        words = problem()
        return web.Response(text=f"{words or 'ok'}\n", status=503 if words else 200)

    return answer
