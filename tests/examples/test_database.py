"""Rows in SQLite: loaded twice, by several processes, in odd places."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from aircraftlib import Airport, Database, Position, ReferenceData, Vector

REFERENCE = ReferenceData(
    airports=(Airport("LFPG", "CDG", "Charles de Gaulle International Airport", "Paris", "FR", Position(49.01, 2.55)),),
    airlines={"AFR": "Air France"},
)

# Each loader writes 50 rows that all write and 50 of its own, in several transactions.
LOADER = """
import sys
from aircraftlib import Database, fetch_reference_data
from tests_row import row
file, number = sys.argv[1], int(sys.argv[2])
reference, database = fetch_reference_data(), Database(file)
for part in range(5):
    database.update_reference_data(reference)
    database.add_live_aircraft_data(row("shared", part * 10 + i) for i in range(10))
    database.add_live_aircraft_data(row(f"own{number}", part * 10 + i) for i in range(10))
"""


def make_row(icao24: str = "3944ed", timestamp: int = 1_633_608_773, callsign: str | None = "AFR35YQ") -> Vector:
    return Vector(
        icao24=icao24,
        timestamp=timestamp,
        callsign=callsign,
        origin_country=None,
        latitude=48.9863,
        longitude=2.4463,
        altitude=None,
        on_ground=True,
        velocity=0.0,
        heading=None,
        vertical_rate=None,
        squawk="1000",
        airline="Air France",
    )


def test_loading_twice_gives_the_same_rows(tmp_path: Path) -> None:
    database = Database(tmp_path / "rows.sqlite")
    rows = [make_row(), make_row(timestamp=1_633_608_774), make_row(icao24="a06310")]
    for _ in range(2):
        assert database.update_reference_data(REFERENCE) == 2
        assert database.add_live_aircraft_data(rows) == 3
    assert database.counts() == {"airport": 1, "airline": 1, "aircraft": 3}
    assert database.aircraft() == [{**row, "on_ground": 1} for row in rows]


def test_a_row_that_is_known_is_written_anew(tmp_path: Path) -> None:
    database = Database(tmp_path / "rows.sqlite")
    database.add_live_aircraft_data([make_row(callsign=None)])
    database.add_live_aircraft_data([make_row()])
    assert [row["callsign"] for row in database.aircraft()] == ["AFR35YQ"]


def test_airports_that_are_gone_leave_the_table(tmp_path: Path) -> None:
    database = Database(tmp_path / "rows.sqlite")
    database.update_reference_data(REFERENCE)
    database.update_reference_data(ReferenceData((), {}))
    assert database.counts() == {"airport": 0, "airline": 0, "aircraft": 0}


def test_a_load_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    database = Database(tmp_path / "rows.sqlite")
    database.update_reference_data(REFERENCE)
    nameless = REFERENCE.airports[0]._replace(icao="LFPO", name=None)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(OSError, match="NOT NULL"):
        database.update_reference_data(ReferenceData((*REFERENCE.airports, nameless), {}))
    nowhere: Vector = {**make_row(timestamp=1), "latitude": None}  # type: ignore[typeddict-item]  # on purpose
    with pytest.raises(OSError, match="NOT NULL"):
        database.add_live_aircraft_data([make_row(), nowhere])
    assert database.counts() == {"airport": 1, "airline": 1, "aircraft": 0}


def test_several_processes_load_at_once(examples: Path, tmp_path: Path) -> None:
    """Into a file that none has made yet, as tasks on several workers do."""
    (tmp_path / "tests_row.py").write_text(
        "def row(icao24, timestamp):\n"
        f"    return {{**{dict(make_row())!r}, 'icao24': icao24, 'timestamp': timestamp}}\n"
    )
    file = tmp_path / "rows.sqlite"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(examples / "aircraft"), str(tmp_path)])}
    loaders = [
        subprocess.Popen(
            [sys.executable, "-c", LOADER, file, str(number)], env=environment, stderr=subprocess.PIPE, text=True
        )
        for number in range(4)
    ]
    assert [(loader.communicate()[1], loader.returncode) for loader in loaders] == [("", 0)] * 4
    counts = Database(file).counts()
    assert counts["aircraft"] == 50 + 4 * 50
    assert counts["airport"] > 28_000
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert sorted(path.name for path in tmp_path.glob("rows*")) == ["rows.sqlite"], "no journal or log is left"


@pytest.mark.parametrize("prefix", ["", "sqlite:///"])
def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    monkeypatch.setenv("AIRCRAFT_DB", f"{prefix}{tmp_path}/a file?of%mine.sqlite")
    Database().add_live_aircraft_data([make_row()])
    assert [path.name for path in tmp_path.iterdir()] == ["a file?of%mine.sqlite"]


def test_the_working_directory_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRCRAFT_DB", raising=False)
    monkeypatch.chdir(tmp_path)
    if Path("/data").is_dir():
        assert Database().path == Path("/data/aircraft.sqlite")
        return
    Database().add_live_aircraft_data([])
    assert (tmp_path / "aircraft.sqlite").is_file()


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(ValueError, match="is not SQLite; give a path"):
        Database("postgresql://db.example/aircraft")


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, but long enough to be taken for one\n" * 100)
    for path in (tmp_path / "no" / "folder.sqlite", tmp_path / "text", tmp_path):
        with pytest.raises(OSError, match=f'The database "{path}" cannot be used'):
            Database(path).add_live_aircraft_data([make_row()])


def test_looking_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be used"):
        Database(tmp_path / "rows.sqlite").counts()
    assert list(tmp_path.iterdir()) == []
