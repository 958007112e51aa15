"""Parts of Dask whose end does not count: what a run has come to is known before they are closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

logger = logging.getLogger("headwater.executors.dask")

CLOSE_SECONDS = 20.0


@contextlib.asynccontextmanager
async def closed_quietly(part: Any) -> AsyncIterator[Any]:
    """Start a scheduler, cluster or client, and close it in the end.

    Errors of the closing are logged for who looks closely: distributed may fail to close connections that are just
    being made.
    """
    started = await part
    try:
        yield started
    finally:
        try:
            await asyncio.wait_for(started.close(), CLOSE_SECONDS)
        except Exception as error:
            logger.debug("%s was not closed as it should be: %r", type(started).__name__, error)
