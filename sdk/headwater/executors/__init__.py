"""Executors: what `flow.run(executor=...)` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.executors.local import LocalExecutor
from headwater.executors.local_dask import LocalDaskExecutor

if TYPE_CHECKING:
    from headwater.executors.dask import DaskExecutor

__all__ = ["DaskExecutor", "LocalDaskExecutor", "LocalExecutor"]


def __getattr__(name: str) -> Any:
    # Only who asks for Dask pays for its import.
    if name != "DaskExecutor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from headwater.executors.dask import DaskExecutor
    except ImportError as error:
        raise ImportError(f"DaskExecutor needs Dask ({error}): pip install 'headwater[dask]'") from error
    return DaskExecutor
