"""SQLite: one query, or a script. Each run has a connection of its own, which is closed in any case."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from headwater.core.task import Task
from headwater.tasks.attributes import above_zero, defaults_from_attrs, missing, needed

AnyPath = str | os.PathLike[str]
LOCK_SECONDS = 30.0
# How soon an interruption is noticed, and how often SQLite is told of it.
LOOK_SECONDS = 0.1
PAUSE_SECONDS = 0.01

Rows = TypeVar("Rows")


class _SQLiteTask(Task):
    def __init__(self, db: AnyPath | None, timeout_seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self.db = db
        self.timeout_seconds = above_zero(timeout_seconds, self)


class SQLiteQuery(_SQLiteTask):
    """Run one query and return its rows as a list of tuples; what it changes is committed when it succeeds.

    *data* fills in the query's `?`, or as a mapping its `:name`. Waits at most *timeout_seconds* for a lock.
    Raises what sqlite3 raises, with the file and the query in its words.
    """

    def __init__(
        self,
        db: AnyPath | None = None,
        query: str | None = None,
        data: Sequence[Any] | Mapping[str, Any] | None = None,
        timeout_seconds: float = LOCK_SECONDS,
        **options: Any,
    ) -> None:
        super().__init__(db, timeout_seconds, **options)
        self.query = query
        self.data = data

    @defaults_from_attrs("db", "query", "data")
    def run(
        self,
        db: AnyPath | None = None,
        query: str | None = None,
        data: Sequence[Any] | Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        text = needed(query, self, "query")
        if isinstance(data, str | bytes):
            raise TypeError(f'Task "{self.name}": data is one {type(data).__name__}; give a list, such as [value].')
        values = () if data is None else data
        return _run(self, db, text, lambda connection: connection.execute(text, values).fetchall())


class SQLiteScript(_SQLiteTask):
    """Run the statements of a script as one transaction: all of them take effect, or none.

    It has no BEGIN and COMMIT of its own. Waits at most *timeout_seconds* for a lock.
    Raises what sqlite3 raises, with the file and the script's first line in its words.
    """

    def __init__(
        self,
        db: AnyPath | None = None,
        script: str | None = None,
        timeout_seconds: float = LOCK_SECONDS,
        **options: Any,
    ) -> None:
        super().__init__(db, timeout_seconds, **options)
        self.script = script

    @defaults_from_attrs("db", "script")
    def run(self, db: AnyPath | None = None, script: str | None = None) -> None:
        text = needed(script, self, "script")
        _run(self, db, text, lambda connection: _as_a_whole(connection, text))


def _as_a_whole(connection: sqlite3.Connection, script: str) -> None:
    # The lock is taken at once: a script that reads first could not get it later if another writes meanwhile.
    connection.executescript(f"BEGIN IMMEDIATE;\n{script}")
    if not connection.in_transaction:
        raise sqlite3.ProgrammingError("the script ends its transaction itself; leave out BEGIN and COMMIT")


def _run(task: _SQLiteTask, db: AnyPath | None, text: str, work: Callable[[sqlite3.Connection], Rows]) -> Rows:
    """Do the work as one transaction. An exception that is raised here meanwhile, as by a timeout, interrupts it."""
    if db is None:
        raise missing(task, "db")
    try:
        with (
            contextlib.closing(sqlite3.connect(db, LOOK_SECONDS, check_same_thread=False)) as connection,
            ThreadPoolExecutor(1, "sqlite") as thread,
        ):
            job = _Job(connection, time.monotonic() + task.timeout_seconds)
            return _waited_for(thread.submit(job.run, work), job)
    except (sqlite3.Error, sqlite3.Warning) as error:
        lines = text.strip().splitlines() or [""]
        raise type(error)(f'Task "{task.name}": {error} (in {os.fspath(db)}: {lines[0][:200]})') from error


def _waited_for(future: Future[Rows], job: _Job) -> Rows:
    try:
        # With a pause, as an exception that another thread sends here waits until this one runs Python.
        while not wait([future], LOOK_SECONDS).done:
            pass
    finally:
        job.stopped = True
        # Again and again: a script may be between two statements.
        while not future.done():
            job.connection.interrupt()
            wait([future], PAUSE_SECONDS)
    return future.result()


@dataclass
class _Job:
    """Works in a thread of its own: SQLite does not look at Python's signals while it computes or waits for a lock."""

    connection: sqlite3.Connection
    deadline: float
    stopped: bool = False

    def run(self, work: Callable[[sqlite3.Connection], Rows]) -> Rows:
        while True:
            try:
                with self.connection:
                    return work(self.connection)
            except sqlite3.OperationalError as error:
                # What met a lock has done nothing, and is tried again.
                is_locked = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                if not is_locked or self.stopped or time.monotonic() > self.deadline:
                    raise


__all__ = ["SQLiteQuery", "SQLiteScript"]
