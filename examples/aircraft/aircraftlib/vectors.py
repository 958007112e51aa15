"""The state vector: what a receiver knows of one aircraft at one moment."""

from __future__ import annotations

from typing import NamedTuple


class StateVector(NamedTuple):
    """The 17 fields of the OpenSky Network's state vectors, in its order and units. None: not received."""

    icao24: str  # address of the transponder, six hexadecimal digits
    callsign: str | None
    origin_country: str | None
    time_position: int | None  # seconds since 1970, of the position
    last_contact: int  # seconds since 1970, of any message
    longitude: float | None
    latitude: float | None
    baro_altitude: float | None  # metres, by air pressure
    on_ground: bool | None
    velocity: float | None  # metres per second over ground
    true_track: float | None  # degrees clockwise from north
    vertical_rate: float | None  # metres per second, climbing is positive
    sensors: tuple[int, ...] | None
    geo_altitude: float | None  # metres, by satellite
    squawk: str | None
    spi: bool | None
    position_source: int | None
