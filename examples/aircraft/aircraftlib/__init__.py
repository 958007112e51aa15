"""Aircraft around an airport: where they are, who flies them, and a table to keep them in.

The library behind `flow.py`. Importing it needs the standard library alone; the reference data
and the recordings come from two Python packages, looked for when they are asked for.
"""

from __future__ import annotations

from aircraftlib.analysis import Vector, add_airline_info, clean_vector
from aircraftlib.database import Database
from aircraftlib.live import fetch_live_aircraft_data
from aircraftlib.position import Area, Position, bounding_box
from aircraftlib.reference import Airport, ReferenceData, fetch_reference_data
from aircraftlib.vectors import StateVector

__all__ = [
    "Airport",
    "Area",
    "Database",
    "Position",
    "ReferenceData",
    "StateVector",
    "Vector",
    "add_airline_info",
    "bounding_box",
    "clean_vector",
    "fetch_live_aircraft_data",
    "fetch_reference_data",
]
