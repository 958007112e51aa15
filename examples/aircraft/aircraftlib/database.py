"""The SQLite file that the rows end in. Loading the same rows again changes nothing."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aircraftlib.analysis import Vector
from aircraftlib.reference import ReferenceData

FILE_NAME = "aircraft.sqlite"
VOLUME = Path("/data")

# Seconds for which one loader waits while another one writes.
BUSY_SECONDS = 60

# Rows are found by their key alone, so the tables are their own index.
TABLES = {
    "airport": """icao TEXT PRIMARY KEY, iata TEXT, name TEXT NOT NULL, city TEXT, country TEXT,
        latitude REAL NOT NULL, longitude REAL NOT NULL""",
    "airline": "icao TEXT PRIMARY KEY, name TEXT NOT NULL",
    "aircraft": """icao24 TEXT NOT NULL, timestamp INTEGER NOT NULL, callsign TEXT, origin_country TEXT,
        latitude REAL NOT NULL, longitude REAL NOT NULL, altitude REAL, on_ground INTEGER, velocity REAL,
        heading REAL, vertical_rate REAL, squawk TEXT, airline TEXT, PRIMARY KEY (icao24, timestamp)""",
}

UPSERT_AIRCRAFT = """
    INSERT INTO aircraft VALUES (:icao24, :timestamp, :callsign, :origin_country, :latitude, :longitude, :altitude,
        :on_ground, :velocity, :heading, :vertical_rate, :squawk, :airline)
    ON CONFLICT (icao24, timestamp) DO UPDATE SET callsign = excluded.callsign,
        origin_country = excluded.origin_country, latitude = excluded.latitude, longitude = excluded.longitude,
        altitude = excluded.altitude, on_ground = excluded.on_ground, velocity = excluded.velocity,
        heading = excluded.heading, vertical_rate = excluded.vertical_rate, squawk = excluded.squawk,
        airline = excluded.airline
"""


class Database:
    """A SQLite file, given as a path or as sqlite:///path.

    Default: the environment's AIRCRAFT_DB, else aircraft.sqlite on the volume at /data where
    there is one, else in the working directory. Several processes may load at a time.
    """

    def __init__(self, url: str | Path | None = None) -> None:
        self.path = _path(url or os.environ.get("AIRCRAFT_DB") or _default())

    def update_reference_data(self, reference_data: ReferenceData) -> int:
        """Make the tables of airports and airlines what the reference data say; return their number of rows."""
        airports = [(*airport[:5], *airport.position) for airport in reference_data.airports]
        airlines = list(reference_data.airlines.items())
        with self._write() as connection:
            connection.execute("DELETE FROM airport")
            connection.executemany("INSERT INTO airport VALUES (?, ?, ?, ?, ?, ?, ?)", airports)
            connection.execute("DELETE FROM airline")
            connection.executemany("INSERT INTO airline VALUES (?, ?)", airlines)
        return len(airports) + len(airlines)

    def add_live_aircraft_data(self, vectors: Iterable[Vector]) -> int:
        """Add rows, or write them anew where aircraft and time are known; return how many were given."""
        rows = list(vectors)
        with self._write() as connection:
            connection.executemany(UPSERT_AIRCRAFT, rows)
        return len(rows)

    def counts(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        with self._open("rw") as connection:
            return {t: connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in TABLES}

    def aircraft(self) -> list[dict[str, Any]]:
        """Return the rows of aircraft, by icao24 and time."""
        with self._open("rw") as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM aircraft ORDER BY icao24, timestamp")]

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that has the right to write from its beginning: so loaders wait, and never deadlock."""
        with self._open("rwc") as connection:
            connection.execute("BEGIN IMMEDIATE")
            for table, columns in TABLES.items():
                connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) WITHOUT ROWID")
            yield connection
            # Closing a connection without this rolls back.
            connection.commit()

    @contextlib.contextmanager
    def _open(self, mode: str) -> Iterator[sqlite3.Connection]:
        # With the rollback journal of old: write-ahead logging needs shared memory, which network volumes lack.
        url = f"{self.path.absolute().as_uri()}?mode={mode}"
        try:
            with contextlib.closing(
                sqlite3.connect(url, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
            ) as connection:
                yield connection
        except sqlite3.DatabaseError as error:
            raise OSError(
                f'The database "{self.path}" cannot be used ({error}); its folder must exist and be writable, '
                "as a volume is. AIRCRAFT_DB names another file."
            ) from error


def _default() -> Path:
    return VOLUME / FILE_NAME if VOLUME.is_dir() else Path(FILE_NAME)


def _path(url: str | Path) -> Path:
    text = str(url).removeprefix("sqlite:///")
    if "://" in text:
        raise ValueError(f'The database "{url}" is not SQLite; give a path, or sqlite:///path.')
    return Path(text)
