"""SQLite: real databases, with others that use them at the same time."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from headwater import Flow
from headwater.states import TimedOut
from headwater.tasks.database import SQLiteQuery, SQLiteScript


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "rows.db"
    SQLiteScript(
        path, "CREATE TABLE rows (n INTEGER UNIQUE, word TEXT);\nINSERT INTO rows VALUES (1, 'a'); -- one"
    ).run()
    return path


def rows(db: Path) -> list[tuple[Any, ...]]:
    return SQLiteQuery(db, "SELECT * FROM rows ORDER BY n").run()


def test_queries_return_rows_and_commit(db: Path) -> None:
    insert = SQLiteQuery(db, "INSERT INTO rows VALUES (?, ?) RETURNING n")
    assert insert.run(data=(2, "b'; DROP TABLE rows")) == [(2,)]
    assert SQLiteQuery(db).run(query="UPDATE rows SET word = :w WHERE n = :n", data={"w": "c", "n": 1}) == []
    assert SQLiteQuery(db, "VACUUM").run() == []
    assert rows(db) == [(1, "c"), (2, "b'; DROP TABLE rows")]


def test_a_script_takes_effect_as_a_whole_or_not_at_all(db: Path) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=rf'Task "add": UNIQUE constraint failed.*{db}: INSERT INTO rows'):
        SQLiteScript(db, "INSERT INTO rows VALUES (2, 'b');\nINSERT INTO rows VALUES (1, 'x')", name="add").run()
    assert rows(db) == [(1, "a")]
    with pytest.raises(sqlite3.OperationalError):
        SQLiteQuery(db, "INSERT INTO nothing VALUES (1)").run()
    SQLiteScript(db, "INSERT INTO rows VALUES (2, 'b');\nINSERT INTO rows VALUES (3, 'c');").run()
    assert rows(db) == [(1, "a"), (2, "b"), (3, "c")]


def test_a_script_with_a_transaction_of_its_own_is_told(db: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="transaction within a transaction"):
        SQLiteScript(db, "BEGIN; INSERT INTO rows VALUES (2, 'b'); COMMIT").run()
    assert rows(db) == [(1, "a")]
    with pytest.raises(sqlite3.ProgrammingError, match="leave out BEGIN and COMMIT"):
        SQLiteScript(db, "INSERT INTO rows VALUES (2, 'b'); COMMIT").run()


def test_a_lock_is_waited_for_as_long_as_it_may(db: Path) -> None:
    holder = sqlite3.connect(db, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match=r"database is locked \(in "):
        SQLiteScript(db, "INSERT INTO rows VALUES (2, 'b')", timeout_seconds=0.05).run()
    release = threading.Timer(0.1, holder.rollback)
    release.start()
    SQLiteScript(db, "INSERT INTO rows VALUES (2, 'b')").run()
    release.join()
    holder.close()
    assert rows(db) == [(1, "a"), (2, "b")]


def test_a_place_without_a_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match=rf"unable to open.*{tmp_path}/no/such.db"):
        SQLiteQuery(tmp_path / "no" / "such.db", "SELECT 1").run()
    with pytest.raises(ValueError, match='Task "SQLiteQuery" has no db'):
        SQLiteQuery(query="SELECT 1").run()


ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"


@pytest.mark.parametrize("kind", [SQLiteQuery, SQLiteScript])
def test_what_computes_for_ever_is_ended_by_its_timeout(kind: Any, db: Path) -> None:
    with Flow("endless") as flow:
        late = kind(db, ENDLESS, timeout=0.2)()
    assert isinstance(flow.run().result[late], TimedOut)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("sqlite")] == []
    SQLiteScript(db, "INSERT INTO rows VALUES (2, 'b')").run()  # there is no lock left


def test_what_waits_for_a_lock_is_ended_by_its_timeout(db: Path) -> None:
    holder = sqlite3.connect(db)
    holder.execute("BEGIN IMMEDIATE")
    with Flow("locked") as flow:
        late = SQLiteScript(db, "INSERT INTO rows VALUES (2, 'b')", timeout=0.2, timeout_seconds=1000)()
    assert isinstance(flow.run().result[late], TimedOut)
    holder.rollback()
    holder.close()
    assert rows(db) == [(1, "a")]


def test_bad_input_is_told(db: Path) -> None:
    with pytest.raises(TypeError, match=r"data is one str; give a list, such as \[value\]"):
        SQLiteQuery(db, "SELECT ?", data="x").run()
    with pytest.raises(ValueError, match='Task "SQLiteQuery": timeout_seconds is 0; give a number'):
        SQLiteQuery(db, "SELECT 1", timeout_seconds=0)
    with pytest.raises(sqlite3.ProgrammingError, match=r'Task "SQLiteQuery": .*number of bindings'):
        SQLiteQuery(db, "SELECT ?", data=[1, "hunter2"]).run()
