"""What is made of a state vector: a row for the table, without noise, with the airline's name.

Nothing here changes its input: a retried task sees what the first try saw.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypedDict

from aircraftlib.vectors import StateVector

# A scheduled flight calls itself by its airline's three letters and a flight number.
AIRLINE_CALLSIGN = re.compile(r"[A-Z]{3}(?=[0-9])")

# Nothing in these skies flies higher; transponders do send such altitudes when they are wrong.
HIGHEST_METERS = 20_000


class Vector(TypedDict):
    """One position of one aircraft: a row of the table, in SI units. None: not known."""

    icao24: str
    timestamp: int  # seconds since 1970, of the position
    callsign: str | None
    origin_country: str | None
    latitude: float
    longitude: float
    altitude: float | None
    on_ground: bool | None
    velocity: float | None
    heading: float | None
    vertical_rate: float | None
    squawk: str | None
    airline: str | None


def clean_vector(vector: StateVector) -> Vector | None:
    """Return the row for a state vector, or None when it has no position."""
    if vector.latitude is None or vector.longitude is None:
        return None
    altitude = vector.baro_altitude
    seen = vector.last_contact if vector.time_position is None else vector.time_position
    return Vector(
        icao24=vector.icao24.strip().lower(),
        timestamp=seen,
        callsign=(vector.callsign or "").strip() or None,
        origin_country=vector.origin_country or None,
        latitude=vector.latitude,
        longitude=vector.longitude,
        altitude=altitude if altitude is not None and altitude <= HIGHEST_METERS else None,
        on_ground=vector.on_ground,
        velocity=vector.velocity,
        heading=vector.true_track,
        vertical_rate=vector.vertical_rate,
        squawk=vector.squawk,
        airline=None,
    )


def add_airline_info(vector: Vector, airlines: Mapping[str, str]) -> Vector:
    """Return the row with the name of the airline that its callsign tells of, or None where it is not known."""
    return {**vector, "airline": airlines.get(_designator(vector["callsign"]))}


def _designator(callsign: str | None) -> str:
    match = AIRLINE_CALLSIGN.match(callsign or "")
    return match.group() if match else ""
